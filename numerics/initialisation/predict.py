"""Numbers: the derived recursions, compiled and iterated over the layers of a network."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import sympy as sp
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ...theory.averages.closed_forms import closed_form
from ...theory.averages.gaussian import Average
from ...theory.initialisation.dependencies import closure, layer_recursion, names_of_order
from ...theory.initialisation.derivation import Recursions, derive_layer, labels_for
from ...theory.initialisation.existence import missing
from ...theory.initialisation.residual import CrossLayer
from ...theory.language.errors import AccuracyWarning, InvalidArgument, NotAvailable
from ...theory.language.jets import Jet, Sigma
from ...theory.language.quantities import AXES, TENSORS, Kind, quantity
from ...theory.layers.map import LayerMap
from ...theory.meanfield.expansion import not_derived
from ...theory.networks.activations import Activation
from ...theory.networks.architecture import HYPERPARAMETERS, MLP
from ..codegen.modules import Compiled, compile
from ..firstlayer.law import first_layer
from ..firstlayer.second import second_layer
from ..firstlayer.warning import WITH_SKIPS, warn_about_kurtosis
from ..quadrature.tables import MOST
from ..runs.costs import HOURS, check_hours
from ..runs.inputs import check_inputs
from ..runs.progress import Progress
from ..runs.results import Result, dataset, left_out
from .angles import lost_angles
from .costs import CHEAPER, cost, watched, work
from .expansion import warn_about_expansion
from .finite import check_finite
from .given import Given, given_equations
from .residual import iterate_all
from .skips import no_numbers

Array = NDArray[np.float64]

#: The largest estimated error of a Gaussian average, relative above one, that passes without a warning.
ACCURACY_LIMIT = 1e-6


def predict(
    net: MLP,
    X: ArrayLike,
    quantities: str | Sequence[str] | None = None,
    *,
    order: int = 1,
    equations: Given | None = None,
    hours: float | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""The tensors of every layer, from the derived recursions.

    Equation
        .. math::
            \mathrm E[z_az_b] = K_{ab} + \tfrac1{n_{\ell-1}}K^{\{1\}}_{ab},\qquad
            \mathrm{Cov}(z_{1;a}z_{1;b},\,z_{2;c}z_{2;d}) = \tfrac1{n_{\ell-1}}V_{(ab)(cd)},\ \dots
    Shapes
        X: (m, n_0). K, Theta, K1, Theta1, K2, Theta2: dims (layer, sample, sample2). V, D, F, A, B, P, Q, R, S, T, U, V1, D1,
        F1: dims (layer, sample, sample2, sample3, sample4), the samples a, b, c, d of the correlator in its order: F[a,b,c,d]
        pairs z_a with H's index c and z_b with d; B[a,b,c,d] pairs a with c and b with d; P, Q are of dNTK_abc z_d, R of the
        first ddNTK_abcd, S, T, U of the second, whose index c is attached to the Hessian of a and d to that of b. V6, D6, F6:
        six samples. ``layer`` = 1 ... depth: layer l is that of the preactivations z^(l), here and in training.
    Units
        Tensors of layer l multiply 1/n_(l-1) (K2, Theta2, V1, D1, F1 and six-index ones its square). ``average_error``
        (layer) is the largest estimated error of the Gaussian averages taken to reach that layer: absolute for averages
        up to one, relative for larger ones.
    Valid
        ``order=0``: K and Theta; 1: the leading fluctuations; 2: the next order, for Gaussian weights (up to four inputs, more
        where averages over six preactivations have a closed form); 3: the eight-point function V8 too. Without ``width=`` all
        widths count as equal, n_0 included. Quantities that an activation's kinks make infinite are left out, and said in
        ``attrs["left_out"]``, a line ``name: reason`` for each. Warns (``ExpansionWarning``) when the next order is not small at
        the given width: by the largest of V/(nK^2), K1/(nK), A/(nTheta^2), B/(nTheta^2), Theta1/(nTheta) of an input.
        ``equations`` puts another system, such as ``derive(net).with_(V=...)``, in the place of the derived one (a negative
        control); its names take the place of ``order``. Above a first layer whose weights are not Gaussian the second one has
        averages over the first as it is, or the first order of its fourth cumulants in K and Theta and a warning: see ``kernel``.
    Errors
        ``InvalidInput`` for X; ``InvalidNetwork`` for a missing depth or hyperparameter; ``UnknownName`` for a quantity;
        ``NotAvailable`` for a quantity that is infinite, or has no rule; ``InvalidArgument`` for equations of another network;
        ``TooCostly`` for tensors that do not fit in memory, or more than ``hours`` on one core (by default one).
    Source
        Derived; see ``derive(net)``.
    """
    if not isinstance(net, MLP):
        raise InvalidArgument(f"net={net!r} is a {type(net).__name__}; allowed: an MLP")
    for activation in net.distinct_activations:
        activation.concrete()
    inputs = check_inputs(X)
    limits = Limits(check_hours(hours), progress)
    if equations is not None:
        equations, names = given_equations(net, inputs.shape[1], len(inputs), equations, quantities)
        layers = iterate(net, inputs, names, equations, limits)
    else:
        names = _names(net, len(inputs) == 1, quantities, order)
        _check_count(net, len(inputs), names)
        layers = iterate(net, inputs, names, limits=limits)
    missing = _left_out(net, len(inputs) == 1, order) if equations is None and quantities is None else {}
    dataset = _dataset(net, inputs, names, layers, left_out(missing))
    if equations is not None:
        dataset.attrs["equations"] = "given in the place of the derived ones"
    exists = names.__contains__ if equations is not None else partial(_exists_alone, net)
    warn_about_expansion(net, dataset, exists, lambda wanted: _alone(net, inputs, wanted), stacklevel=4)
    return dataset


