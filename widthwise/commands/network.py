"""Networks at initialisation on the command line: an MLP from its options, and digit images as inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..numerics.codegen.modules import Compiled
    from ..theory.networks.architecture import MLP


def subject(
    activation: Any, *, depth: int = 4, width: Any = None, C_W: Any = None, C_b: Any = None, lambda_W: Any = 1.0,
    lambda_b: Any = 0.0, weights: Any = "gaussian", residual: Any = None,
) -> MLP:  # fmt: skip
    """The network of the options; without C_W, at criticality."""
    from ..theory.networks.architecture import MLP

    others = {
        "depth": depth,
        "width": width,
        "lambda_W": lambda_W,
        "lambda_b": lambda_b,
        "weights": weights,
        "residual": residual,
    }
    if C_W is None:
        MLP(activation, C_b=C_b, **others)  # wrong arguments are told before the critical point is searched
        C_W, C_b = critical_variances(activation, depth, residual, C_b)
    return MLP(activation, C_W=C_W, C_b=0.0 if C_b is None else C_b, **others)


def critical_variances(activation: Any, depth: int, residual: Any, C_b: Any) -> tuple[Any, Any]:
    """C_W and C_b of the critical point, for layers with skips of each of them."""
    from ..theory.language.errors import InvalidArgument, InvalidNetwork
    from ..theory.networks.architecture import MLP

    try:
        net = MLP(activation, depth=depth, residual=residual, C_W="critical")
    except InvalidNetwork as error:
        if "critical" not in str(error):
            raise
        raise InvalidArgument(f"--C_W is needed: {error}") from error
    C_W, C_b = net.C_W, net.C_b if C_b is None else C_b
    shown = (format(v, ".10g") if isinstance(v, float) else str(v) for v in (C_W, C_b))
    typer.echo("no --C_W given: critical C_W = {}, C_b = {}".format(*shown), err=True)
    return C_W, C_b


def formula(
    activation: Any = None, *, weights: Any = "gaussian", depth: int | None = None, residual: Any = None
) -> MLP:
    """The network of which only the activation, the ensemble and the skips are given; the others stay symbols."""
    from ..theory.networks.architecture import MLP

    return MLP(activation, weights=weights, depth=depth, residual=residual)


def data(*, X: Any = None, images: tuple[int, ...] = (0, 1)) -> dict[str, Any]:
    """Inputs from a file, or digit images with pixels between 0 and 2."""
    from ..theory.language.errors import InvalidInput

    if X is not None:
        return {"X": X}
    pixels, _ = digit_images()
    if any(not 0 <= i < len(pixels) for i in images):
        raise InvalidInput(f"--images={','.join(map(str, images))}; allowed: numbers of images, 0 to {len(pixels) - 1}")
    return {"X": pixels[list(images)]}


def digit_images() -> tuple[Any, Any]:
    """All images of scikit-learn's digits, and which digits they are."""
    from ..theory.language.extras import needed

    with needed("digit images, the inputs without --X,"):
        from sklearn.datasets import load_digits

    found = load_digits()
    return found.data / 8.0, found.target


def derive(
    net: MLP, name: str | None = None, *, one_input: bool = False, order: int | None = None, closed_forms: bool = False
) -> Any:
    """The recursions, with closed forms if they are wanted."""
    from ..verbs import derive as derived

    found: Any = derived(net, name, samples=1 if one_input else None, order=order)
    return found.specialize() if closed_forms else found


def compile(
    net: MLP, *, quantities: Any = None, one_input: bool = False, order: int | None = None, target: str = "numpy",
    nodes: int | None = None,
) -> Compiled:  # fmt: skip
    """Code for the recursions of all quantities, or of some."""
    from ..verbs import compile as compiled

    system = derive(net, one_input=one_input, order=order)
    return compiled(system.restrict(quantities) if quantities else system, target=target, nodes=nodes)
