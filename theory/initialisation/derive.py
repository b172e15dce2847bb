"""The verb ``derive`` for networks at initialisation: from layer to layer without skips, over all layers with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..language.errors import InvalidArgument
from ..language.quantities import quantity
from ..layers.map import LayerMap
from ..networks.architecture import MLP
from .dependencies import check_asked
from .derivation import DEFAULT_LABELS, Recursions, left_out_of, recursions
from .residual import CrossLayer, cross_layer, names_with_skips
from .skips import skips_of


def derive(
    net: MLP,
    name: str | Sequence[str] | None = None,
    *,
    samples: int | Sequence[str] | None = None,
    order: int | None = None,
    layer: LayerMap | None = None,
) -> Recursions | CrossLayer:
    r"""Derive the equation of a quantity, or the closed system of all of them.

    Equation
        .. math:: \mathrm{tensor}^{(\ell+1)} = \mathrm{function}(\mathrm{tensors}^{(\ell)},\ \langle\cdots\rangle_{K^{(\ell)}})

        and with skips the system over all layers of ``CrossLayer``.
    Shapes
        ``samples=None``: as many different samples as the quantity has indices. ``samples=1``: one input, no index.
        A sequence of labels, one for each index, chooses them; labels may repeat: ``samples="aabb"``. ``name`` may be several
        names. Without a name: the system of all quantities up to ``order`` in 1/n (1 by default). With skips fluctuations are
        those of one input, and so are all quantities that are derived together with them; K and Theta alone (``order=0``) are of
        any samples. ``layer`` takes the place of the network's layer map, as in ``layer=residual()`` with a symbolic strength.
    Units
        A tensor of layer :math:`\ell` multiplies :math:`1/n_{\ell-1}`; K1 and Theta1 are the corrections to the mean.
    Valid
        Leading order of each quantity in 1/width; hyperparameters that ``net`` does not give stay symbolic, and so do strengths of
        skips that are symbols.
    Errors
        ``UnknownName`` for a quantity that does not exist; ``InvalidArgument`` for labels of the wrong number, or a name beyond
        the ``order`` that is given; ``NotAvailable`` for corrections, and fluctuations of several inputs, of networks with skips.
    Source
        Derived from the layer map; see ``.steps``.
    """
    if not isinstance(net, MLP):
        raise InvalidArgument(f"net={net!r} is a {type(net).__name__}; allowed: an MLP")
    if layer is not None and (not isinstance(layer, LayerMap) or net.residual):
        raise InvalidArgument(f"layer={layer!r} of {net!r}; allowed: a LayerMap, for a network without residual=")
    plain, skips = skips_of(net, layer)
    if skips is None:
        return recursions(net, name, samples=samples, order=order, layer=plain)
    names = names_with_skips(plain, check_asked(name, order), samples, order)
    # Layers are to averages what different samples are: derivatives at a kink do not come together in one place.
    left_out = left_out_of(
        net, plain, {n: tuple(DEFAULT_LABELS[: quantity(n).rank]) for n in names}, one=name is not None
    )
    kept = tuple(n for n in names if n not in dict(left_out))
    return replace(cross_layer(net, plain, skips, kept, samples), left_out=left_out)
