"""Numbers: the derived recursions, compiled and iterated over the layers of a network."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ..theory.architecture import HYPERPARAMETERS, MLP
from ..theory.derivation import derive
from ..theory.errors import AccuracyWarning, ExpansionWarning, InvalidArgument, NotAvailable, NotConverged
from ..theory.quantities import QUANTITIES, Kind, quantity
from .codegen import Compiled, compile
from .inputs import check_inputs

Array = NDArray[np.float64]

#: The largest 1/n correction, relative to the leading order, that passes without a warning.
EXPANSION_LIMIT = 0.5
#: The largest estimated error of a Gaussian average, relative above one, that passes without a warning.
ACCURACY_LIMIT = 1e-6

AXES = ("a", "b", "c", "d")


def predict(net: MLP, X: ArrayLike, quantities: str | Sequence[str] | None = None, *, order: int = 1) -> xr.Dataset:
    r"""The tensors of every layer, from the derived recursions.

    Equation
        .. math::
            \mathrm E[z_az_b] = K_{ab} + \tfrac1{n_{\ell-1}}K^{\{1\}}_{ab},\qquad
            \mathrm{Cov}(z_{1;a}z_{1;b},\,z_{2;c}z_{2;d}) = \tfrac1{n_{\ell-1}}V_{(ab)(cd)},\ \dots
    Shapes
        X: (m, n_0). K, Theta, K1, Theta1: dims (layer, a, b). V, D, F, A, B: dims (layer, a, b, c, d), in the order of
        the correlator: F[a,b,c,d] pairs z_a with H's index c and z_b with d; B[a,b,c,d] pairs a with c and b with d.
        ``layer`` = 1 ... depth.
    Units
        Tensors of layer l multiply 1/n_(l-1). ``average_error`` (layer) is the largest estimated error of the
        Gaussian averages taken to reach that layer: absolute for averages up to one, relative for larger ones.
    Valid
        Leading order of each quantity in 1/n; ``order=0`` gives K and Theta only. Without ``width=`` all hidden widths
        count as equal. Warns (``ExpansionWarning``) when the next order is not small at the given width.
    Errors
        ``InvalidInput`` for X; ``InvalidNetwork`` for a missing depth or hyperparameter; ``UnknownName`` for a quantity;
        ``NotAvailable`` for order > 1.
    Source
        Derived; see ``derive(net)``.
    """
    names = _names(quantities, order)
    if not isinstance(net, MLP):
        raise InvalidArgument(f"net={net!r} is a {type(net).__name__}; allowed: an MLP")
    if not net.activation.specified:
        raise InvalidArgument("activation='sigma' is unspecified: numbers need a concrete one, e.g. MLP('tanh')")
    inputs = check_inputs(X)
    layers = iterate(net, inputs, _closure(names))
    dataset = _dataset(net, inputs, names, layers)
    _warn_about_expansion(net, dataset)
    return dataset


def iterate(net: MLP, X: Array, names: tuple[str, ...]) -> list[dict[str, Array]]:
    """The tensors of the layers 1 ... depth, by the generated ``step``."""
    single = len(X) == 1
    compiled = compiled_system(net.activation, single, names)
    values = {p: net.per_layer(p) for p in HYPERPARAMETERS}
    layers = [compiled.first_layer(X, **{p: v[0] for p, v in values.items()})]
    _check(layers[0], 1)
    for i, ratio in enumerate(net.ratios, start=1):
        layers.append(compiled(layers[-1], rho=ratio, **{p: v[i] for p, v in values.items()}))
        _check(layers[-1], i + 1)
    return layers


@lru_cache(maxsize=64)
def compiled_system(activation: object, single: bool, names: tuple[str, ...]) -> Compiled:
    """The code for an activation; hyperparameters are its arguments, so that one text serves all layers and networks."""
    system = derive(MLP(activation), samples=1 if single else None)
    return compile(system.restrict(names))


def _names(quantities: str | Sequence[str] | None, order: int) -> tuple[str, ...]:
    if order not in (0, 1):
        raise NotAvailable(
            f"order={order!r} is not available; allowed: 0 (K, Theta) and 1 (all of the leading fluctuations)"
        )
    if quantities is None:
        return tuple(q.name for q in QUANTITIES if order == 1 or q.kind is Kind.MEAN)
    if not isinstance(quantities, str | Iterable):
        raise InvalidArgument(f"quantities={quantities!r}; allowed: None (all), a name, or a sequence of names")
    names = (quantities,) if isinstance(quantities, str) else tuple(quantities)
    for name in names:
        if quantity(name).kind is not Kind.MEAN and order == 0:
            raise InvalidArgument(
                f"quantities={names} asks for {name}, which is of order 1; use order=1, or K and Theta only"
            )
    if not names:
        raise InvalidArgument("quantities=() is empty; allowed: None (all) or names such as 'K', 'V'")
    return names


def _closure(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names and all that their recursions need."""
    system = derive(MLP(), samples=1)
    needed: set[str] = set()
    todo = set(names)
    while todo:
        name = todo.pop()
        needed.add(name)
        todo |= set(system[name].depends_on) - needed
    return tuple(n for n in system if n in needed)