def _check_count(net: MLP, inputs: int, names: tuple[str, ...]) -> None:
    """``NotAvailable`` for more inputs than quadrature couples in averages over so many preactivations, before they are derived."""
    highest = max((quantity(name).order for name in names), default=0)
    if inputs <= MOST or highest < 2:
        return
    six = Average(sp.Mul(*(Sigma(Jet(label), 0) for label in "123456")))
    for activation in net.distinct_activations:
        if closed_form(six, activation) is None:
            raise NotAvailable(
                f"order={highest} with {inputs} inputs: averages over six preactivations have no closed form for "
                f"activation={activation.name!r}, and quadrature couples up to {MOST} inputs; allowed: up to {MOST} inputs, one "
                "input at a time, or an activation such as sin or a polynomial"
            )


class Limits(NamedTuple):
    """How long a prediction may take, and whether its progress is shown."""

    hours: float = HOURS
    progress: bool | None = False


#: One of many predictions, within a run that has progress of its own.
ALONE = Limits()


def iterate(
    net: MLP,
    X: Array,
    names: tuple[str, ...],
    equations: Given | None = None,
    limits: Limits = ALONE,
    *,
    alone: bool = False,
) -> list[dict[str, Array]]:
    """The tensors of the layers 1 ... depth, by the generated ``step``; of each input alone, or of all tuples of inputs."""
    first = first_layer(net, X)
    if net.residual:
        assert not isinstance(equations, Recursions)
        if first is not None:
            warn_about_kurtosis(net, first, WITH_SKIPS, stacklevel=5)
        return iterate_all(net, X, names, equations)
    assert not isinstance(equations, CrossLayer)
    needed = _closure(net, names)
    single = alone or len(X) == 1
    activations = net.layer_activations or (net.activation,)

    def system(layer: int) -> Recursions:
        """The map to a layer."""
        activation = activations[max(layer - 2, 0)]
        if equations is not None:
            return equations.of(activation)
        return derived_system(activation, net.layer_map, single, needed)

    values = _parameters(net, X.shape[1], system(1).hyperparameters)
    codes, m = [compile(system(i)) for i in range(2, len(values) + 1)], 1 if single else len(X)
    price = cost(codes, m, needed).check(f"predict of {len(X)} inputs", hours=limits.hours, allowed=CHEAPER)
    bar = Progress("predict", work(codes, m), limits.progress, unit="averages", cost=price)
    start = compile(system(1))
    with bar, watched(codes, bar.advance):
        layers = [start.first_layer(X, **start.arguments("first_layer", values[0]))]
        check_finite(layers[0], 1)
        for i, (code, given) in enumerate(zip(codes, values[1:], strict=True), start=2):
            if i == 2 and first is not None:
                layers.append(second_layer(net, system(2), first, layers[0], given))
            else:
                layers.append(code(layers[-1], **code.arguments("step", given)))
            check_finite(layers[-1], i)
    return layers


def _parameters(net: MLP, features: int, wanted: tuple[str, ...]) -> list[dict[str, float]]:
    """The arguments of the code of each layer, of the hyperparameters those that are wanted."""
    given = {p: net.per_layer(p) for p in HYPERPARAMETERS if p in wanted}
    values = [{p: v[i] for p, v in given.items()} | scale for i, scale in enumerate(net.scales(features))]
    del values[0]["rho"]  # there is no layer below the first
    return values


@lru_cache(maxsize=64)
def derived_system(activation: Activation, layer: LayerMap, single: bool, names: tuple[str, ...]) -> Recursions:
    """The recursions for an activation; hyperparameters are symbols, so that one text serves all layers and networks."""
    net = MLP(activation)
    rows = [quantity(name) for name in names]
    return Recursions(net, tuple(derive_layer(layer, row, labels_for(row, 1 if single else None), net) for row in rows))


def compiled_system(activation: Activation, layer: LayerMap, single: bool, names: tuple[str, ...]) -> Compiled:
    """Their code."""
    return compile(derived_system(activation, layer, single, names))


