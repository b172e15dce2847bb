r"""Dynamical mean-field theory: the closed equations of training at infinite width, derived.

The program of one training step (``program``) holds products with the weight matrices. Each matrix is its initial value plus a sum
of outer products; with the cavity rule for the initial value (``cavity``) every neuron of a layer obeys the same stochastic
equations, driven by Gaussian fields; overlaps and responses of these neurons are the order parameters that close them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import sympy as sp

from ..language import symbols
from ..language.document import Setting
from ..language.equations import Equations, Law, Plain, Statement, mapped
from ..language.errors import InvalidArgument
from ..language.steps import Steps
from ..language.symbols import SiteAverage, ell, gamma_0
from .cavity import at_layer, at_place, covariance, definition, gathered, overlap, site
from .fields import ORDERS, Memory, OrderParameter, SiteField, eta, in_order, last, width
from .linear import closed_equations
from .narrative import steps_of
from .optimizer import kernels
from .orders import Schema, boundaries, orders
from .program import HERE, HERE_OUT, PAST, PAST_OUT, Outer, StepProgram, activity, error, initial, optimizer, program
from .setting import statement, training_symbols
from .share import share
from .subject import Training


@dataclass(frozen=True, repr=False)
class Dynamics(Equations):
    r"""The closed system of equations of a network in training, at infinite width.

    Equation
        ``dynamics["h"]`` and so on are ``sympy.Eq``: the single-site fields h, z, g; the predictions f, the errors Delta and the
        tangent kernel Theta; the covariances of the Gaussian fields u, r; the order parameters Phi, G and responses A, B. As
        printed: with the numbers of the flow, and without the index of a single output; ``system`` has all indices.
    Shapes
        Indices: mu, alpha samples; k, k' outputs (left out in print where there is one); t, s times; :math:`\ell=1\dots L`.
    Units
        Time in steps times the learning rate; sums over samples.
    Valid
        Width to infinity at fixed depth, samples, time. In continuous time B holds a part at equal times,
        :math:`\delta(t-s)\,\gamma_0^{-1}\langle\ddot\phi(h)z\rangle` of the layer above; in discrete time its sum includes s = t.
    Errors
        Those of ``Equations``.
    Source
        Derived by the cavity rule; notation of Bordelon & Pehlevan (arXiv:2205.09653).
    """

    subject: Training

    @cached_property
    def boundaries(self) -> tuple[sp.Eq, ...]:
        """Below the first and above the last hidden layer."""
        return tuple(map(self.as_printed, self.schema.boundaries))

    @cached_property
    def schema(self) -> Schema:
        """The order parameters with what they are averages of, and their values at the boundaries: what a solver has to hold."""
        found = orders(self.system)
        return Schema(found, boundaries(found, program()))

    @cached_property
    def share(self) -> sp.Expr | None:
        """What one neuron of the last hidden layer adds to a prediction, a function of z and of its activity; None if none does."""
        return share(self.system, self.schema)

    @cached_property
    def optimizer(self) -> tuple[sp.Eq, ...]:
        """The equations of a(t) and m(t, s), the shares of the initial parameters and of a step, with momentum or weight decay."""
        flow = self.subject
        return kernels(flow.momentum, flow.weight_decay, continuous=flow.continuous)

    @cached_property
    def closed(self) -> tuple[sp.Eq, ...]:
        r"""Of a linear network the algebraic equations for Phi, A, G, B, by elimination of the sites; none for others.

        C and D are the operators over samples and times that the memories of h and z apply.
        """
        if not is_linear(self):
            return ()
        slope = sp.diff(self.subject.net.activation.expr, symbols.z)
        return closed_equations(self, slope)

    def without_responses(self) -> Dynamics:
        """The system without the responses A and B, which is wrong: matrices drawn anew in every step have none."""
        return self.with_(**{n: _drop(self.system[n].rhs, ("A", "B")) for n in ("h", "z")})

    @cached_property
    def steps(self) -> Steps:
        """The derivation: forward pass, backward pass, update, trained matrices, cavity rule, order parameters."""
        return steps_of(dynamics(self.subject))

    @property
    def further(self) -> tuple[Law, ...]:
        """The values at the boundaries, the kernels of an optimizer, and the closed system of a linear network."""
        if len(self) < len(dynamics(self.subject)):
            return ()
        return tuple(Plain(eq.lhs, eq.rhs, in_order) for eq in (*self.boundaries, *self.optimizer, *self.closed))

    @property
    def heading(self) -> str:
        """The title of their section in a document."""
        return "Equations of training"

    def setting(self, width: float) -> Setting:
        """The network and its training, and the symbols of the equations."""
        return Setting(statement(self.subject, width), training_symbols(self))

    def as_printed(self, equation: sp.Eq) -> sp.Eq:
        """An equation with the numbers of the flow, and without the index of a single output."""
        return mapped(equation, Shown(self.subject))


@lru_cache(maxsize=64)
def dynamics(flow: Training) -> Dynamics:
    """Derive the equations of training."""
    if not isinstance(flow, Training):
        raise InvalidArgument(f"flow={flow!r} is a {type(flow).__name__}; allowed: a Training")
    found = {**_derived(), "Delta": _errors(flow)}
    shown = (Shown(flow),)
    laws = {name: Plain(eq.lhs, eq.rhs, in_order) for name, eq in found.items()}
    return Dynamics(flow, tuple(Statement(name=name, law=law, shown=shown) for name, law in laws.items()))


@dataclass(frozen=True)
class Shown:
    """An expression as it is printed: with the numbers of the flow, and without the index of a single output."""

    flow: Training

    def __call__(self, expr: sp.Expr) -> sp.Expr:
        """The expression, changed."""
        flow = self.flow
        known = {
            getattr(symbols, name): sp.nsimplify(getattr(flow.net, name), rational=True)
            for name in ("C_W", "C_b", "lambda_W", "lambda_b")
        }
        if not flow.weight_decay:
            known[initial()] = sp.S.One
        if not (flow.weight_decay or flow.momentum):
            known[optimizer()] = sp.S.One
        if flow.continuous:
            known[eta] = sp.S.One
        return gathered(_rebuilt(expr, known, flow)) if expr.has(Memory) else _rebuilt(expr, known, flow)


@lru_cache(maxsize=1)
def _derived() -> dict[str, sp.Eq]:
    steps = program()
    found = {
        "h": sp.Eq(steps.forward.lhs, site(steps, steps.forward), evaluate=False),
        "z": sp.Eq(steps.signal.lhs, site(steps, steps.signal), evaluate=False),
        "g": steps.gradient,
        "f": sp.Eq(steps.output.lhs, _prediction(steps), evaluate=False),
        "Delta": sp.Eq(error(HERE_OUT), sp.S.Zero, evaluate=False),
        "Theta": _tangent_kernel(steps),
    }
    for name, here, there in (("u", HERE, PAST), ("r", HERE_OUT, PAST_OUT)):
        x, y = SiteField(name, ell, *here), SiteField(name, ell, *there)
        found[name] = sp.Eq(SiteAverage(sp.Mul(x, y, evaluate=False)), covariance(x, y), evaluate=False)
    places = {"Phi": (HERE, PAST), "G": (HERE_OUT, PAST_OUT), "A": (HERE, PAST_OUT), "B": (HERE_OUT, PAST)}
    for name in ORDERS:
        order = OrderParameter(name, ell, *places[name])
        found[name] = sp.Eq(order, definition(order), evaluate=False)
    return found


def _prediction(steps: StepProgram) -> sp.Expr:
    r"""The output, a layer of one neuron.

    It sends back the gradient :math:`g^{L+1}_{k\mu}=\gamma_0N\,\partial f/\partial(\gamma_0\sqrt N f_k)=\sqrt N\,e_k`.
    In the equation of its single site the Gaussian field, divided by the root of N, vanishes. The initial readout enters through
    the response to :math:`r^L`, which is one number for each neuron and output, so that by Stein's identity
    :math:`C_W\sum_s\sum_\alpha\langle\delta\phi/\delta r(s)\rangle=\langle r\,\phi\rangle`.
    """
    expr = sp.expand(site(steps, steps.output))
    here = HERE_OUT[0][0]
    total = sp.S.Zero
    for term in sp.Add.make_args(expr):
        factor, memory = term.as_independent(Memory)
        if not isinstance(memory, Memory):  # the Gaussian field
            assert (
                sp.limit(term.xreplace(dict.fromkeys(term.atoms(SiteField, OrderParameter), sp.S.One)), width, sp.oo)
                == 0
            )
            continue
        for part in sp.Add.make_args(sp.expand(memory.kernel)):
            kernel = (factor * part * sp.sqrt(width)).xreplace(_own_output(part, here))
            responses = [o for o in kernel.atoms(OrderParameter) if o.name == "A"]
            if responses:
                stein = SiteAverage(SiteField("r", last, (here,), "") * activity(last)) / (gamma_0 * symbols.C_W)
                total += kernel.xreplace({responses[0]: stein})
            else:
                total += Memory(kernel, sp.S.One, PAST)
    return gathered(total)


def _own_output(expr: sp.Expr, output: str) -> dict[sp.Expr, sp.Expr]:
    """The readout of an output multiplies its own vector alone: k for k'."""
    return {
        o: OrderParameter(o.name, o.layer, *((tuple(output if i == "k'" else i for i in ix), t) for ix, t in o.places))
        for o in expr.atoms(OrderParameter)
    }


