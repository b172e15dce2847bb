"""The equations of a network with skips: all of its layers in one system, with the steps that lead to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import sympy as sp

from ..language.document import Setting
from ..language.equation import pairs_of, resolved
from ..language.equations import Change, Equations, Law, Plain, Statement, equal
from ..language.errors import InvalidArgument, NotAvailable
from ..language.quantities import Kind, Quantity, quantity
from ..language.steps import Step, Steps
from ..layers.map import LayerMap
from ..meanfield.expansion import not_derived
from ..networks.activations import Activation
from ..networks.architecture import MLP
from ..networks.setting import statement
from .crosslayer import LayerStatement, Role, fluctuations, kernel, order_parameter, over_layers
from .dependencies import check_order, names_of_order
from .derivation import derive_layer, labels_for, remarks, with_numbers
from .layered import ELL
from .printed import READABLE, Specialized, explicit
from .setting import layered_symbols
from .skips import Skips

MEANS = ("K", "Theta")


@dataclass(frozen=True, repr=False)
class CrossLayer(Equations):
    r"""The equations of a network with skips, over all its layers at once.

    Equation
        .. math::
            K^{(\ell m)}=\sum_k \mathcal R^{(\ell k)}\mathcal R^{(mk)}q_K^{(k)},

            V^{(\ell)}=n_{\ell-1}\Big[\sum_{jk}(\mathcal R^{(\ell j)}\mathcal R^{(\ell k)})^2C_V^{(jk)}
                +2\sum_k(\mathcal R^{(\ell k)})^2G_V^{(\ell k)}\Big]

        with the covariances C of order parameters q, G of products of a neuron's own jets with q, N of noise with q; their
        sources S and O, which are Gaussian averages over the preactivations of two layers, and the responses J.
    Shapes
        A mapping name → ``sympy.Eq``: "q_K", "K", ..., "J_V_V", "S_V", "O_V", "N_V", "C_V", "G_V", "V". A T behind the name of a
        tensor exchanges its pairs. ``.names`` are the tensors asked for.
    Units
        A tensor of layer l multiplies 1/n_(l-1); S, N, C, O, G are covariances, and hold 1/n.
    Valid
        Leading order in 1/width at any depth and any skips, between layers of equal widths. Fluctuations are those of one input.
    Errors
        Those of ``Equations``.
    Source
        Derived here from the definition of the layer (``theory.initialisation.crosslayer``).
    """

    subject: MLP
    statements: tuple[LayerStatement, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]  #: of the samples: one without a name, or two
    layer: LayerMap  #: without its skips
    skips: Skips
    #: Quantities that kinks of the activation make infinite, and which average.
    left_out: tuple[tuple[str, str], ...] = ()
    #: The names of the mapping, where they are not all; the equations that they need stay behind them.
    kept: tuple[str, ...] | None = None

    @property
    def visible(self) -> tuple[LayerStatement, ...]:
        """The equations of the mapping."""
        return tuple(s for s in self.statements if self.kept is None or s.name in self.kept)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is left out."""
        return remarks(self.left_out)

    @property
    def one(self) -> Statement:
        """The equation of the mapping, or of the tensor asked for, if it is one."""
        if self.kept is not None or len(self.names) != 1:
            return super().one
        return self.statement(self.names[0])

    @property
    def single(self) -> bool:
        """Whether the equations are those of one input, without index."""
        return not any(self.labels)

    def of_role(self, *roles: Role) -> tuple[LayerStatement, ...]:
        """The equations in some place of the system."""
        return tuple(s for s in self.statements if s.role in roles)

    @property
    def further(self) -> tuple[Law, ...]:
        """The mixing of the skips, and the first layer where it is not zero."""
        firsts = (s for s in self.visible if s.first != 0)
        return (*self.skips.laws, *(Plain(_at_one(s.law.left), s.first) for s in firsts))

    @property
    def heading(self) -> str:
        """The title of their section in a document."""
        return "Equations over all layers"

    def setting(self, width: float) -> Setting:
        """The network, and the symbols of its equations."""
        roles = dict.fromkeys(s.role for s in self.statements)
        return Setting(statement(self.subject, width), layered_symbols(roles, self.names, self.subject.known))

    @cached_property
    def steps(self) -> Steps:
        """The derivation: the neuron through all layers, its kernels, noise, responses, covariances, the tensors."""
        return Steps(tuple(step for step in _steps(self) if step.equations))

    def restrict(self, names: str | Iterable[str]) -> Self:
        """Only some of the equations; code is generated from them and all that they need."""
        wanted = (names,) if isinstance(names, str) else tuple(names)
        kept = tuple(self.statement(name).name for name in wanted)
        return replace(self.closed(wanted), kept=tuple(n for n in self if n in kept))

    def closed(self, names: Iterable[str]) -> Self:
        """The system that some of the tensors need."""
        needs = {s.name: s.needs for s in self.statements}
        needed, todo = set[str](), set(names)
        while todo:
            name = todo.pop()
            needed.add(name)
            todo |= (needs[name] & needs.keys()) - needed
        statements = tuple(s for s in self.statements if s.name in needed)
        tensors = tuple(s.name for s in statements if s.name in names and s.role in (Role.KERNEL, Role.TENSOR))
        return replace(self, statements=statements, names=tensors, kept=None)

    def of(self, activation: Activation) -> Self:
        """The same equations for a network with that activation and no numbers, which laws do not depend on."""
        return replace(self, subject=MLP(activation))

    def specialize(self) -> Self:
        """The same with closed forms of the network's activation wherever they exist; other averages stay."""
        return self.general._showing(Specialized(self.subject.activation.concrete()))

    def doit(self) -> Self:
        """The same with the derivatives of Price's theorem carried out under the averages."""
        return self._showing(explicit)

    def _showing(self, change: Change) -> Self:
        before = ((s, tuple(c for c in s.shown if c is not over_layers)) for s in self.statements)
        return replace(self, statements=tuple(replace(s, shown=(*shown, change, over_layers)) for s, shown in before))

    def subs(self, *arguments: Any) -> Self:
        """As ``Equations.subs``; numbers for hyperparameters are those of the network from then on."""
        found = super().subs(*arguments)
        return replace(found, subject=with_numbers(self.subject, resolved(pairs_of(*arguments), self.symbols)))


