"""The subject: a network ensemble, as a frozen value that checks itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import sympy as sp

from ..language import symbols
from ..language.errors import InvalidArgument, InvalidInput, InvalidNetwork, unknown_name
from ..language.markup import record, short
from ..language.provided import provided
from ..language.values import of_fields
from ..layers.dense import Bias, Weights
from ..layers.map import LayerMap
from ..layers.skip import Skips, as_skips, check_widths, one_layer_skip
from .activations import Activation, as_activations
from .ensembles import Ensemble, as_ensembles, written
from .numbers import Value, as_widths, nonnegative, positive_integer, settings_given
from .parametrization import HYPERPARAMETERS as HYPERPARAMETERS
from .parametrization import Choice, Parametrization, Shape, as_parametrization, choose, solve


@dataclass(frozen=True, init=False)
class MLP:
    r"""An ensemble of multilayer perceptrons at initialisation.

    Equation
        .. math::
            z^{(1)}_{i;a} = b^{(1)}_i + \sum_{j=1}^{n_0} W^{(1)}_{ij} x_{j;a},\qquad
            z^{(\ell+1)}_{i;a} = b^{(\ell+1)}_i + \sum_{j=1}^{n_\ell} W^{(\ell+1)}_{ij}\,\sigma(z^{(\ell)}_{j;a})
            + \sum_{k\le\ell}\gamma_{\ell+1,k}\,z^{(k)}_{i;a},

        with :math:`b_i\sim N(0,C_b)`, :math:`E[W_{ij}W_{kl}]=\delta_{ik}\delta_{jl}C_W/n_\ell`, and learning-rate tensor
        :math:`\lambda_b` for biases, :math:`\lambda_W/n_\ell` for weights.
    Shapes
        ``depth`` L counts weight layers, z^(1) ... z^(L); ``width`` is one int or the L-1 hidden widths
        n_1 ... n_(L-1); each hyperparameter is one number or L numbers, for the layers 1 ... L. ``weights`` is
        "gaussian", "orthogonal" (Haar; orthonormal rows or columns), "uniform", "rademacher", "truncated_normal", an
        ``independent(excess_kurtosis)``, or one of these for each layer. ``activation`` is one, or one for each hidden layer
        1 ... L-1. ``residual`` is gamma from each hidden layer to the next (one number, or L-1 for the layers 2 ... L), or a
        mapping ``{(k, l): gamma}`` of skips from layer k to layer l > k over any number of layers; a gamma may be a symbol.
        ``parametrization`` is "pdlt" (above; takes ``C_W``, ``C_b``, ``lambda_W``, ``lambda_b``), "ntk" (``W_std``, ``b_std``,
        ``learning_rate``), "standard" (also ``features``, which is n_0), "mean_field", alias "mup" (also ``gamma_0``), or an
        ``abc(a, b, c)``, "pytorch" (nn.Linear's own: variance 1/(3 fan-in) of weights and biases; ``learning_rate``, ``features``),
        "glorot", alias "xavier" (variance 2/(fan-in + fan-out); ``W_std`` is the gain); C_W, C_b, lambda_W, lambda_b are then what
        it makes of these at the given widths. ``weights=None`` is what the parametrization draws: "uniform" in these last two,
        else "gaussian". Biases are normal in all of them. ``bias=False``: no biases, as in nn.Linear; ``b_std=0`` alone starts
        biases at zero, and trains them in "standard".
    Units
        ``C_W``, ``C_b`` are variances, never standard deviations; ``C_W="critical"`` is that of ``critical(activation)``, and C_b
        with it; ``C_W`` and ``lambda_W`` are of order one, the
        1/n is added. ``lambda = 0`` freezes a layer. ``W_std``, ``b_std`` are standard deviations.
    Valid
        Everything that is not given stays symbolic. In "standard", "mean_field" and abc, the numbers depend on the width, and
        tensors of the NTK grow with it; they are derived anew by ``at_width``.
    Errors
        ``InvalidNetwork`` for an impossible depth, width, variance or rate; ``UnknownName`` for an unknown activation, weight
        ensemble or parametrization; ``InvalidArgument`` for a hyperparameter of another parametrization; ``NotIntegrable`` for an
        activation without Gaussian averages.
    Source
        Roberts, Yaida & Hanin, The Principles of Deep Learning Theory (arXiv:2106.10165).
    """

    activation: Activation  #: that of all hidden layers; unspecified if they differ
    activations: tuple[Activation, ...] | None  #: of the hidden layers 1 ... L-1, if they differ
    depth: int | None
    width: int | tuple[int, ...] | None
    C_W: Value
    C_b: Value
    lambda_W: Value
    lambda_b: Value
    weights: Ensemble | tuple[Ensemble, ...]
    output_width: int | None
    residual: Skips  #: (from layer, to layer, gamma)
    parametrization: Choice  #: with the hyperparameters that were given

    def __init__(
        self,
        activation: Any = None,
        *,
        depth: int | None = None,
        width: int | Sequence[int] | None = None,
        C_W: float | Sequence[float] | str | None = None,
        C_b: float | Sequence[float] | None = None,
        lambda_W: float | Sequence[float] | None = None,
        lambda_b: float | Sequence[float] | None = None,
        weights: str | Ensemble | Sequence[str | Ensemble] | None = None,
        output_width: int | None = None,
        residual: float | sp.Expr | Sequence[Any] | Mapping[tuple[int, int], Any] | None = None,
        parametrization: str | Parametrization = "pdlt",
        W_std: float | Sequence[float] | None = None,
        b_std: float | Sequence[float] | None = None,
        learning_rate: float | Sequence[float] | None = None,
        gamma_0: float | None = None,
        features: int | None = None,
        bias: bool = True,
    ) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731  a frozen value sets itself once
        put("depth", None if depth is None else positive_integer("depth", depth))
        one, several = as_activations(activation, self.depth)
        put("activation", one)
        put("activations", several)
        put("width", as_widths(width, self.depth))
        put("residual", as_skips(residual, self.depth))
        if isinstance(C_W, str):
            C_W, C_b = _critical(self, C_W, C_b, bias)
        given = {"C_W": C_W, "C_b": C_b, "lambda_W": lambda_W, "lambda_b": lambda_b}
        given |= {"W_std": W_std, "b_std": b_std, "learning_rate": learning_rate}
        given = {name: nonnegative(name, value, self.depth) for name, value in given.items()}
        put("parametrization", choose(parametrization, given | settings_given(gamma_0, features), bias))
        put("output_width", None if output_width is None else positive_integer("output_width", output_width))
        for name, value in self.parametrization.numbers(self.depth, self.shape).items():
            put(name, nonnegative(name, value, self.depth))
        put("weights", as_ensembles(self.parametrization.row.weights if weights is None else weights, self.depth))
        check_widths(self.residual, self.hidden_widths, self.output_width)

    @property
    def layer_map(self) -> LayerMap:
        """The map from one layer to the next, as the sum of terms that the engine differentiates."""
        kinds = self.weights if isinstance(self.weights, tuple) else (self.weights,)
        crossed = -symbols.tau if any(w.crossed != 0 for w in kinds) else sp.Integer(0)
        excess = symbols.kappa_4 if any(w.excess != 0 for w in kinds) else sp.Integer(0)
        terms = (Bias(), Weights(crossed=crossed, excess=excess))
        return LayerMap((*terms, *one_layer_skip(self.residual, self.depth or 1)))

    @property
    def layer_activations(self) -> tuple[Activation, ...]:
        """The activations of the hidden layers 1 ... L-1."""
        return self.activations or (self.activation,) * ((self.depth or 1) - 1)

    @property
    def distinct_activations(self) -> tuple[Activation, ...]:
        """The activations that occur, each once."""
        return tuple(dict.fromkeys(self.layer_activations)) or (self.activation,)

    @property
    def activation_names(self) -> str:
        """Their names, by commas."""
        return ", ".join(a.name for a in self.distinct_activations)

    @property
    def hidden_widths(self) -> tuple[int, ...] | None:
        """The widths n_1 ... n_(L-1), when depth and width are given."""
        if self.width is None or self.depth is None:
            return None
        return self.width if isinstance(self.width, tuple) else (self.width,) * (self.depth - 1)

    @property
    def shape(self) -> Shape:
        """The hidden widths and the output width, as far as they are given."""
        return self.hidden_widths, self.output_width

    @property
    def attrs(self) -> dict[str, Any]:
        """All arguments of the network as text, numbers and lists that a file can hold, from which it can be made again."""
        found: dict[str, Any] = {"activation": self.activation_names, "weights": str(self.weights)}
        found |= {} if self.depth is None else {"depth": self.depth}
        found |= {"width": list(self.hidden_widths)} if self.hidden_widths else {}
        found |= {"output_width": self.output_width} if self.output_width else {}
        if self.residual:
            found["residual"] = str({(low, high): gamma for low, high, gamma in self.residual})
        if self.depth is not None:
            found |= {n: list(self.per_layer(n)) for n in HYPERPARAMETERS if getattr(self, n) is not None}
        if self.parametrization.name != "pdlt":
            found |= {"parametrization": self.parametrization.name}
            found |= {
                name: str(value) for name, value in self.parametrization.arguments.items() if name != "parametrization"
            }
        return found | {"network": self.written}

    def per_layer(self, name: str) -> tuple[float, ...]:
        """The values of a hyperparameter in the layers 1 ... L; ``InvalidNetwork`` if it, or the depth, is not given."""
        if self.depth is None:
            raise InvalidNetwork(
                "depth=None: a number can be computed only for a given depth; allowed: integers from 1"
            )
        for k, m, gamma in self.residual:
            if isinstance(gamma, sp.Expr):
                raise InvalidNetwork(
                    f"residual={{({k}, {m}): {gamma}}} is a symbol: a number can be computed only for given strengths; "
                    "allowed: reals from -1 to 1"
                )
        if name not in HYPERPARAMETERS:
            raise unknown_name("hyperparameter", name, HYPERPARAMETERS)
        value: Value = getattr(self, name)
        if value is None:
            needed = self.parametrization.missing(name, self.depth, self.shape)
            raise InvalidNetwork(
                f"{name}=None: a number can be computed only for a given {' and '.join(needed)}; allowed: reals from 0"
            )
        return value if isinstance(value, tuple) else (value,) * self.depth

    @property
    def ensembles(self) -> tuple[Ensemble, ...]:
        """The weight ensembles of the layers 1 ... L."""
        return self.weights if isinstance(self.weights, tuple) else (self.weights,) * (self.depth or 1)

    def all_widths(self, features: int) -> tuple[int, ...]:
        """n_0 ... n_L for inputs of that many features; widths not given count as n_0, an output width not given as n_(L-1)."""
        given = self.parametrization.arguments.get("features", features)
        if given != features:
            raise InvalidInput(
                f"X has {features} features, but the network was given features={given}; allowed: {given}"
            )
        hidden = self.hidden_widths or (features,) * ((self.depth or 1) - 1)
        return (features, *hidden, self.output_width or (hidden or (features,))[-1])

    def scales(self, features: int) -> tuple[dict[str, float], ...]:
        r"""The numbers that shapes and ensembles of the weights put into the recursions of the layers 1 ... L.

        ``rho`` is n_l/n_(l-1) for the map to layer l+1 (1 for the first layer, below which there is none), ``tau`` and ``kappa_4``
        are the fourth cumulants of its weights.
        """
        n = self.all_widths(features)
        return tuple(
            {
                "rho": n[k] / n[k - 1] if k else 1.0,
                "tau": w.tau(n[k], n[k + 1]),
                "kappa_4": float(w.excess),
            }
            for k, w in enumerate(self.ensembles)
        )

    @property
    def known(self) -> dict[sp.Symbol, sp.Expr]:
        """The symbols of the recursions that this network fixes to one number for all layers."""
        fixed = {
            getattr(symbols, name): sp.nsimplify(value, rational=True)
            for name in HYPERPARAMETERS
            if isinstance(value := getattr(self, name), float)
        }
        if isinstance(self.weights, Ensemble) and self.weights.excess != 0:
            fixed[symbols.kappa_4] = self.weights.excess
        if isinstance(self.width, int):
            fixed[symbols.rho] = sp.Integer(1)
            if self.output_width in (None, self.width):
                fixed[symbols.tau] = sp.Integer(1)
        return fixed

    @property
    def fingerprint(self) -> str:
        """A short name for the content of this network."""
        return of_fields(self)

    def at_width(self, width: int | Sequence[int]) -> MLP:
        """The same network at another width: the numbers that were given stay as they are."""
        return self.with_(width=width)

    def to(
        self, parametrization: str | Parametrization, *, gamma_0: float | None = None, features: int | None = None
    ) -> MLP:
        """The same network in another parametrization; ``InvalidArgument`` says why if it has none there.

        >>> MLP("relu", depth=3, C_W=2, C_b=0, lambda_W=1, lambda_b=0).to("ntk")
        MLP('relu', depth=3, parametrization='ntk', W_std=sqrt(2), b_std=0.0, learning_rate=0.5)
        """
        row = as_parametrization(parametrization)
        own = self.parametrization.arguments
        kept = {k: own[k] for k in ("gamma_0", "features") if k in own and k in row.hyperparameters}
        settings = kept | dict(choose(row, settings_given(gamma_0, features)).given)
        numbers = {name: self.per_layer(name) for name in HYPERPARAMETERS}
        try:
            found = solve(row, numbers, self.shape, settings)
        except InvalidArgument:  # biases that start at zero and stay there are not everywhere a number
            if any(numbers["C_b"]) or any(numbers["lambda_b"]):
                raise
            found = solve(row.unbiased, numbers, self.shape, settings) | {"bias": False}
        return self.with_(parametrization=row, **found)

    def with_(self, **changes: Any) -> MLP:
        """A copy with some arguments changed.

        A change of C_W, C_b, lambda_W or lambda_b takes the others as they are, and leaves any parametrization but "pdlt"; a
        change of ``parametrization`` starts without hyperparameters (``to`` converts them).
        """
        fields = {f: getattr(self, f) for f in self.__dataclass_fields__}
        numbers = {name: fields.pop(name) for name in HYPERPARAMETERS}
        fields["residual"] = {(k, m): gamma for k, m, gamma in self.residual} or None
        fields["activation"] = fields.pop("activations") or self.activation
        del fields["parametrization"]
        if "parametrization" not in changes:
            fields |= numbers if numbers.keys() & changes else self.parametrization.arguments
            if changes.get("bias") is False:
                fields = {k: v for k, v in fields.items() if k not in HYPERPARAMETERS or not k.endswith("_b")} | {
                    "b_std": None
                }
        return MLP(**(fields | changes))

    @property
    def written(self) -> str:
        """The call that makes the network, whole; ``repr`` is the same where it fits into a line."""
        given = [repr([a.name for a in self.activations] if self.activations else self.activation.name)]
        shown = {"depth": self.depth, "width": self.width, **self.parametrization.arguments}
        shown |= {"output_width": self.output_width}
        given += [f"{name}={value!r}" for name, value in shown.items() if value is not None]
        if isinstance(self.weights, tuple) or self.weights.name != self.parametrization.row.weights:
            given.append(f"weights={written(self.weights)}")
        if self.residual:
            given.append(f"residual={ {(k, m): gamma for k, m, gamma in self.residual} }")
        return f"MLP({', '.join(given)})"

    def __repr__(self) -> str:
        return short(self.written)

    def _repr_html_(self) -> str:
        formulas = {a.name: a.expr if a.specified else "unspecified" for a in self.distinct_activations}
        shown = [
            f"sigma(z) = {formula}" if name == str(formula) else f"{name}: {formula}"
            for name, formula in formulas.items()
        ]
        entries: dict[str, Any] = {"activation": "; ".join(shown), "depth": self.depth, "hidden widths": self.width}
        entries |= {name: value for name, value in self.parametrization.arguments.items() if value is not None}
        entries |= {"output width": self.output_width, "weights": self.weights}
        entries["skips"] = ", ".join(f"{gamma} from layer {low} to {high}" for low, high, gamma in self.residual or ())
        return record("Network", {name: short(str(v)) for name, v in entries.items() if v is not None})


def _critical(net: MLP, C_W: str, C_b: Any, bias: Any) -> tuple[Any, Any]:
    """The variances of the critical point; with ``bias=False`` those of the biases are not there to be given."""
    if C_W != "critical":
        raise InvalidNetwork(f"C_W={C_W!r} is a variance; allowed: 'critical', or finite real numbers from 0")
    weight, own = provided("critical_variances")(net.layer_activations, net.activation, net.depth, net.residual)
    if C_b is not None or not bias:
        given = 0.0 if C_b is None else C_b
        if not isinstance(given, Real) or abs(float(given) - own) > 1e-9 * max(1.0, own):
            raise InvalidNetwork(
                f"C_b={given!r} with C_W='critical': kernels neither grow nor decay at C_b = {own:.10g}; allowed: this, or C_b=None"
            )
    return weight, own if bias else None


def kinked(net: MLP) -> bool:
    """Whether an activation is a different formula on two sides of a point."""
    return any(a.kinks for a in net.layer_activations)


def smooth(net: MLP) -> bool:
    """Whether no slope of an activation breaks, so that its second derivative is a function, and a bounded one near kinks."""
    found = [act.broken for act in net.layer_activations]
    return all(b is None or b.order > 2 or (b.order == 2 and b.finite) for b in found)