def _tangent_kernel(steps: StepProgram) -> sp.Eq:
    r""":math:`\gamma_0^2N^2\sum_\theta\frac{\lambda}{N}\partial f\,\partial f` layer by layer: gradients are outer products."""
    total, here, there = sp.S.Zero, HERE_OUT, (PAST_OUT[0], HERE_OUT[1])
    for equation, layer in ((steps.weights, ell), (steps.biases, ell + 1)):
        (memory,) = equation.rhs.atoms(Memory)
        rate = memory.kernel.xreplace(dict.fromkeys(memory.kernel.atoms(OrderParameter), sp.S.One)) / (gamma_0 * eta)
        vector = at_layer(memory.vector, layer)  # the vectors of a parameter's gradient
        parts = vector.args if isinstance(vector, Outer) else (vector,)
        total += rate * sp.Mul(*(overlap(at_place(v, here), at_place(v, there)) for v in parts))
    lhs = OrderParameter("Theta", None, here, there)
    return sp.Eq(lhs, sp.Sum(sp.factor_terms(total), (ell, 0, last)), evaluate=False)


def _errors(flow: Training) -> sp.Eq:
    """Delta of an output; of the first one, where the loss mixes them."""
    outputs = 1 if flow.loss.separate else flow.outputs
    (value, *_), (_, fs, ys) = flow.loss.errors(outputs), flow.loss.value(outputs)
    names = ["k"] if outputs == 1 else [f"k={i}" for i in range(1, outputs + 1)]
    letters: dict[sp.Expr, sp.Expr] = {}
    for k, a, b in zip(names, fs, ys, strict=True):
        letters |= {a: OrderParameter("f", None, ((k, "mu"), "t")), b: OrderParameter("y", None, ((k, "mu"), ""))}
    return sp.Eq(error(((names[0], "mu"), "t")), value.xreplace(letters), evaluate=False)


