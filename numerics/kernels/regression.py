r"""The kernels as scikit-learn kernels, for Gaussian processes and other estimators that take a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel

from ...theory.networks.architecture import MLP
from ..runs.inputs import check_inputs
from ..runs.workers import single_blas
from .repeated import alone, repeated

Array = NDArray[np.float64]

#: Step in the logarithm of a hyperparameter, and the weights of the central difference of fourth order.
STEP = 2e-3
DIFFERENCE = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}


class NNGPKernel(Kernel):
    r"""The covariance of the outputs of an infinitely wide network at initialisation.

    Equation
        :math:`k(x,x')=K^{(L)}(x,x')`, see ``kernel``.
    Shapes
        ``kernel(X)``: (m, m); ``kernel(X, Y)``: (m, m'); the gradient (m, m, number of free hyperparameters).
    Units
        Hyperparameters are variances, the same in all layers: C_W of the weights times their fan-in, C_b of the biases. As
        everywhere in scikit-learn the gradient is by the logarithms of those that are not "fixed".
    Valid
        Kernel matrices to 1e-12, gradients by central differences of fourth order to about 1e-8.
    Errors
        Those of ``MLP`` and ``kernel``; ``ValueError`` for a gradient with two sets of inputs.
    Source
        Derived; the interface is that of ``sklearn.gaussian_process.kernels.Kernel``.
    """

    get = "K"

    def __init__(
        self,
        activation: Any = "relu",
        depth: int = 3,
        C_W: float = 2.0,
        C_b: float = 0.1,
        C_W_bounds: Any = (1e-2, 1e2),
        C_b_bounds: Any = (1e-5, 1e2),
        weights: Any = "gaussian",
    ) -> None:
        self.activation, self.depth, self.weights = activation, depth, weights
        self.C_W, self.C_b, self.C_W_bounds, self.C_b_bounds = C_W, C_b, C_W_bounds, C_b_bounds

    @property
    def hyperparameter_C_W(self) -> Hyperparameter:
        """The variance of the weights, times their fan-in."""
        return Hyperparameter("C_W", "numeric", self.C_W_bounds)

    @property
    def hyperparameter_C_b(self) -> Hyperparameter:
        """The variance of the biases."""
        return Hyperparameter("C_b", "numeric", self.C_b_bounds)

    @property
    def net(self) -> MLP:
        """The network."""
        return MLP(self.activation, depth=self.depth, C_W=self.C_W, C_b=self.C_b, weights=self.weights, **self._rates())

    def _rates(self) -> dict[str, Any]:
        return {"lambda_W": 1.0, "lambda_b": 0.0}  # K does not depend on them

    def __call__(self, X: ArrayLike, Y: ArrayLike | None = None, eval_gradient: bool = False) -> Any:
        """The kernel matrix, and its gradient if it is asked for."""
        with single_blas:  # once for all matrices of a call, as it looks for libraries of linear algebra
            K = repeated(self.net, X, Y, self.get)
            if not eval_gradient:
                return K
            if Y is not None:
                raise ValueError("Gradient can only be evaluated when Y is None.")
            gradient = np.zeros((*K.shape, len(self.theta)))
            for p, direction in enumerate(np.eye(len(self.theta))):
                for steps, weight in DIFFERENCE.items():
                    moved = self.clone_with_theta(self.theta + steps * STEP * direction)
                    gradient[..., p] += weight / STEP * repeated(moved.net, X, None, self.get)
            return K, gradient

    def diag(self, X: ArrayLike) -> Array:
        """The diagonal alone."""
        return alone(self.net, check_inputs(X), self.get)

    def is_stationary(self) -> bool:
        """A network's kernel depends on more than the difference of its inputs."""
        return False

    def __repr__(self) -> str:
        numbers = ", ".join(f"{h.name}={getattr(self, h.name):.3g}" for h in self.hyperparameters)
        return f"{type(self).__name__}({self.activation!r}, depth={self.depth}, {numbers})"


class NTKKernel(NNGPKernel):
    r"""The neural tangent kernel of an infinitely wide network.

    Equation
        :math:`k(x,x')=\Theta^{(L)}(x,x')`, see ``kernel``.
    Shapes
        As ``NNGPKernel``.
    Units
        lambda_b and lambda_W/n are the learning rates of biases and weights.
    Valid
        As ``NNGPKernel``. As the kernel of a Gaussian process it gives the mean to which gradient flow from zero outputs converges,
        not the spread of trained networks.
    Errors
        As ``NNGPKernel``.
    Source
        Derived; the interface is that of ``sklearn.gaussian_process.kernels.Kernel``.
    """

    get = "Theta"

    def __init__(
        self,
        activation: Any = "relu",
        depth: int = 3,
        C_W: float = 2.0,
        C_b: float = 0.1,
        lambda_W: float = 1.0,
        lambda_b: float = 1.0,
        C_W_bounds: Any = (1e-2, 1e2),
        C_b_bounds: Any = (1e-5, 1e2),
        lambda_W_bounds: Any = (1e-5, 1e5),
        lambda_b_bounds: Any = (1e-5, 1e5),
        weights: Any = "gaussian",
    ) -> None:
        super().__init__(activation, depth, C_W, C_b, C_W_bounds, C_b_bounds, weights)
        self.lambda_W, self.lambda_b = lambda_W, lambda_b
        self.lambda_W_bounds, self.lambda_b_bounds = lambda_W_bounds, lambda_b_bounds

    @property
    def hyperparameter_lambda_W(self) -> Hyperparameter:
        """The learning rate of the weights, times their fan-in."""
        return Hyperparameter("lambda_W", "numeric", self.lambda_W_bounds)

    @property
    def hyperparameter_lambda_b(self) -> Hyperparameter:
        """The learning rate of the biases."""
        return Hyperparameter("lambda_b", "numeric", self.lambda_b_bounds)

    def _rates(self) -> dict[str, Any]:
        return {"lambda_W": self.lambda_W, "lambda_b": self.lambda_b}
