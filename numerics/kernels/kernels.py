r"""Kernel matrices of infinitely wide networks for thousands of inputs.

The map of a pair of inputs through all layers depends on two norms and an angle (``pairs``). For a matrix of any size one
interpolant of the composed map serves all pairs (``composed``), at a cost that does not grow with depth. Without an interpolant
every tile goes through the layers (``tiles``), with closed forms or else with averages in bulk (``hermite``, ``parallel``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...theory.language import markup
from ...theory.language.errors import InvalidArgument, InvalidInput
from ...theory.networks.architecture import MLP
from ..firstlayer.law import first_layer
from ..firstlayer.warning import WITH_SKIPS, warn_about_kurtosis
from ..runs.costs import HOURS, Cost
from ..runs.inputs import check_inputs
from ..runs.values import same
from ..runs.workers import threads_for
from .pairs import PairMap, pair_map
from .second import above
from .tiles import InputSide, evaluated

Array = NDArray[np.float64]

#: Memory beyond the matrices themselves.
SPARE = 1.3
#: The kernels that ``get`` may name.
QUANTITIES = ("K", "Theta")


class Kernels(NamedTuple):
    """The kernels of the last layer."""

    K: Array
    Theta: Array

    def __eq__(self, other: object) -> bool:
        return same((*self,), (*other,)) if isinstance(other, Kernels) else NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __repr__(self) -> str:
        return f"<Kernels: {', '.join(f'{name} {_shape(matrix)}' for name, matrix in self._asdict().items())}>"

    def _repr_html_(self) -> str:
        ranges = [
            (name, _shape(m), *(f"{f(m):.6g}" if m.size else "" for f in (np.min, np.max)))
            for name, m in self._asdict().items()
        ]
        return markup.grid(("kernel", "shape", "least", "largest"), ranges)


def _shape(matrix: Array) -> str:
    return " x ".join(map(str, np.shape(matrix)))


def kernel(
    net: MLP,
    X1: ArrayLike,
    X2: ArrayLike | None = None,
    get: str | Sequence[str] = ("K", "Theta"),
    *,
    workers: int | None = None,
    progress: bool | None = None,
) -> Any:
    r"""The kernels of the last layer of an infinitely wide network between all pairs of inputs.

    Equation
        .. math:: K^{(\ell+1)}_{12}=C_b+C_W\langle\sigma_1\sigma_2\rangle_{K^{(\ell)}},\qquad
            \Theta^{(\ell+1)}_{12}=\lambda_b+\lambda_W\langle\sigma_1\sigma_2\rangle
            +C_W\langle\sigma'_1\sigma'_2\rangle\,\Theta^{(\ell)}_{12}
    Shapes
        X1: (m_1, n_0), X2: (m_2, n_0), by default X1 -> (m_1, m_2). ``get``: "K" (the NNGP kernel), "Theta" (the NTK), or both:
        then a named tuple.
    Units
        K is the covariance of a neuron's preactivation, Theta has the learning rates lambda_b and lambda_W/n of ``net``: gradient
        flow on the loss 1/2 sum (f - y)^2 is df/dt = -Theta (f - y).
    Valid
        Infinite width, skips over any layers included. Relative accuracy 1e-12 where a kernel is larger than a tenth of its
        natural scale :math:`\sqrt{K_{aa}K_{bb}}`, 1e-13 of that scale where it is smaller: compared with the recursions at pairs
        of the data and at random points of the range of norms and angles; equal inputs to the last digit.
        Of fast waves, sin(w z), inputs that are close to each other keep the digits of w^2 K.
        With kinked activations the digits of Theta, and with jumps those of K, at nearly parallel inputs are those of the angle.
        Above a first layer of weights that are not Gaussian the averages are over its own distribution where few features count:
        finitely many values, or densities of up to four weights (three with kinks); biases are Gaussian in every ensemble. Else
        with the first order of its fourth cumulants, and an ``ExpansionWarning`` with the excess kurtosis of preactivations.
        With ``X2=None`` the matrix is exactly symmetric, and each triangle is computed once. ``workers`` threads share the work
        (default: all cores); the numbers do not depend on how many. For matrices that do not fit in memory: ``dask_kernel``.
    Errors
        ``InvalidInput`` for inputs; ``InvalidArgument`` for ``get`` or ``workers``; ``InvalidNetwork`` for hyperparameters that are
        not given; ``NotConverged`` where a kernel is not finite; ``TooCostly`` for matrices that do not fit in memory.
    Source
        Derived, see ``derive(net, "K")`` and ``derive(net, "Theta")``.
    """
    exact, rows, columns = checked(net, X1, X2, get)
    numbers = SPARE * len(exact.names) * len(rows) * len(columns)
    Cost(bytes=8 * numbers).check("kernel", hours=HOURS, allowed="fewer inputs, or dask_kernel, block by block")
    threads = threads_for(workers)
    both = rows if X2 is None else np.vstack([rows, columns])
    first = first_layer(net, both)
    if first is not None and net.residual:
        warn_about_kurtosis(net, first, WITH_SKIPS, stacklevel=2)
    elif first is not None:
        return answer(get, exact, above(exact, net, rows, None if X2 is None else columns, threads))
    left = InputSide.of(rows, exact)
    right = left if X2 is None else InputSide.of(columns, exact)
    return answer(get, exact, evaluated(exact, left, right, threads, progress=progress))


def diagonal(net: MLP, X: Array, name: str) -> Array:
    """K_aa or Theta_aa of the last layer, without the rest of the matrix."""
    if net.ensembles[0].entry is not None:
        return np.array([kernel(net, x[None], get=name)[0, 0] for x in X])
    exact = pair_map(net, X.shape[1], QUANTITIES if name == "Theta" else (name,))
    squares = np.einsum("ai,ai->a", X, X) / X.shape[1]
    return exact.trajectory(squares).last[exact.names.index(name)]


def checked(net: Any, X1: Any, X2: Any, get: Any) -> tuple[PairMap, Array, Array]:
    """The map of a network and both sets of inputs, once they are known to fit together."""
    names = _wanted(get)
    if not isinstance(net, MLP):
        raise InvalidArgument(f"net={net!r} is a {type(net).__name__}; allowed: an MLP")
    rows = check_inputs(X1)
    columns = rows if X2 is None else check_inputs(X2)
    if rows.shape[1] != columns.shape[1]:
        raise InvalidInput(f"X2 has {columns.shape[1]} features and X1 has {rows.shape[1]}; allowed: equal numbers")
    return pair_map(net, rows.shape[1], ("K", "Theta") if "Theta" in names else ("K",)), rows, columns


def answer(get: str | Sequence[str], exact: PairMap, matrices: Sequence[Any]) -> Any:
    """The matrices that were asked for: one, or a named tuple."""
    names = _wanted(get)
    found = dict(zip(exact.names, matrices, strict=True))
    if isinstance(get, str):
        return found[names[0]]
    return Kernels(**found) if len(names) == 2 else (found[names[0]],)


def _wanted(get: Any) -> tuple[str, ...]:
    listed = (get,) if isinstance(get, str) else tuple(get) if isinstance(get, Sequence) else ()
    if not listed or len(set(listed)) < len(listed) or any(name not in QUANTITIES for name in listed):
        raise InvalidArgument(f"get={get!r}; allowed: 'K', 'Theta', or both: ('K', 'Theta')")
    return tuple(name for name in QUANTITIES if name in listed)
