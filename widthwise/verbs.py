"""The verbs for both kinds of subject, a network at initialisation and a network in training; loaded when they are used."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

from .theory.initialisation.derivation import Derivation, System
from .theory.initialisation.derivation import derive as derive_recursions
from .theory.language.errors import InvalidArgument
from .theory.networks.architecture import MLP
from .theory.training.dynamics import Dynamics, dynamics
from .theory.training.subject import Training

if TYPE_CHECKING:
    import xarray as xr

    from .numerics.codegen.modules import Compiled
    from .numerics.training.sites import Sites
    from .validation.confrontation.report import Report


def _called(verb: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The function's result; arguments that it does not take are told by the verb's name."""
    signature = inspect.signature(function)
    try:
        signature.bind(*arguments, **options)
    except TypeError as error:
        plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        raise TypeError(f"{verb}: {error}; allowed: {verb}{inspect.Signature(plain)}") from None
    return function(*arguments, **options)


def _unknown(subject: Any) -> InvalidArgument:
    return InvalidArgument(f"net={subject!r} is a {type(subject).__name__}; allowed: an MLP or a Training")


@overload
def derive(subject: Training) -> Dynamics: ...
@overload
def derive(subject: MLP, name: str, **options: Any) -> Derivation: ...
@overload
def derive(subject: MLP, name: None = None, **options: Any) -> System: ...


def derive(subject: Any, *arguments: Any, **options: Any) -> Any:
    r"""Derive the equations of a subject, with SymPy.

    Equation
        An ``MLP``: the recursion of a quantity from layer to layer, or of all of them without a name,
        :math:`\mathrm{tensor}^{(\ell+1)}=\mathrm{function}(\mathrm{tensors}^{(\ell)},\langle\cdots\rangle_{K^{(\ell)}})`.
        A ``Training``: the closed system of its dynamical mean-field theory, h, z, g, f, :math:`\Phi`, G, A, B.
    Shapes
        MLP: ``derive(net, name=None, *, samples=None, order=1)``: ``samples=None`` are as many different samples as the quantity
        has indices, 1 is one input without index, a sequence gives the labels. Training: ``derive(flow)``.
    Units
        A tensor of layer l multiplies 1/n_(l-1). Time is steps times the learning rate.
    Valid
        Leading order in 1/width; what the network does not give stays symbolic.
    Errors
        ``UnknownName`` for a quantity that does not exist; ``InvalidArgument`` for labels of the wrong number or no subject.
    Source
        Derived; ``.steps`` of what is returned shows how.
    """
    if isinstance(subject, Training):
        if arguments or options:
            given = ", ".join([*map(repr, arguments), *(f"{k}={v!r}" for k, v in options.items())])
            raise InvalidArgument(
                f"derive(flow, {given}): a Training has one system of equations; allowed: derive(flow)"
            )
        return dynamics(subject)
    if isinstance(subject, MLP):
        return derive_recursions(subject, *arguments, **options)
    raise _unknown(subject)


@overload
def compile(derivation: Dynamics) -> Sites: ...
@overload
def compile(derivation: Derivation | System, **options: Any) -> Compiled: ...


