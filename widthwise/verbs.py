"""The verbs: each looks up the row of its subject's type and calls the function there, which is loaded on use.

The signatures, one for each system, stand in ``verbs.pyi``, which ``tests/signatures.py`` writes from the functions themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .systems import system, system_of_equations


def _called(verb: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The function's result; an error about its arguments names the verb."""
    signature = inspect.signature(function)
    try:
        signature.bind(*arguments, **options)
    except TypeError as error:
        plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        raise TypeError(f"{verb}: {error}; allowed: {verb}{inspect.Signature(plain)}") from None
    return function(*arguments, **options)


def derive(subject: Any, /, *arguments: Any, **options: Any) -> Any:
    r"""Derive the equations of a subject, with SymPy.

    Equation
        An ``MLP``: the recursion of a quantity from layer to layer, or of all of them without a name,
        :math:`\mathrm{tensor}^{(\ell+1)}=\mathrm{function}(\mathrm{tensors}^{(\ell)},\langle\cdots\rangle_{K^{(\ell)}})`.
        A ``Training``: the closed system of its dynamical mean-field theory, h, z, g, f, :math:`\Phi`, G, A, B.
    Shapes
        MLP: ``derive(net, name=None, *, samples=None, order=None, layer=None)``: ``samples=None`` are as many different samples as
        the quantity has indices, 1 is one input without index, a sequence gives the labels; with skips, of the network or of a
        ``layer``, the system over all layers, of one input. Training: ``derive(flow)``. All give :class:`Equations`, name →
        ``sympy.Eq``, that ``compile`` takes, and ``predict`` and ``validate`` as ``equations=``.
    Units
        A tensor of layer l multiplies 1/n_(l-1). Time is steps times the learning rate.
    Valid
        Leading order in 1/width; hyperparameters that the network does not give stay symbolic.
    Errors
        ``UnknownName`` for a quantity that does not exist; ``InvalidArgument`` for labels of the wrong number or no subject.
    Source
        Derived; ``.steps`` of the result shows how.
    """
    return _called("derive", system(subject).function("derive"), subject, *arguments, **options)


def compile(equations: Any, /, **options: Any) -> Any:
    r"""Generate code from the result of ``derive``.

    Equation
        The text evaluates exactly the derived equations, each of which stands in the docstring of its function.
    Shapes
        ``compile(equations, *, target="numpy", nodes=None)`` gives a :class:`Compiled`, for NumPy, JAX or PyTorch;
        ``compile(derive(flow))`` the :class:`Sites` that the solver of training runs. ``.source`` is the text.
    Units
        Those of the equations.
    Valid
        For a concrete activation.
    Errors
        ``InvalidArgument`` for anything that is not a derivation, an unknown target, or nodes that do not fit; ``NotAvailable``
        for a target that is not installed, or an average beyond its quadrature.
    Source
        The equations.
    """
    return _called("compile", system_of_equations(equations).function("compile"), equations, **options)


def predict(subject: Any, /, *arguments: Any, **options: Any) -> Any:
    r"""Numbers, from the derived equations.

    Equation
        An ``MLP``: the tensors of every layer, :math:`\mathrm E[z_az_b]=K_{ab}+\tfrac1{n_{\ell-1}}K^{\{1\}}_{ab}` and so on.
        A ``Training``: :math:`f_\mu(t)`, the loss, :math:`\Phi^\ell_{\mu\alpha}(t,s)`, :math:`G^\ell_{\mu\alpha}(t,s)` and the
        tangent kernel.
    Shapes
        ``predict(net, X, quantities=None, *, order=1, equations=None)``: X (m, n_0); K, Theta: (layer, sample,
        sample2); V ... U: (layer, sample, sample2, sample3, sample4).
        ``predict(flow, X, y, *, times, X_test=None, quantities=..., samples=4096, replicas=8, seed=0, equations=None,
        checkpoint=None, progress=None)``: X (P, n_0), y (P,) or (P, outputs); f (time, sample), Phi, G (layer, time, sample, time2,
        sample2), with ``output`` in front of ``sample`` if there are several; ``times`` are steps if there is a learning rate.
    Units
        Tensors of layer l multiply 1/n_(l-1). Time is steps times the learning rate; the loss is a sum over samples.
    Valid
        MLP: the leading orders in 1/width; ``average_error`` is the error of the Gaussian averages. Training: infinite width;
        ``<name>_stderr`` is the standard error over replicas, zero for linear networks, which are exact.
    Errors
        ``InvalidInput`` for data; ``InvalidNetwork`` for a missing depth or hyperparameter; ``InvalidArgument`` for times, step
        sizes, memory; ``NotAvailable`` where no rule is known; ``NotConverged`` where numbers grow without bound.
    Source
        Derived; see ``derive(subject).steps``.
    """
    return _called("predict", system(subject).function("predict"), subject, *arguments, **options)


