"""The verb ``simulate``: Monte Carlo over literal finite networks, on all cores, each number with its error."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ...numerics.runs.costs import HOURS, Cost
from ...numerics.runs.inputs import check_inputs
from ...numerics.runs.progress import Progress
from ...numerics.runs.results import Result, dataset
from ...numerics.runs.workers import Tick, mapped, threads_for
from ...theory.language.checks import check_count, check_seed, names_of
from ...theory.language.errors import InvalidArgument, NotAvailable
from ...theory.language.quantities import AXES, TENSORS, Quantity, quantity
from ...theory.networks.architecture import MLP
from ..confrontation.tails import degrees_of_freedom
from ..literal.derivatives import derivatives
from ..literal.descendants import Descendants, doubles
from ..literal.networks import LiteralNetworks, batch_size, layer_widths
from . import estimators, generic
from .cumulants import no_estimator
from .estimators import CORRECTIONS, NEEDS_NTK, MeasurementPlan, Record, corrected, estimate, lower_orders, missing
from .generic import JetTask, Rows, measured

Array = NDArray[np.float64]
Sizes = NDArray[np.int64]

#: Most groups; Student's t with 255 degrees of freedom is a Gaussian for most purposes.
MAX_GROUPS = 256
#: When networks are few: rather this many groups than full batches.
MIN_GROUPS = 32
#: The most memory of the means of all groups, in bytes; the fewest groups, at any cost.
MEANS_BYTES = 1 << 30
FEWEST_GROUPS = 8
#: Networks that are held before they are reduced to means.
MAX_RECORD = 512
DEFAULT_NEURONS = 4


class Workspaces(threading.local):
    """The networks of each thread by the size of their batch: allocated once, and anew where a pickle of them arrives."""

    def __init__(self) -> None:
        self.by_batch: dict[int, tuple[LiteralNetworks, Descendants | None]] = {}

    def __reduce__(self) -> tuple[type[Workspaces], tuple[()]]:
        return Workspaces, ()


@dataclass(frozen=True)
class MeansTask:
    """The means over a group of networks; they depend on the networks of the group alone."""

    net: MLP
    X: Array
    plan: MeasurementPlan
    neurons: int
    seeds: tuple[np.random.SeedSequence, ...]
    sizes: tuple[int, ...]
    batch: int
    workspaces: Workspaces = field(default_factory=Workspaces, compare=False, repr=False)

    def __call__(self, group: int, tick: Tick) -> dict[str, Array]:
        """The means over one group, which has a random stream of its own."""
        rng = np.random.Generator(np.random.SFC64(self.seeds[group]))
        size, total = self.sizes[group], dict[str, Array]()
        for held in _parts(size, MAX_RECORD):
            batches = _parts(held, self.batch)
            record = Record(self._networks(batches[0])[0], held, self.plan)
            for batch in batches:
                nets, descendants = self._networks(batch)
                nets.forward(rng)
                if self.plan.ntk:
                    nets.backward()
                record.add(nets, descendants.sums() if descendants else None)
                tick(batch)
            for name, mean in record.means().items():
                total[name] = total.get(name, 0.0) + mean * (held / size)
        return total

    def _networks(self, batch: int) -> tuple[LiteralNetworks, Descendants | None]:
        """The calling thread's networks of that batch size."""
        store = self.workspaces.by_batch
        if batch not in store:
            neurons, names = self.neurons if self.plan.ntk else 0, self.plan.descendants
            nets = LiteralNetworks(self.net, self.X, batch, neurons, probes=self.plan.probes, rates=self.plan.ntk)
            store[batch] = nets, Descendants(nets, names) if names else None
        return store[batch]