def names_with_skips(
    layer: LayerMap, names: tuple[str, ...] | None, samples: int | Sequence[str] | None, order: int | None
) -> tuple[str, ...]:
    """The names, or all up to an order; ``NotAvailable`` for quantities that are not derived for networks with skips."""
    if names is None:
        if check_order(order := 1 if order is None else order) > 1:
            raise NotAvailable(f"order={order} is not derived for networks with residual=; allowed: 0 or 1")
        if samples not in (None, 1):
            raise InvalidArgument(f"samples={samples!r} with all quantities; allowed: None or 1")
        return tuple(n for n in names_of_order(layer, order) if _derived(quantity(n)))
    for row in map(quantity, names):
        _check(row, samples)
    return names


def cross_layer(
    net: MLP, layer: LayerMap, skips: Skips, names: Sequence[str], samples: int | Sequence[str] | None = None
) -> CrossLayer:
    """The system that the tensors ``names`` need, for a layer without its skips, and these."""
    tensors = tuple(name for name in names if quantity(name).kind is Kind.COVARIANCE)
    labels = ("",) if samples == 1 or tensors else labels_for(quantity("K"), samples)
    statements = (
        *(s for mean in MEANS for s in _mean(net, layer, mean, labels)),
        *fluctuations(layer, tensors, net.known, lambda n: _first(net, layer, n)),
    )
    found = CrossLayer(net, statements, tuple(names), labels, layer, skips).closed(names)
    return found._showing(Specialized(net.activation, READABLE)) if net.activation.specified else found


def _derived(row: Quantity) -> bool:
    return row.kind in (Kind.MEAN, Kind.COVARIANCE)


def _check(row: Quantity, samples: int | Sequence[str] | None) -> None:
    """``NotAvailable`` for corrections, higher cumulants, and fluctuations of several inputs."""
    if not _derived(row):
        raise NotAvailable(
            f"{row.name}: corrections to means and higher cumulants of networks with residual= are not derived; allowed: "
            "residual=None, or K, Theta, V, D, F, A, B, P, Q, R, S, T, U"
        )
    if row.kind is Kind.COVARIANCE and samples not in (None, 1):
        raise NotAvailable(
            f"{row.name}: fluctuations of networks with residual= are derived for one input; samples={samples!r}; allowed: 1, None"
        )


