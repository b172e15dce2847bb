r"""The cavity rule: a random matrix that is multiplied from both sides becomes a Gaussian field and a memory.

For the matrix of the initialisation, of variance :math:`C_W/N`, as :math:`N\to\infty`

.. math::
    W a(t)\to u(t)+C_W\sum_s\Bigl\langle\frac{\delta a(t)}{\delta r(s)}\Bigr\rangle b(s),\qquad
    W^\top b(t)\to r(t)+C_W\sum_s\Bigl\langle\frac{\delta b(t)}{\delta u(s)}\Bigr\rangle a(s),

with independent Gaussian fields of covariance :math:`C_W\langle a(t)a(s)\rangle` and :math:`C_W\langle b(t)b(s)\rangle`.
Training adds a sum of outer products to the matrix. Their products with vectors are overlaps of layers, which are order parameters,
times vectors.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from ..language.symbols import C_W, C_b, SiteAverage, ell, gamma_0
from .fields import Activated, Memory, OrderParameter, Place, SiteField, Variation
from .program import PAST, PAST_OUT, MatrixProduct, StepProgram, Weight


def trained(product: MatrixProduct, weights: sp.Eq) -> sp.Expr:
    """A product with the matrix at time t: the product with the matrix at initialisation, and overlaps for the outer products."""
    total = sp.S.Zero
    for term in sp.Add.make_args(weights.rhs):
        if isinstance(term, Memory):
            b, a = at_layer(term.vector, product.layer).args
            through, out = (b, a) if product.transposed else (a, b)
            place = PAST if product.transposed else PAST_OUT
            total += Memory(term.kernel * overlap(product.vector, through), out, place)
        else:
            factor, _ = term.as_independent(Weight)
            total += factor * MatrixProduct(product.vector, product.layer, None, transposed=product.transposed)
    return total


def at_layer(expr: sp.Expr, layer: sp.Expr) -> sp.Expr:
    """A statement about layer ell for another layer."""
    fields = {x: type(x)(x.name, x.layer.subs(ell, layer), *x.place) for x in expr.atoms(SiteField)}
    return expr.xreplace(fields)


def at_place(vector: sp.Expr, place: Place) -> sp.Expr:
    """The vector of another sample, output and time; an activity has no output."""
    (own,) = vector.atoms(SiteField)
    indices, time = place
    return vector.xreplace({own: own.at(indices[-len(own.indices) :], time)})


def overlap(left: sp.Expr, right: sp.Expr) -> OrderParameter:
    r""":math:`\frac1N\,a\cdot b` of two vectors of one layer: :math:`\Phi` of activities, G of gradients."""
    (x,), (y,) = left.atoms(SiteField), right.atoms(SiteField)
    if x.name != y.name or x.layer != y.layer:
        raise ValueError(f"{left} and {right} belong to different layers")
    return OrderParameter("Phi" if isinstance(left, Activated) else "G", x.layer, x.place, y.place)


def definition(order: OrderParameter) -> sp.Expr:
    """The site average that defines an order parameter."""
    if order.name in RESPONSES:
        assert order.layer is not None
        _, vector, field = RESPONSES[order.name]
        shift = order.layer + (1 if order.name == "B" else 0)
        here, there = order.places
        return SiteAverage(Variation(_vector(vector, shift, here), SiteField(field, shift, *there))) / gamma_0
    vector = "phi" if order.name == "Phi" else "g"
    return SiteAverage(sp.Mul(*(_vector(vector, order.layer, p) for p in order.places), evaluate=False))


def _vector(name: str, layer: sp.Expr, place: Place) -> sp.Expr:
    return Activated(SiteField("h", layer, *place), 0) if name == "phi" else SiteField(name, layer, *place)


#: Response: the direction of the product that it enters, the vector that answers, and the field that it answers to.
RESPONSES = {"A": (False, "phi", "r"), "B": (True, "g", "u")}


def rule(product: MatrixProduct, multiplied: Sequence[MatrixProduct]) -> sp.Expr:
    """The cavity rule for one product with an initial matrix, given all products with it in the program."""
    name = "B" if product.transposed else "A"
    _, vector, _ = RESPONSES[name]
    (own,) = product.vector.atoms(SiteField)
    above = product.layer + (0 if product.transposed else 1)
    total: sp.Expr = SiteField("r" if product.transposed else "u", above, *own.place)
    for other in multiplied:
        if other.layer == product.layer and other.transposed != product.transposed:
            (answer,) = other.vector.atoms(SiteField)
            place = PAST if product.transposed else PAST_OUT
            back = other.vector.xreplace({answer: answer.at(*place)})
            response = OrderParameter(name, product.layer, own.place, place)
            # Within a step the forward pass comes first: an activity at t does not respond to the gradients of time t, while a
            # gradient at t responds to the activities of time t.
            total += Memory(gamma_0 * C_W * response, back, place, strict=vector == "phi")
    return total


def covariance(field: SiteField, other: SiteField) -> sp.Expr:
    """The covariance of two Gaussian fields; u includes the bias of the initialisation."""
    below = field.layer - 1 if field.name == "u" else field.layer + 1
    name = "Phi" if field.name == "u" else "G"
    return (C_b if field.name == "u" else 0) + C_W * OrderParameter(name, below, field.place, other.place)


def gathered(expr: sp.Expr) -> sp.Expr:
    """Memories of the same vector over the same times as one."""
    kernels: dict[tuple[sp.Expr, Place, bool, bool], sp.Expr] = {}
    rest = sp.S.Zero
    for term in sp.Add.make_args(sp.expand(expr)):
        factor, memory = term.as_independent(Memory)
        if isinstance(memory, Memory):
            key = (memory.vector, memory.place, memory.strict, memory.continuous)
            kernels[key] = kernels.get(key, sp.S.Zero) + factor * memory.kernel
        else:
            rest += term
    for (vector, place, strict, continuous), kernel in kernels.items():
        constant, inner = _common(kernel)
        rest += constant * Memory(inner, vector, place, strict=strict, continuous=continuous)
    return rest


def _common(kernel: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """The parameters common to all terms, and the kernel without them, errors outside of brackets."""
    factored = sp.factor_terms(sp.expand(kernel))
    constant, inner = factored.as_independent(OrderParameter, as_Add=False)
    errors = [o for o in inner.atoms(OrderParameter) if o.name == "Delta"]
    return constant, sp.collect(sp.expand(inner), errors, sp.factor_terms)


def site(program: StepProgram, statement: sp.Eq) -> sp.Expr:
    """The right-hand side of a statement for a single site: trained matrices, then the rule for the initial ones."""
    expr = statement.rhs
    expr = expr.xreplace({b: at_layer(program.biases.rhs, b.layer) for b in expr.atoms(SiteField) if b.name == "b"})
    expr = expr.xreplace({p: trained(p, program.weights) for p in expr.atoms(MatrixProduct) if p.time is not None})
    expr = expr.xreplace({p: rule(p, _products(p, program)) for p in expr.atoms(MatrixProduct)})
    return gathered(expr.xreplace({b: sp.S.Zero for b in expr.atoms(SiteField) if b.name == "b"}))


def _products(product: MatrixProduct, program: StepProgram) -> list[MatrixProduct]:
    """All products of the program with the matrix of this one."""
    found = []
    for statement in (program.forward, program.signal):
        for p in statement.rhs.atoms(MatrixProduct):
            vector = at_layer(p.vector, ell + (product.layer - p.layer))
            found.append(MatrixProduct(vector, product.layer, None, transposed=p.transposed))
    return found