def simulate(
    net: MLP,
    X: Any,
    *,
    networks: int = 1000,
    seed: int = 0,
    quantities: str | Iterable[str] | None = None,
    neurons: int | None = None,
    limits: Mapping[str, Any] | None = None,
    jets: bool = False,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Measure the tensors of a finite network on many drawn networks.

    Equation
        With :math:`i\ne j` and :math:`n=n_{\ell-1}`, the fan-in of the layer:

        .. math::
            K_{ab}=E[z_{i;a}z_{i;b}],\quad \Theta_{ab}=E[H_{ii;ab}],\quad
            V_{abcd}=n\,\mathrm{Cov}(z_{i;a}z_{i;b},z_{j;c}z_{j;d}),\quad
            D_{abcd}=n\,\mathrm{Cov}(z_{i;a}z_{i;b},H_{jj;cd}),

            F_{abcd}=n\,E[z_{i;a}z_{j;b}H_{ij;cd}],\quad
            A_{abcd}=n\,\mathrm{Cov}(H_{ii;ab},H_{jj;cd}),\quad
            B_{abcd}=n\,E[H_{ij;ab}H_{ij;cd}],

            P_{abcd}=n\,E[\widehat{dH}_{ijj;abc}z_{i;d}],\quad Q_{abcd}=n\,E[\widehat{dH}_{iij;abc}z_{j;d}],\quad
            R_{abcd}=n\,E[\widehat{dd_IH}_{iijj;abcd}],

            S_{abcd}=n\,E[\widehat{dd_{II}H}_{iijj;abcd}],\quad T_{abcd}=n\,E[\widehat{dd_{II}H}_{ijij;abcd}],\quad
            U_{abcd}=n\,E[\widehat{dd_{II}H}_{ijji;abcd}],

            K1_{ab}=n\,(E[z_{i;a}z_{i;b}]-K^\infty_{ab}),\quad \Theta1_{ab}=n\,(E[H_{ii;ab}]-\Theta^\infty_{ab}),

        where, summed over parameters with their learning rates,

        .. math::
            H_{ij}=\lambda_\mu\,\partial_\mu z_i\,\partial_\mu z_j,\quad
            \widehat{dH}_{ijk}=\lambda_\mu\lambda_\nu\,\partial_\mu\partial_\nu z_i\,\partial_\mu z_j\,\partial_\nu z_k,\quad
            \widehat{dd_IH}_{ijkl}=\lambda_\mu\lambda_\nu\lambda_\rho\,\partial^3_{\mu\nu\rho}z_i\,
            \partial_\mu z_j\,\partial_\nu z_k\,\partial_\rho z_l,

            \widehat{dd_{II}H}_{ijkl}=\lambda_\mu\lambda_\nu\lambda_\rho\,
            \partial_\mu\partial_\nu z_i\,\partial_\mu\partial_\rho z_j\,\partial_\nu z_k\,\partial_\rho z_l.
        Any other row of the table is the joint cumulant that it says of jets :math:`d_Rz_i` at different neurons, measured by
        :class:`LiteralJets` along random directions (``generic``), and so are all with ``jets=True``.
    Shapes
        X (m, n_0); the dims are the layer and a sample for each jet, (layer, sample, sample2) for K, (layer, sample, ..., sample4)
        for V; ``<name>_stderr`` beside each. ``limits["K"]`` and ``limits["Theta"]`` (L, m, m) are the infinite-width values; any
        other correction, V1 or K2, takes from ``limits`` what it corrects: V, or K and K1. The first z of dH and of ddI is the one
        differentiated more than once; in ddII z_a and z_b are, along the gradients of z_c and z_d.
    Units
        Layer l is multiplied by n_(l-1), with n_0 the number of features, to the power of 1/n that the row has. The numbers are
        those of the finite width: they differ from the coefficients of the expansion by terms of order 1/width.
    Valid
        Any width; every estimate is unbiased. ``attrs["groups"]`` = G groups of networks gave the error: judge
        (value - truth)/error with Student's t, G - 1 degrees of freedom. The same seed gives the same numbers for any
        number of ``workers`` (threads, by default as many as there are cores) and any ``executor`` of ``concurrent.futures``.
        ``neurons`` of each layer enter the quantities made of H (default: 4, if there are so many).
        ``quantities=None`` measures all that the activations allow, and the corrections if there are ``limits``. P, Q, S,
        T and U take sigma'' and R takes also sigma''': where these are not functions, in any hidden layer, they are left
        out. With P to U a network takes two or three times as long for one input, five to eight times for two; without
        them name the others. Quantities measured along random directions have larger errors.
    Errors
        ``InvalidInput``, ``InvalidNetwork``, ``InvalidArgument``, ``UnknownName`` for arguments outside what is
        allowed; ``NotAvailable`` for quantities without an estimator, or of an activation without the derivatives they take.
    Source
        Roberts, Yaida & Hanin, The Principles of Deep Learning Theory (arXiv:2106.10165), for the definitions.
    """
    X = check_inputs(X)
    for activation in net.distinct_activations:
        derivatives(activation, 1)  # the first error is about the likeliest omission, an activation
    names = _names(quantities, limits, net)
    plan = MeasurementPlan(tuple(name for name in names if name in NEEDS_NTK and not jets))
    rows = Rows(tuple(quantity(name) for name in names if name not in plan.names))
    widths = layer_widths(net, X.shape[1])
    N = check_count("networks", networks, 2, why="a standard error needs at least 2")
    rows.check(widths, N)
    threads, seed = threads_for(workers), check_seed(seed)
    s = _neurons(neurons, widths, plan)
    batch = _batch(net, widths, X.shape, s if plan.ntk else 0, plan)
    sizes = _split(N, batch, len(widths) * (len(X) ** 4 * len(plan.means) + rows.numbers(len(X))))
    ranks = [quantity(name).rank if name in TENSORS else 4 for name in plan.means]
    numbers = len(sizes) * len(widths) * (sum(len(X) ** rank for rank in ranks) + rows.numbers(len(X)))
    memory = Cost(bytes=2.0 * 8 * numbers)  # and once more while the groups are stacked
    memory.check(f"simulate of {len(X)} inputs", hours=HOURS, allowed="fewer inputs, or quantities=('K', 'Theta')")
    seeds = tuple(np.random.SeedSequence(seed).spawn(len(sizes)))
    fast = MeansTask(net, X, plan, s, seeds, tuple(map(int, sizes)), batch)
    tasks: list[MeansTask | JetTask] = [fast] if plan.names else []
    tasks += [JetTask(net, X, rows, fast.seeds, fast.sizes)] if rows.rows else []
    bar = Progress("simulate", N * len(tasks), progress, unit="networks")
    groups: dict[Any, Array] = {}
    for task in tasks:
        means: list[Mapping[Any, Array]] = mapped(
            task, range(len(sizes)), workers=threads, executor=executor, progress=bar
        )
        groups |= {name: np.stack([some[name] for some in means]) for name in means[0]}
    n = np.array((X.shape[1], *widths[:-1]), dtype=np.float64)
    limits = {} if limits is None else limits
    results = [_result(row, rows, groups, sizes, n, limits) for row in map(quantity, names)]
    coords = {"layer": np.arange(1, len(widths) + 1)} | {axis: np.arange(len(X)) for axis in AXES}
    return dataset(
        net, results, coords, source="networks", networks=N, seed=seed, groups=len(sizes), neurons=s, jets=int(jets)
    )


def _result(
    row: Quantity, rows: Rows, groups: dict[Any, Array], sizes: Sizes, n: Array, limits: Mapping[str, Any]
) -> Result:
    """A quantity by the estimator whose means there are."""
    source = CORRECTIONS.get(row.name, row.name)
    own = row in rows.rows
    found = measured(row, groups, sizes, n) if own else estimate(source, groups, sizes, n)
    influence = generic.influences(row, groups, sizes) if own else estimators.influences(source, groups, sizes)
    dof = degrees_of_freedom(influence[1])
    return Result(row, *corrected(row, *found, n, limits), dof=dof)


def _batch(net: MLP, widths: tuple[int, ...], shape: tuple[int, ...], neurons: int, plan: MeasurementPlan) -> int:
    """How many networks at once: their weights, and the vectors of all layers that differentiation carries."""
    m, features = shape
    weights = sum(n * f for n, f in zip(widths, (features, *widths), strict=False))
    carried = sum(depth * (neurons + m) * m * n for depth, n in enumerate(reversed(widths))) if neurons else 0
    carried += doubles(net, widths, m, neurons) if plan.descendants else 0
    return batch_size(weights + carried)


def _split(networks: int, batch: int, numbers: int) -> Sizes:
    """Sizes of the groups, as equal as can be: full batches, if that leaves enough groups for a standard error."""
    groups = min(MAX_GROUPS, networks, max(MIN_GROUPS, -(-networks // batch)))
    fitting = max(FEWEST_GROUPS, MEANS_BYTES // (8 * numbers))  # many inputs make large tensors
    return np.array(_parts_of(networks, min(groups, fitting)), dtype=np.int64)


def _parts(total: int, largest: int) -> list[int]:
    """``total`` as the fewest nearly equal parts, none above ``largest``."""
    return _parts_of(total, -(-total // largest))


def _parts_of(total: int, count: int) -> list[int]:
    return [total // count + (i < total % count) for i in range(count)]


def _names(quantities: str | Iterable[str] | None, limits: Mapping[str, Any] | None, net: MLP) -> tuple[str, ...]:
    def lost(name: str) -> str | None:
        reasons = ((a.name, missing(name, a)) for a in net.layer_activations)
        return next((f"cannot be measured for {a!r}, as {reason}" for a, reason in reasons if reason is not None), None)

    available = [name for name in NEEDS_NTK if lost(name) is None]
    if quantities is None:
        return tuple(name for name in available if name not in CORRECTIONS or limits is not None)
    listed = names_of("quantities", quantities, TENSORS)
    names = tuple(dict.fromkeys(quantity(name).name for name in listed))
    if not names:
        raise InvalidArgument(
            f"quantities={quantities!r} is empty; allowed: any of {', '.join(TENSORS)}, or None for all that are fast"
        )
    for name in names:
        if (reason := no_estimator(quantity(name))) is not None:
            raise NotAvailable(f"quantities: {name} has no estimator, as {reason}")
        if (reason := lost(name)) is not None:
            raise NotAvailable(f"quantities: {name} {reason}; allowed: {', '.join(available)}")
        if quantity(name).correction and limits is None:
            lower = [lower for lower, _ in lower_orders(quantity(name))]
            raise InvalidArgument(
                f"quantities: {name} corrects a tensor of infinite width; allowed: limits= with {' and '.join(map(repr, lower))}, "
                "each with its axes (layer, sample, ...)"
            )
    return names


def _neurons(neurons: int | None, widths: tuple[int, ...], plan: MeasurementPlan) -> int:
    """The number of neurons in each layer whose gradients are taken; pairs of different neurons need two."""
    least = 1 if set(plan.means) <= {"K", "Theta"} else 2
    narrowest = min(widths)
    if narrowest < least:
        raise InvalidArgument(
            f"a layer has {narrowest} neuron (widths {list(widths)}), but {', '.join(plan.names)} compare different "
            f"neurons of a layer; allowed: widths, output_width included, from {least}"
        )
    s = min(DEFAULT_NEURONS, narrowest) if neurons is None else check_count("neurons", neurons, least)
    if s > narrowest:
        raise InvalidArgument(
            f"neurons={neurons!r}: the narrowest layer has {narrowest}; allowed: {least} to {narrowest}"
        )
    return s