def _check(layer: dict[str, Array], number: int) -> None:
    for name, value in layer.items():
        if not np.all(np.isfinite(value)):
            raise NotConverged(
                f"{name} is not finite in layer {number}: the recursion grew beyond double precision, or an average "
                "diverged; use a smaller C_W, smaller inputs or fewer layers"
            )


def _dataset(net: MLP, X: Array, names: tuple[str, ...], layers: list[dict[str, Array]]) -> xr.Dataset:
    m = len(X)
    variables = {}
    for name in names:
        row = quantity(name)
        stacked = np.stack([layer[name] for layer in layers]).reshape((len(layers),) + (m,) * row.rank)
        variables[name] = (("layer", *AXES[: row.rank]), stacked, {"long_name": row.meaning, "units": "1"})
    worst = np.maximum.accumulate([float(layer["average_error"]) for layer in layers])
    variables["average_error"] = (
        ("layer",),
        worst,
        {"long_name": "largest estimated error of a Gaussian average, relative above one"},
    )
    if worst[-1] > ACCURACY_LIMIT:
        warnings.warn(
            f"a Gaussian average has an estimated error of {worst[-1]:.1e} (limit {ACCURACY_LIMIT:.0e}); "
            "see the variable average_error",
            AccuracyWarning,
            stacklevel=3,
        )
    attributes: dict[str, object] = {"activation": net.activation.name, "source": "theory", "weights": net.weights}
    if net.hidden_widths is not None:
        attributes["width"] = list(net.hidden_widths)
    coordinates = {"layer": np.arange(1, len(layers) + 1)} | {axis: np.arange(m) for axis in AXES}
    used = {axis for name in names for axis in AXES[: quantity(name).rank]}
    return xr.Dataset(variables, {k: v for k, v in coordinates.items() if k == "layer" or k in used}, attributes)


def _warn_about_expansion(net: MLP, dataset: xr.Dataset) -> None:
    """Say how large the next order is when the width is too small for the series to be trusted."""
    widths = net.hidden_widths
    if not widths:
        return
    for correction, leading in (("K1", "K"), ("Theta1", "Theta")):
        if correction not in dataset or leading not in dataset:
            continue
        for i, n in enumerate(widths, start=1):
            size = np.abs(dataset[correction].values[i]).max() / n
            scale = np.abs(dataset[leading].values[i]).max()
            if scale > 0 and size > EXPANSION_LIMIT * scale:
                warnings.warn(
                    f"width={n} is small for this depth: in layer {i + 1} the 1/n correction to {leading} is {size / scale:.0%} "
                    f"of its leading order (limit {EXPANSION_LIMIT:.0%}), so the expansion in 1/width is not to be "
                    "trusted there; use a wider or shallower network, or simulate it",
                    ExpansionWarning,
                    stacklevel=4,
                )
                return
