r"""The steps of a derivation, so that a reader can follow it on paper.

Each step shows what the engine did, in the objects that the engine used: the definition, the layer map of the jets, the
observable whose neuron average the pair is, the law of total cumulance, Price's theorem, Isserlis' theorem, the result, and what
the numbers and the activation of a network make of it. Sentences say what is so in the case at hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import sympy as sp

from ..averages.gaussian import expectation
from ..language import latex
from ..language.equations import Law, equal
from ..language.jets import Jet
from ..language.observables import letter
from ..language.quantities import Entry, Kind, Pair, Quantity
from ..language.steps import Step, Steps
from ..language.symbols import Letter, SiteAverage, label_latex
from ..meanfield.system import MeanFieldSystem


def steps_of(
    system: MeanFieldSystem, row: Quantity, labels: tuple[str, ...], general: Law, printed: Law, told: Sequence[str]
) -> Steps:
    """The whole derivation of one recursion: ``general`` is its result, ``printed`` what print puts into it, ``told`` in words."""
    pairs = row.at(labels)
    steps = [_definition(row, pairs, printed), _jets(system, pairs)]
    if row.kind is not Kind.LOCAL:
        steps.append(_observables(system, pairs))
    steps.append(_cumulance(system, row, pairs))
    if row.kind not in (Kind.MEAN, Kind.LOCAL):
        steps.append(_price(system, row, pairs))
    if row.kind is not Kind.LOCAL:
        steps.append(_isserlis(system, row, pairs))
    reason = r"All parts put together; averages are over preactivations of the layer below, of covariance $K^{(\ell)}$."
    if system.layer.skips and row.kind is not Kind.MEAN:
        reason += (
            " This is exact in the second layer. A neuron with a skip remembers all layers below, so that deeper layers have "
            "further terms: the covariances of the neuron averages of different layers, which predict takes into account."
        )
    steps.append(Step("Result", reason, (equal(general.left, general.right),), tuple(general.terms)))
    if _texts(printed) != _texts(general):
        reason = f"What is given of the network is put in: {', '.join(told)}." if told else "What is given is put in."
        steps.append(Step("For this network", reason, (equal(printed.left, printed.right),), tuple(printed.terms)))
    return Steps(tuple(replace(step, of=row.name) for step in steps))


def _texts(law: Law) -> tuple[str, str]:
    return latex.tex(law.left), latex.tex(law.right)


def _directed(pairs: Iterable[Pair]) -> bool:
    """Whether there are derivatives by parameters among jets."""
    return any(jet.directions for pair in pairs for jet in pair)


def _definition(row: Quantity, pairs: tuple[Pair, ...], law: Law) -> Step:
    left = Letter(*(f(law.left) for f in (str, latex.tex)))
    plain, tex = _cumulant_of(row, pairs)
    power, power_tex = {0: ("", ""), 1: ("n ", r"n_{\ell}\,")}.get(
        row.order, (f"n^{row.order} ", rf"n_{{\ell}}^{{{row.order}}}\,")
    )
    if row.correction:
        plain, tex = f"({plain} - lower orders)", rf"\left({tex} - \text{{lower orders}}\right)"
    right = Letter(f"lim {power}{plain}", rf"\lim_{{n\to\infty}} {power_tex}{tex}")
    jets = "jets" if _directed(pairs) else "preactivations"
    reason = f"${letter(row)}$ is the {row.meaning}. "
    if row.kind is Kind.LOCAL:
        reason += (
            f"The {jets} are those of one neuron; of their joint cumulant it is the part that is in no other tensor."
        )
    else:
        reason += f"Here $q'_{{xy}}$ is the covariance, given the layer below, of the {jets} $x$ and $y$ of one neuron."
    if _directed(pairs):
        reason += " The jet $d_r z$ is the derivative of $z$ along the random direction $r$ in parameter space."
    return Step("Definition", reason, (equal(left, right),), sources=("pdlt",))


def _cumulant_of(row: Quantity, pairs: tuple[Pair, ...]) -> tuple[str, str]:
    """E[q], Cov(q, q), a joint cumulant of several q, or of four jets of one neuron; plain and in LaTeX."""
    letters = [primed(jet) for jet in pairs[0]] if row.kind is Kind.LOCAL else [order_parameter(pair) for pair in pairs]
    plain, tex = ", ".join(map(str, letters)), r",\, ".join(q.tex for q in letters)
    if len(letters) == 1:
        return f"E[{plain}]", rf"\mathrm{{E}}\left[{tex}\right]"
    name, head = ("Cov", r"\mathrm{Cov}") if len(letters) == 2 else ("kappa", r"\kappa")
    return f"{name}({plain})", rf"{head}\left({tex}\right)"


def _jets(system: MeanFieldSystem, pairs: tuple[Pair, ...]) -> Step:
    jets = list(dict.fromkeys(jet for pair in pairs for jet in pair))
    equations = []
    for jet in jets:
        right: sp.Expr = system.layer.own(jet)
        for gaussian, coefficient in system.layer.expand(jet).items():
            d = f"d_{{{''.join(gaussian.direction)}}}" if gaussian.direction else ""
            index = "{ij}" if gaussian.summed else "i"
            total = r"\sum_j " if gaussian.summed else ""
            plain = f"{'sum_j ' if gaussian.summed else ''}{'d' + ''.join(gaussian.direction) if d else ''}{gaussian.parameter}"
            plain += "_ij" if gaussian.summed else "_i"
            right += Letter(plain, rf"{total}{d}{gaussian.parameter}_{index}") * coefficient
        equations.append(equal(primed(jet), right))
    if _directed(pairs):
        title = "Layer map of the jets"
        reason = (
            r"The Leibniz rule: each parameter moves along its direction, $p\to p+\sum_r s_r\sqrt\lambda\,\epsilon^r$, so that "
            r"$d_r b_i$ and $d_r W_{ij}$ are independent Gaussians with variances $\lambda_b$ and $\lambda_W/n_\ell$. "
        )
    else:
        title, reason = "Layer map", ""
    reason += r"On the right $\sigma$ and $z$ are those of the neuron $j$ below. " + _given(system, pairs)
    return Step(title, reason, tuple(equations))


def _given(system: MeanFieldSystem, pairs: tuple[Pair, ...]) -> str:
    """What the jets of the layer are, given the layer below."""
    jets = "jets" if _directed(pairs) else "preactivations"
    if system.layer.gaussian or system.layer.skips:
        return f"Given the layer below, the {jets} are linear in independent Gaussians."
    if system.layer.excess:
        return (
            f"Given the layer below, the {jets} are sums over many independent entries of $W$: Gaussian up to the fourth cumulant "
            r"of an entry, which is $\kappa_4C_W^2/n_\ell^2$."
        )
    return f"Given the layer below, the {jets} are linear in the entries of $W$, whose fourth cumulants count."


def _observables(system: MeanFieldSystem, pairs: tuple[Pair, ...]) -> Step:
    equations = []
    for pair in dict.fromkeys(pairs):
        o = system.observable(pair)
        mean = Letter("1/n sum_j", r"\frac{1}{n_{\ell}}\sum_j")
        parts = [o.constant, o.own, sp.Mul(mean, o.site, evaluate=False) if o.site != 0 else o.site]
        right = sp.Add(*(part for part in parts if part != 0), evaluate=False)
        equations.append(equal(order_parameter(pair), right))
    jets = "jets" if _directed(pairs) else "preactivations"
    reason = (
        f"So the {jets} of a neuron have a covariance that is the same for all neurons: an average over the neurons $j$ below of a "
        f"function $f$ of their {jets}."
    )
    return Step("Neuron average", reason, tuple(equations))


def _cumulance(system: MeanFieldSystem, row: Quantity, pairs: tuple[Pair, ...]) -> Step:
    title, sources = "Law of total cumulance", tuple[str, ...](("brillinger",))
    if row.kind is Kind.MEAN:
        title, sources = "Law of large numbers", ()
        right = Letter("const + <f>_q", r"\mathrm{const} + \left\langle f \right\rangle_{q}")
        left: sp.Expr = order_parameter(pairs[0])
        reason = (
            r"The neurons below are independent with covariance $q$ as $n_\ell\to\infty$: the law of large numbers."
        )
    elif row.kind is Kind.LOCAL:
        title, sources = "Fourth cumulant of the weights", ()
        left = Letter("X'_xyuv", "X'_{xyuv}")
        right = Letter("kappa_4 C_W^2 <x y u v>", r"\kappa_4\, C_W^2 \left\langle x\,y\,u\,v \right\rangle")
        reason = (
            r"Four entries of one row of $W$ in one column: their fourth cumulant is $\kappa_4 C_W^2/n_\ell^2$, and the sum over "
            r"columns averages the products of what $W$ multiplies in the jets."
        )
    elif row.kind is Kind.COVARIANCE:
        left = Letter("M'_AB", r"M'_{AB}")
        right = Letter(
            "S_AB + rho sum_cd J_Ac M_cd J_Bd", r"S_{AB} + \tfrac{n_{\ell}}{n_{\ell-1}} \sum_{cd} J_{Ac} M_{cd} J_{Bd}"
        )
        reason = (
            r"The law of total covariance for $M=n\,\mathrm{Cov}(q,q)$: the noise of the $n_\ell$ neurons, "
            r"$S_{AB}=\langle f_Af_B\rangle-\langle f_A\rangle\langle f_B\rangle$, and the noise of $q$ below, handed on by "
            r"$J_{Ac}=\partial\langle f_A\rangle/\partial q_c$."
        )
        reason += _of_weights(system, row)
    elif row.order > 1:
        left = Letter("kappa(q'_A1, ..., q'_Ar)", r"\kappa\left(q'_{A_1},\dots,q'_{A_r}\right)")
        right = Letter(
            "sum_pi kappa(n^-(|B|-1) kappa_B(q) : B in pi)",
            r"\sum_{\pi} \kappa\left(n_{\ell}^{-(|B|-1)} \kappa_B(q) : B\in\pi\right)",
        )
        reason = (
            r"Set partitions $\pi$ of the pairs: those in one block $B$ meet at the same neurons, with the site "
            r"cumulant $\kappa_B(q)$ of their $f$. The joint cumulant of these functions of the fluctuating $q$ is expanded in "
            r"the cumulants of $q$, all connected terms of the order $n_\ell^{-" + str(row.order) + "}$ together."
        )
    else:
        left = Letter("q1'_A", r"q^{\{1\}\prime}_{A}")
        right = Letter(
            "rho (sum_c J_Ac q1_c + 1/2 sum_cd H_Acd M_cd)",
            r"\tfrac{n_{\ell}}{n_{\ell-1}}\Bigl[\sum_c J_{Ac}\, q^{\{1\}}_c + \tfrac12 \sum_{cd} H_{Acd} M_{cd}\Bigr]",
        )
        reason = (
            r"A Taylor expansion of $\langle f_A\rangle_q$ in the fluctuation of $q$: its mean enters with $J$, its covariance "
            r"$M/n$ with half of $H_{Acd}=\partial^2\langle f_A\rangle/\partial q_c\partial q_d$."
        )
        reason += _of_weights(system, row)
    return Step(title, reason, (equal(left, right),), sources=sources)


def _of_weights(system: MeanFieldSystem, row: Quantity) -> str:
    """What fourth cumulants of the weights add."""
    if system.layer.gaussian or system.layer.skips:
        return ""
    if system.layer.excess:
        if row.kind is Kind.CORRECTION:
            return " The fourth cumulants of single neurons below enter with fourth derivatives of $f$."
        return " The excess kurtosis of the weights makes fourth cumulants of single neurons, which do not enter here."
    if row.kind is Kind.CORRECTION:
        return ""
    return (
        r" In $S$ there is also the cumulant of weights in four different places, $-\tau$ times products of averages."
    )


def _price(system: MeanFieldSystem, row: Quantity, pairs: tuple[Pair, ...]) -> Step:
    equations = []
    for pair in dict.fromkeys(pairs):
        total = system.observable(pair).total
        for (x, y), _ in system.response(pair).items():
            half = sp.Rational(1, 2 if x == y else 1)
            equations.append(equal(_jacobian_name(pair, (x, y)), half * SiteAverage(sp.diff(total, x, y))))
    reason = (
        r"Price's theorem, $\partial\langle f\rangle_q/\partial q_{xy}=\langle\partial_x\partial_y f\rangle$, half of it for "
        "$x=y$: no inverse of $q$ appears. Derivatives that average to zero are left out."
    )
    if row.kind in (Kind.CORRECTION, Kind.CUMULANT):
        reason += " Higher derivatives are the same with two more $\\partial$ for each $q$."
    return Step("Price", reason, tuple(equations), sources=("price",))


def _isserlis(system: MeanFieldSystem, row: Quantity, pairs: tuple[Pair, ...]) -> Step:
    equations = list(_jacobians(system, pairs)) if row.kind is not Kind.MEAN else []
    observables = [system.observable(pair) for pair in pairs]
    if row.kind is Kind.MEAN:
        f = observables[0].total
        equations.append(equal(SiteAverage(f), expectation(f)))
    elif row.kind is Kind.COVARIANCE:
        product = sp.expand(observables[0].total * observables[1].total)
        equations.append(equal(SiteAverage(product), expectation(product)))
    if not any(jet.directions for o in observables for jet in o.total.atoms(Jet)):
        reason = (
            "The functions are of preactivations alone, which are centred Gaussians in the limit. Constants stand in front of "
            "the averages."
        )
        return Step("Gaussian averages", reason, tuple(equations))
    products = r", so that products of jets become products of $\Theta$" if _holds_kernel(equations) else ""
    reason = (
        f"Isserlis' theorem: at infinite width jets are correlated only when their directions agree{products}. Only averages of "
        "preactivations remain."
    )
    return Step("Isserlis", reason, tuple(equations), sources=("isserlis",))


def _holds_kernel(equations: Iterable[sp.Eq]) -> bool:
    """Whether an average of jets is left as a tangent kernel."""
    return any(entry.name == "Theta" for eq in equations for entry in eq.rhs.atoms(Entry))


def _jacobians(system: MeanFieldSystem, pairs: tuple[Pair, ...]) -> Iterator[sp.Eq]:
    for pair in dict.fromkeys(pairs):
        for c, value in system.response(pair).items():
            yield equal(_jacobian_name(pair, c), value)


def primed(jet: Jet) -> Letter:
    """The jet in the layer above, of the neuron i."""
    index = f";{label_latex(jet.sample)}" if jet.sample else ""
    d = f"d_{{{''.join(jet.directions)}}}" if jet.directions else ""
    return Letter(f"{jet}'", rf"{d}z'_{{i{index}}}")


def order_parameter(pair: Pair) -> Letter:
    """The letter q' of a pair of jets."""
    x, y = pair
    return Letter(f"q'[{x},{y}]", rf"q'_{{{latex.tex(x)}\,{latex.tex(y)}}}")


def _jacobian_name(pair: Pair, by: Pair) -> Letter:
    a = "".join(latex.tex(x) + r"\," for x in pair)
    c = "".join(latex.tex(x) + r"\," for x in by)
    return Letter(f"J[{pair[0]},{pair[1]}; {by[0]},{by[1]}]", rf"J_{{{a};\,{c}}}")
