"""Networks in training on the command line: a Training from its options, and digits told apart as samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .network import digit_images

if TYPE_CHECKING:
    from ..theory.training.subject import Training


def subject(
    activation: Any, *, depth: int = 3, C_W: Any = 1.0, C_b: Any = 0.0, lambda_W: Any = 1.0, lambda_b: Any = 0.0,
    gamma: float = 1.0, learning_rate: float | None = None, momentum: float = 0.0, weight_decay: float = 0.0, loss: Any = "mse",
    outputs: int = 1,
) -> Training:  # fmt: skip
    """The network of the options, and how it is trained."""
    from ..theory.networks.architecture import MLP
    from ..theory.training.subject import Training

    net = MLP(activation, depth=depth, C_W=C_W, C_b=C_b, lambda_W=lambda_W, lambda_b=lambda_b)
    return Training(
        net, gamma=gamma, learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, loss=loss, outputs=outputs
    )  # fmt: skip


def data(*, X: Any = None, y: Any = None, classes: tuple[int, ...] = (0, 1), per_class: int = 5) -> dict[str, Any]:
    """Inputs and labels from files, or images of two digits, of squared length n_0, labelled -1 and 1."""
    import numpy as np

    from ..theory.language.errors import InvalidInput

    if X is not None or y is not None:
        if X is None or y is None:
            raise InvalidInput(f"--{'X' if X is None else 'y'} is missing; allowed: both --X and --y, or neither")
        return {"X": X, "y": y}
    pixels, digits = digit_images()
    if len(set(classes)) != 2 or not set(classes) <= set(range(10)):
        raise InvalidInput(f"--classes={','.join(map(str, classes))}; allowed: two different digits, such as 0,1")
    least = min(int((digits == k).sum()) for k in classes)
    if not 1 <= per_class <= least:
        raise InvalidInput(f"--per_class={per_class}; allowed: 1 to {least}")
    chosen = np.concatenate([np.flatnonzero(digits == k)[:per_class] for k in classes])
    centred = pixels[chosen] - pixels[np.isin(digits, classes)].mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return {"X": unit * np.sqrt(pixels.shape[1]), "y": np.repeat([-1.0, 1.0], per_class)}