def simulate(subject: Any, /, *arguments: Any, **options: Any) -> Any:
    r"""Monte Carlo over literal finite networks, with the names and shapes of ``predict``.

    Equation
        An ``MLP``: connected correlators of drawn networks times n, such as :math:`V=n\,\mathrm{Cov}(z_iz_i,z_jz_j)`. A
        ``Training``:
        predictions and kernels of drawn networks that literal gradient descent trains.
    Shapes
        ``simulate(net, X, *, networks=1000, seed=0, quantities=None, neurons=None, limits=None, workers=None, progress=None)``.
        ``simulate(flow, X, y, *, times, X_test=None, quantities=..., networks=16, width=None, seed=0, centred=True, workers=None,
        checkpoint=None, progress=None)``. ``<name>_stderr`` stands beside each number.
    Units
        Those of ``predict``; the numbers are those of the finite width.
    Valid
        Any width; every estimate is unbiased. The same seed gives the same numbers for any number of workers.
    Errors
        ``InvalidInput``, ``InvalidNetwork``, ``InvalidArgument``, ``NotAvailable`` for arguments outside what is allowed.
    Source
        The definitions.
    """
    return _called("simulate", system(subject).function("simulate"), subject, *arguments, **options)


def validate(subject: Any, /, *arguments: Any, **options: Any) -> Any:
    r"""Predict, simulate at several widths, extrapolate in 1/n, and judge in standard errors.

    Equation
        Measurements at several widths are fitted with :math:`y(n)=c_0+c_1/n` (and :math:`c_2/n^2` from four widths on), and
        :math:`(c_0-\mathrm{theory})/\mathrm{stderr}` is judged; for the shifts f1 and loss1 of training :math:`c_1`.
    Shapes
        ``validate(net, X, *, widths=None, networks=10_000, seed=0, quantities=None, alpha=0.01, ...)`` and
        ``validate(flow, X, y, *, times, widths=(128, 256, 512), networks=32, alpha=0.01, equations=None, ...)``. Returns a
        report with ``.passed``, ``.table``, ``.resolution`` (how small its error bars are), ``.advice`` (what to do next),
        ``.plot(name, ax=None)``, ``.figure(name)``, ``.to_html(path)``, ``.again`` (the call that makes it again).
    Units
        Those of ``predict``.
    Valid
        A true theory is failed with probability at most ``alpha`` in the whole family of comparisons. Quantities with error bars
        above ``resolution=0.25`` of their predictions are not tested, and ``.passed`` does not speak of them.
    Errors
        Those of ``predict`` and ``simulate``; ``InvalidArgument`` for widths that are too few or out of proportion.
    Source
        The statistics: Student's t, Cochran and Cox, Bonferroni.
    """
    return _called("validate", system(subject).function("validate"), subject, *arguments, **options)


def fluctuations(subject: Any, /, *arguments: Any, **options: Any) -> Any:
    r"""Fluctuations over initialisations and shifts of the mean, to leading order in 1/width.

    Equation
        .. math:: N\,\mathrm{Cov}(q,q)=(1-J)^{-1}S(1-J)^{-\top},\qquad
            \mathrm E f=f_\infty+\tfrac1Nf_1,\qquad \mathrm E\mathcal L=\mathcal L_\infty+\tfrac1N\mathcal L_1

        with S the covariance of one neuron's contribution to the averages q, and J how the averages answer to themselves.
    Shapes
        ``fluctuations(flow, X, y, *, times, X_test=None, quantities=..., centred=True, samples=None, directions=32, draws=(),
        replicas=8, seed=0, checkpoint=None, progress=None)``: f_variance (time, sample), f_covariance (time, sample, time2,
        sample2), Theta_variance (time, sample, sample2), Phi_variance, G_variance (layer, time, sample, sample2), f1 (time,
        sample), loss1 (time); for each of ``draws`` joint draws of :math:`\sqrt N(q-q_\infty)`.
    Units
        Everything is multiplied by the width N. ``centred``: predictions are :math:`f-f(0)`.
    Valid
        Leading order in 1/N, for a ``Training``; those of an ``MLP`` are V ... U of ``predict``.
    Errors
        Those of ``predict``; ``InvalidArgument`` for a system without this verb.
    Source
        Derived; for one hidden layer Bordelon & Pehlevan (arXiv:2304.03408).
    """
    return _called("fluctuations", system(subject).function("fluctuations"), subject, *arguments, **options)