def compile(derivation: Any, **options: Any) -> Any:
    r"""Generate code from what ``derive`` returns.

    Equation
        The text evaluates exactly the derived equations, each of which stands in the docstring of its function.
    Shapes
        ``compile(recursions, *, target="numpy", nodes=None)`` gives a :class:`Compiled`, for NumPy, JAX or PyTorch;
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
    if isinstance(derivation, Dynamics):
        from .numerics.training.sites import generate

        if options:
            raise InvalidArgument(
                f"{min(options)}={options[min(options)]!r}: code for training is NumPy; allowed: compile(derive(flow))"
            )
        return generate(derivation)
    from .numerics.codegen.modules import compile as compile_recursions

    return compile_recursions(derivation, **options)


@overload
def predict(subject: MLP, X: Any, *arguments: Any, order: int = 1, **options: Any) -> xr.Dataset: ...
@overload
def predict(subject: Training, X: Any, y: Any, **options: Any) -> xr.Dataset: ...


def predict(subject: Any, X: Any, *arguments: Any, **options: Any) -> Any:
    r"""Numbers, from the derived equations.

    Equation
        An ``MLP``: the tensors of every layer, :math:`\mathrm E[z_az_b]=K_{ab}+\tfrac1{n_{\ell-1}}K^{\{1\}}_{ab}` and so on.
        A ``Training``: :math:`f_\mu(t)`, the loss, :math:`\Phi^\ell_{\mu\alpha}(t,s)`, :math:`G^\ell_{\mu\alpha}(t,s)` and the
        tangent kernel.
    Shapes
        ``predict(net, X, quantities=None, *, order=1)``: X (m, n_0); K, Theta: (layer, a, b); V ... U: (layer, a, b, c, d).
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
        sizes, memory; ``NotAvailable`` for what has no rule; ``NotConverged`` where numbers grow without bound.
    Source
        Derived; see ``derive(subject).steps``.
    """
    if isinstance(subject, Training):
        from .numerics.training.predict import predict_training

        return _called("predict", predict_training, subject, X, *arguments, **options)
    if isinstance(subject, MLP):
        from .numerics.initialisation.predict import predict as predict_tensors

        return _called("predict", predict_tensors, subject, X, *arguments, **options)
    raise _unknown(subject)


@overload
def simulate(subject: MLP, X: Any, **options: Any) -> xr.Dataset: ...
@overload
def simulate(subject: Training, X: Any, y: Any, **options: Any) -> xr.Dataset: ...


def simulate(subject: Any, X: Any, *arguments: Any, **options: Any) -> Any:
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
    if isinstance(subject, Training):
        from .validation.training.simulate import simulate_training

        return _called("simulate", simulate_training, subject, X, *arguments, **options)
    if isinstance(subject, MLP):
        from .validation.initialisation.simulate import simulate as simulate_tensors

        return _called("simulate", simulate_tensors, subject, X, *arguments, **options)
    raise _unknown(subject)


@overload
def validate(subject: MLP, X: Any, **options: Any) -> Report: ...
@overload
def validate(subject: Training, X: Any, y: Any, **options: Any) -> Report: ...


def validate(subject: Any, X: Any, *arguments: Any, **options: Any) -> Any:
    r"""Predict, simulate at several widths, extrapolate in 1/n, and judge in standard errors.

    Equation
        Measurements at several widths are fitted with :math:`y(n)=c_0+c_1/n` (and :math:`c_2/n^2` from four widths on), and
        :math:`(c_0-\mathrm{theory})/\mathrm{stderr}` is judged; for the shifts f1 and loss1 of training :math:`c_1`.
    Shapes
        ``validate(net, X, *, widths=None, networks=10_000, seed=0, quantities=None, alpha=0.01, ...)`` and
        ``validate(flow, X, y, *, times, widths=(128, 256, 512), networks=32, alpha=0.01, ...)``. Returns a report with ``.passed``,
        ``.table``, ``.resolution`` (how small its error bars are), ``.plot()``, ``.to_html(path)``.
    Units
        Those of ``predict``.
    Valid
        A true theory is failed with probability at most ``alpha`` in the whole family of comparisons.
    Errors
        Those of ``predict`` and ``simulate``; ``InvalidArgument`` for widths that are too few or out of proportion.
    Source
        The statistics: Student's t, Cochran and Cox, Bonferroni.
    """
    if isinstance(subject, Training):
        from .validation.training.validate import validate_training

        return _called("validate", validate_training, subject, X, *arguments, **options)
    if isinstance(subject, MLP):
        from .validation.initialisation.validate import validate as validate_tensors

        return _called("validate", validate_tensors, subject, X, *arguments, **options)
    raise _unknown(subject)
