r"""Fluctuations and shifts of any network in training, from networks whose neurons are drawn again.

A network of N neurons differs from the infinite one in the frequency of each kind of neuron. Given S sites of each layer and the
innovations of each matrix (``conditioned``), a solution is a function of the multiplicities of the sites, by which all averages of
the derived equations are weighted. Take half of the sites of each layer twice, at random, and leave out the others:
:math:`w_i=1\pm\epsilon_i` with signs of sum zero. To second order that is a network of N = S neurons around the one of the S sites,

.. math::
    f_\pm=f\pm\frac{\delta f}{\sqrt N}+\frac{\delta_2f}{N},\qquad N\,\mathrm{Cov}=E\,\delta f\,\delta f,\qquad f_1=E\,\delta_2f,

over the signs: half-samples (McCarthy 1969). :math:`\delta f=(1-J)^{-1}s` for a random s with the covariance S of the sites,
without J; no derivative is taken, so that activations may have kinks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ...theory.training.observables import TRAINING
from ..training.causal import Layer, Problem, Run, conditioned
from ..training.conditioned import Neighbour
from ..training.problem import seconds as solve_seconds
from ..training.results import layers_of, order_parameter
from ..training.sources import Recorded, Rotation
from .one_layer import Options

Array = NDArray[np.float64]

#: Names of draws end with this.
DRAW = "_draw"


@dataclass(frozen=True)
class Population:
    """The random numbers of all sites, and the innovations of the matrices for the layers above and below.

    The first solution makes the innovations, by rotations, and all other solutions receive the same ones. They take directions from
    the same vectors too: a direction that one solution takes from a vector, and another from the next one, would have another
    innovation, and a small part of a vector would make a large difference.
    """

    seed: int
    matrices: tuple[tuple[Recorded, Recorded], ...]

    @classmethod
    def of(cls, problem: Problem, rng: np.random.Generator) -> Population:
        """A population drawn by a random generator."""
        sources = [Recorded(Rotation(problem.samples, rng)) for _ in range(2 * problem.layers - 2)]
        return cls(int(rng.integers(1 << 62)), tuple(zip(sources[::2], sources[1::2], strict=True)))

    def close(self) -> None:
        """The first solution is over."""
        for source in chain.from_iterable(self.matrices):
            source.close()


class Reweighted(Run):
    """A solution for sites of given multiplicities (layers, sites), which predicts as a network does, f - f(0) if centred.

    ``bias`` (K, 1): the contribution of the output's own bias at initialisation to f(0).
    """

    def __init__(self, problem: Problem, population: Population, weights: Array, bias: Array, *, centred: bool) -> None:
        self.population, self.weights, self.bias, self.centred = population, weights, bias, centred
        super().__init__(problem, np.random.default_rng(population.seed))
        for layer, weight in zip(self.layers, weights, strict=True):
            layer.weight[:] = weight / layer.sites

    def _between(self, lower: Layer, upper: Layer, rng: np.random.Generator) -> tuple[Neighbour, Neighbour]:
        up, down = self.population.matrices[lower.number - 1]
        return conditioned(self.problem, lower, upper, up, down, (up.numbers, down.numbers))

    def _predict(self, t: int) -> None:
        # Unlike at infinite width, <r phi(h(0))> and the bias count: f(0) is random.
        f = self._output(t, self.layers[-1].phi[t]) + self.a[t] * self.bias
        self.f[t] = f
        if self.centred:
            self.f[t] -= self._output(0, self.layers[-1].phi[0]) + self.bias
        self.delta[t] = self.problem.errors(self.f[t])


def resample(problem: Problem, rng: np.random.Generator, options: Options) -> dict[str, Array]:
    """One independent estimate from as many directions as are asked for, at the times that are kept."""
    population = Population.of(problem, rng)
    shape = (problem.layers, problem.samples)
    N = problem.samples
    bias_scale = np.sqrt(problem.parameters["C_b"] / N) / problem.parameters["gamma_0"]

    def solved(weights: Array, bias: Array) -> dict[str, Array]:
        run = Reweighted(problem, population, weights, bias, centred=options.centred).solve(options.tick)
        return _measured(run, options)

    centre = solved(np.ones(shape), np.zeros((problem.outputs, 1)))
    population.close()
    halves: dict[str, list[Array]] = {name: [] for name in centre}
    seconds: dict[str, list[Array]] = {name: [] for name in ("f", "loss")}
    for _ in range(options.directions):
        signs = np.stack([rng.permutation(np.resize([1.0, -1.0], shape[1])) for _ in range(shape[0])])
        bias = bias_scale * rng.standard_normal((problem.outputs, 1))
        plus, minus = (solved(1 + sign * signs, sign * bias) for sign in (1, -1))
        for name, drawn in halves.items():
            # sqrt(N) (f_+ - f_-)/2: a draw of delta f
            drawn.append(np.sqrt(N) * (plus[name] - minus[name]) / 2)
        for name, shifts in seconds.items():
            # N ((f_+ + f_-)/2 - f): its mean over the signs is f_1
            shifts.append(N * ((plus[name] + minus[name]) / 2 - centre[name]))
    draws = {name: np.stack(drawn) for name, drawn in halves.items()}
    found = {f"{name}_variance": (draws[name] ** 2).mean(axis=0) for name in ("f", *options.kernels)}
    found["f_covariance"] = np.tensordot(draws["f"], draws["f"], (0, 0)) / options.directions
    found |= {f"{name}1": np.mean(shifts, axis=0) for name, shifts in seconds.items()}
    return found | {name: drawn for name, drawn in draws.items() if name.endswith(DRAW)}


def seconds(problem: Problem, options: Options) -> float:
    """The time of one estimate: a solution at the centre, and two for each direction."""
    return solve_seconds(problem) * (1 + 2 * options.directions)


def ticks(problem: Problem, options: Options) -> int:
    """How many steps one estimate reports."""
    return problem.steps * (1 + 2 * options.directions)


def _measured(run: Run, options: Options) -> dict[str, Array]:
    kept = options.kept
    found = {"f": run.f[kept], "loss": options.losses(run.f)[kept]}
    drawn = {n + DRAW: found[n] if n in found else order_parameter(run, n, kept) for n in options.draws}
    return found | drawn | {name: KERNELS[name](run, kept) for name in options.kernels}


def _equal_times(run: Run, kept: NDArray[np.int64], *, name: str) -> Array:
    """A kernel of all layers, (layer, time, ...)."""
    dims = TRAINING[name].dims
    second = dims.index("time2") - dims.index("time") - 1
    return np.stack([[np.take(run.q[name][i][t], t, second) for t in kept] for i in layers_of(run, name)])


#: Kernels at equal times, from a solution and the times.
KERNELS: dict[str, Callable[[Run, NDArray[np.int64]], Array]] = {
    "Theta": lambda run, kept: run.Theta[kept],
    "Phi": partial(_equal_times, name="Phi"),
    "G": partial(_equal_times, name="G"),
}
