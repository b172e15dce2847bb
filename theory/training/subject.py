"""The second subject: a network together with how it is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from ..language.checks import check_count
from ..language.errors import InvalidArgument, NotAvailable
from ..language.markup import record, short
from ..language.values import of_fields
from ..networks.architecture import MLP
from .losses import Loss, as_loss


@dataclass(frozen=True, init=False)
class Training:
    r"""Full-batch training of a wide network in the mean-field (muP) limit, where it learns features.

    Equation
        With the network of ``net``, its hidden layers :math:`\ell=1\dots L` of width N and its output :math:`z^{(L+1)}`,

        .. math::
            f_\mu=\frac1{\gamma_0\sqrt N}\,z^{(L+1)}_\mu,\qquad
            \theta(t+1)=(1-\eta\kappa)\,\theta(t)-\eta\,\gamma_0^2N\,\lambda\,\nabla_\theta\mathcal L,\qquad
            \mathcal L=\sum_{\mu=1}^P\ell(f_\mu,y_\mu),

        with the rates :math:`\lambda_W/n` of weights and :math:`\lambda_b` of biases. With momentum
        :math:`v(t)=\beta v(t-1)-\kappa\theta(t)-\gamma_0^2N\lambda\nabla\mathcal L` and :math:`\theta(t+1)=\theta(t)+\eta v(t)`.
        Without ``learning_rate``: gradient flow,
        :math:`\dot\theta=-\kappa\theta-\gamma_0^2N\lambda\nabla\mathcal L`.
    Shapes
        ``gamma`` (:math:`\gamma_0`), ``learning_rate``, ``momentum``, ``weight_decay`` are numbers; ``outputs`` the number of
        outputs. ``loss``: "mse" (:math:`\tfrac12(f-y)^2`), "logistic", "exponential", "cross_entropy", or an expression in f and y.
    Units
        Time is :math:`\eta\times` steps. The loss is a sum over samples, never a mean: for a mean divide ``learning_rate`` by P.
        Hyperparameters that ``net`` does not give are 1 (C_W, lambda_W) or 0 (C_b, lambda_b): the network of Bordelon and Pehlevan.
    Valid
        Any :math:`\gamma_0`; small ones are lazy (:math:`\gamma_0\to0`: the tangent kernel stays as it is).
    Errors
        ``InvalidArgument`` for numbers outside these ranges; ``NotAvailable`` for skips, orthogonal weights, or rates by layer.
    Source
        Bordelon & Pehlevan (arXiv:2205.09653).
    """

    net: MLP
    gamma: float
    loss: Loss
    learning_rate: float | None
    momentum: float
    weight_decay: float
    outputs: int

    def __init__(
        self,
        net: MLP,
        *,
        gamma: float = 1.0,
        loss: Any = "mse",
        learning_rate: float | None = None,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        outputs: int = 1,
    ) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731  a frozen value sets itself once
        put("net", _network(net))
        put("gamma", _number("gamma", gamma, "real numbers from 0 (0 is the lazy limit)"))
        put("loss", as_loss(loss))
        rate = (
            None if learning_rate is None else _number("learning_rate", learning_rate, "positive real numbers, or None")
        )
        if rate == 0:
            raise InvalidArgument(
                "learning_rate=0 trains nothing; allowed: positive real numbers, or None (gradient flow)"
            )
        put("learning_rate", rate)
        put("momentum", _number("momentum", momentum, "real numbers from 0, below 1"))
        if self.momentum >= 1:
            raise InvalidArgument(f"momentum={momentum!r}; allowed: real numbers from 0, below 1")
        if self.momentum and rate is None:
            raise InvalidArgument(f"momentum={momentum!r} without learning_rate; allowed: 0 for gradient flow")
        put("weight_decay", _number("weight_decay", weight_decay, "real numbers from 0"))
        if rate is not None and rate * self.weight_decay >= 1:
            raise InvalidArgument(
                f"weight_decay={weight_decay!r} times learning_rate={rate} is {rate * self.weight_decay:.3g}, which leaves "
                f"nothing or overshoots; allowed: below {1 / rate:.6g}"
            )
        put("outputs", check_count("outputs", outputs, 1))

    @property
    def hidden_layers(self) -> int | None:
        """L: one less than the weight layers."""
        return None if self.net.depth is None else self.net.depth - 1

    @property
    def continuous(self) -> bool:
        """Whether this is gradient flow."""
        return self.learning_rate is None

    @property
    def attrs(self) -> dict[str, Any]:
        """All arguments of the training as text and numbers that a file can hold, from which it can be made again."""
        own = {n: getattr(self, n) for n in ("gamma", "momentum", "weight_decay", "outputs")} | {"loss": self.loss.name}
        rate = {} if self.learning_rate is None else {"learning_rate": self.learning_rate}
        return self.net.attrs | own | rate | {"flow": self.written}

    @property
    def fingerprint(self) -> str:
        """A short name for the content of this training."""
        return of_fields(self)

    def at_width(self, width: int | Sequence[int]) -> Training:
        """The same training of the same network at another width."""
        return self.with_(net=self.net.at_width(width))

    def with_(self, **changes: Any) -> Training:
        """A copy with some arguments changed."""
        return Training(**({f: getattr(self, f) for f in self.__dataclass_fields__} | changes))

    @property
    def written(self) -> str:
        """The call that makes the training, whole; ``repr`` is the same where it fits into a line."""
        given = [self.net.written, f"gamma={self.gamma}", f"loss={self.loss!r}"]
        if self.learning_rate is not None:
            given.append(f"learning_rate={self.learning_rate}")
        given += [f"{n}={getattr(self, n)}" for n in ("momentum", "weight_decay") if getattr(self, n)]
        return f"Training({', '.join(given)}" + (f", outputs={self.outputs})" if self.outputs > 1 else ")")

    def __repr__(self) -> str:
        return short(self.written)

    def _repr_html_(self) -> str:
        names = ("gamma", "learning_rate", "momentum", "weight_decay", "outputs")
        rule = {"rule": "gradient flow" if self.continuous else "gradient descent", "loss": self.loss.name}
        return record("Network in training", {"network": self.net} | rule | {n: getattr(self, n) for n in names})


#: Hyperparameters of a network that does not give them: those of Bordelon and Pehlevan.
DEFAULTS = {"C_W": 1.0, "C_b": 0.0, "lambda_W": 1.0, "lambda_b": 0.0}


def _network(net: Any) -> MLP:
    if not isinstance(net, MLP):
        raise InvalidArgument(f"net={net!r} is a {type(net).__name__}; allowed: an MLP")
    if net.depth is not None and net.depth < 2:
        raise InvalidArgument(f"net has depth={net.depth}, and no hidden layer to train; allowed: depth from 2")
    if net.residual:
        raise NotAvailable(
            f"residual={net.residual}: training is derived for networks without skips; allowed: residual=None"
        )
    if not all(w.gaussian for w in net.ensembles):
        raise NotAvailable(
            f"weights={net.weights}: training is derived for Gaussian weights; allowed: weights='gaussian'"
        )
    if net.parametrization.name != "pdlt":
        raise NotAvailable(
            f"parametrization={net.parametrization}: training scales weights and rates itself (mean field); allowed: 'pdlt'"
        )
    missing = {name: value for name, value in DEFAULTS.items() if getattr(net, name) is None}
    net = net.with_(**missing) if missing else net
    for name in DEFAULTS:
        if isinstance(getattr(net, name), tuple) and len(set(getattr(net, name))) > 1:
            raise NotAvailable(f"{name}={getattr(net, name)} differs by layer; allowed: one number for all layers")
    return net


def _number(name: str, value: Any, allowed: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or value < 0:
        raise InvalidArgument(f"{name}={value!r}; allowed: {allowed}")
    return float(value)