def _mean(net: MLP, layer: LayerMap, name: str, labels: tuple[str, ...]) -> tuple[LayerStatement, LayerStatement]:
    """The order parameter of a layer, and the kernel that all layers below make."""
    found = derive_layer(layer, quantity(name), labels * (2 // len(labels)), net)
    left = order_parameter(name, ELL + 1)
    field = LayerStatement(name=left.name, law=Plain(left, found.law.right), role=Role.FIELD, first=found.first.rhs)
    return field, kernel(name)


def _first(net: MLP, layer: LayerMap, name: str) -> sp.Expr:
    """A tensor in the first layer, of one input; that of the weights alone."""
    row = quantity(name)
    if row.kind is not Kind.COVARIANCE or not_derived(layer, row) is not None:
        return sp.S.Zero
    first: sp.Expr = derive_layer(layer, row, ("",) * row.rank, net).first.rhs
    return first


def _at_one(left: sp.Expr) -> sp.Expr:
    """A left-hand side in the first layer."""
    return left.xreplace({symbol: 1 - shift for symbol in left.free_symbols for shift in [_shift(left, symbol)]})


def _shift(left: sp.Expr, symbol: sp.Basic) -> sp.Expr:
    return next(layer - symbol for layer in left.args[3:] if symbol in layer.free_symbols)


def _steps(found: CrossLayer) -> tuple[Step, ...]:
    """The derivation, in the objects that the engine used."""

    def of(*roles: Role) -> tuple[sp.Eq, ...]:
        return tuple(s.equation for s in found.of_role(*roles))

    return (
        Step(
            "A neuron through all layers",
            r"A skip hands a neuron's own preactivation on, so that $z^{(\ell)}=\sum_k\mathcal{R}^{(\ell,k)}\xi^{(k)}$ with "
            r"$\xi^{(\ell+1)}=b+W\sigma(z^{(\ell)})$ and $\mathcal{R}=(1-\gamma)^{-1}$; its jets alike.",
            tuple(equal(law.left, law.right) for law in found.skips.laws),
        ),
        Step(
            "Kernels",
            r"Given the neuron averages $q^{(k)}$ of all layers, the $\xi^{(k)}$ of a neuron are independent Gaussians of "
            r"covariance $q^{(k)}$. Averages are over the preactivations of the layers, whose covariances are the kernels "
            r"$K^{(\ell,m)}$.",
            of(Role.FIELD, Role.KERNEL),
        ),
        Step(
            "Noise",
            r"$q_A^{(\ell+1)}$ is an average of $f_A^{(\ell)}$ over $n_\ell$ neurons. These are the same neurons in all layers, so "
            r"that the noise $\eta$ of the averages is correlated between layers: S is its covariance.",
            of(Role.SOURCE),
        ),
        Step(
            "Price",
            r"The average answers to the fluctuation $\delta Q_c^{(\ell)}=\sum_k(\mathcal{R}^{(\ell,k)})^2\,\delta q_c^{(k)}$ of "
            r"the kernel of its layer by $J_{Ac}=\partial\langle f_A\rangle/\partial q_c=\langle\partial_x\partial_y f_A\rangle$, "
            "half of it for $c=xx$.",
            of(Role.RESPONSE),
            sources=("price",),
        ),
        Step(
            "Covariances of the averages",
            r"$\delta q_A^{(\ell+1)}=\eta_A^{(\ell+1)}+\sum_cJ_{Ac}^{(\ell)}\,\delta Q_c^{(\ell)}$ on one side gives N, the "
            "covariance of noise with averages, and on the other side C, that of averages with averages.",
            of(Role.NOISE, Role.COVARIANCE),
        ),
        Step(
            "Own products",
            "A neuron is one of those that the averages average: the product of two of its own jets has the covariance O with the "
            "noise, and G with the averages.",
            of(Role.OWN_SOURCE, Role.OWN),
        ),
        Step(
            "Result",
            "The covariance of the products of jets of two different neurons: both through the averages, or one through "
            "the averages and the other of the neuron itself.",
            of(Role.TENSOR),
        ),
    )