def _drop(expr: sp.Expr, names: tuple[str, ...]) -> sp.Expr:
    """The expression without some order parameters."""
    return gathered(
        expr.replace(
            lambda e: isinstance(e, Memory),
            lambda e: e.func(
                e.kernel.xreplace({o: sp.S.Zero for o in e.kernel.atoms(OrderParameter) if o.name in names}), e.vector
            ),
        )
    )


def _rebuilt(expr: sp.Expr, known: Mapping[sp.Expr, sp.Expr], flow: Training) -> sp.Expr:
    """Known values put in; without the output's index if there is one output; sums as integrals in continuous time."""

    def places(node: Any) -> Any:
        return tuple((tuple(i for i in ix if i not in ("k", "k'")), t) for ix, t in node)

    expr = expr.xreplace(dict(known))
    if flow.outputs == 1:
        atoms: dict[sp.Expr, sp.Expr] = {
            x: type(x)(x.name, x.layer, *places((x.place,))[0]) for x in expr.atoms(SiteField)
        }
        atoms |= {o: OrderParameter(o.name, o.layer, *places(o.places)) for o in expr.atoms(OrderParameter)}
        atoms |= dict.fromkeys(expr.atoms(sp.KroneckerDelta), sp.S.One)
        expr = expr.xreplace(atoms)
    memories: dict[sp.Expr, sp.Expr] = {}
    for memory in expr.atoms(Memory):
        place = places((memory.place,))[0] if flow.outputs == 1 else memory.place
        strict = memory.strict or flow.continuous
        memories[memory] = Memory(memory.kernel, memory.vector, place, strict=strict, continuous=flow.continuous)
    return expr.xreplace(memories)


def is_linear(found: Dynamics) -> bool:
    """Whether the activation is linear, so that the sites are Gaussian and the system closes algebraically."""
    activation = found.subject.net.activation
    expr = activation.expr
    if expr is None or activation.kinks:
        return False
    return sp.diff(expr, symbols.z, 2) == 0 and expr.subs(symbols.z, 0) == 0