def _names(net: MLP, single: bool, quantities: str | Sequence[str] | None, order: int) -> tuple[str, ...]:
    plain = net.with_(residual=None)
    known = names_of_order(plain.layer_map, order)
    if net.residual and order > 1:
        raise NotAvailable(f"order={order} is not derived for networks with residual=; allowed: 0 or 1")
    left = _left_out(net, single, order)
    if quantities is None:
        return tuple(q.name for q in TENSORS.values() if q.name in known and q.name not in left)
    single = single and not net.residual  # skips couple the layers of one input as if they were several inputs
    finite = tuple(q.name for q in TENSORS.values() if q.name in known and _missing(plain, q.name, single) is None)
    if not isinstance(quantities, str | Iterable):
        raise InvalidArgument(f"quantities={quantities!r}; allowed: None (all), a name, or a sequence of names")
    names = (quantities,) if isinstance(quantities, str) else tuple(quantities)
    for name in names:
        row = quantity(name)
        if row.order > order:
            raise InvalidArgument(
                f"quantities={names} asks for {name}, which is of order {row.order} in 1/n, with order={order}; "
                f"allowed: order={row.order}, or only {', '.join(known)}"
            )
        if (reason := not_derived(plain.layer_map, row)) is not None:
            raise NotAvailable(f"{name}: {reason}")
        if name not in known:
            layer_recursion(plain.layer_map, row, ("",) * row.rank)  # says which cumulant has no name, if that is why
            raise InvalidArgument(
                f"quantities={names} asks for {name}, which vanishes for weights={net.weights}; "
                "allowed: ensembles in which it does not"
            )
        if name not in finite:
            raise NotAvailable(f"{name}: {_missing(plain, name, single)}; still available: {', '.join(finite)}")
    if not names:
        raise InvalidArgument("quantities=() is empty; allowed: None (all) or names such as 'K', 'V'")
    return names


def _left_out(net: MLP, single: bool, order: int) -> dict[str, str]:
    """What a network has no numbers of among the quantities up to an order, and why."""
    plain, found = net.with_(residual=None), {}
    for name in names_of_order(plain.layer_map, order):
        reason = no_numbers(net, 1 if single else 2, quantity(name)) if net.residual else None
        # skips couple the layers of one input as if they were several inputs
        reason = reason or _missing(plain, name, single and not net.residual)
        if reason is not None:
            found[name] = reason
    return {q.name: found[q.name] for q in TENSORS.values() if q.name in found}


def _exists_alone(net: MLP, name: str) -> bool:
    """Whether a quantity can be computed for each input alone."""
    plain, row = net.with_(residual=None), quantity(name)
    if net.residual and (row.correction or (row.kind is not Kind.MEAN and net.activations)):
        return False
    return not_derived(plain.layer_map, row) is None and _missing(plain, name, not net.residual) is None


def _alone(net: MLP, X: Array, names: tuple[str, ...]) -> dict[str, Array]:
    """The quantities of each input alone in all layers, (layers, inputs)."""
    if net.residual:
        runs = [iterate(net, x[None], names) for x in X]
        return {n: np.array([[np.ravel(layer[n])[0] for layer in run] for run in runs]).T for n in names}
    layers = iterate(net, X, names, alone=True)
    return {name: np.stack([layer[name] for layer in layers]) for name in names}


def _missing(net: MLP, name: str, single: bool) -> str | None:
    """Why a quantity does not exist for one of the network's activations; None if it does."""
    return missing(dict.fromkeys(net.layer_activations), net.layer_map, name, single)


def _closure(net: MLP, names: tuple[str, ...]) -> tuple[str, ...]:
    return closure(net.with_(residual=None).layer_map, names)


def _dataset(net: MLP, X: Array, names: tuple[str, ...], layers: list[dict[str, Array]], missing: str) -> xr.Dataset:
    m, numbers = len(X), np.arange(1, len(layers) + 1)
    rows = [quantity(name) for name in names]
    results = [
        Result(row, np.stack([layer[row.name] for layer in layers]).reshape((len(layers),) + (m,) * row.rank))
        for row in rows
    ]
    errors = np.maximum([float(layer["average_error"]) for layer in layers], lost_angles(net, X, names, layers))
    worst = np.maximum.accumulate(errors)
    text = "largest estimated error of a Gaussian average, relative above one"
    if worst[-1] > ACCURACY_LIMIT:
        warnings.warn(
            f"a Gaussian average has an estimated error of {worst[-1]:.1e} (limit {ACCURACY_LIMIT:.0e}); "
            "see the variable average_error",
            AccuracyWarning,
            stacklevel=3,
        )
    coords = {"layer": numbers} | {axis: np.arange(m) for axis in AXES}
    error = {"average_error": (("layer",), worst, {"long_name": text})}
    return dataset(net, results, coords, more=error, source="theory", left_out=missing)
