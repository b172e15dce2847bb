r"""What an initial matrix gives to one of its two layers, as both layers go through training.

A Gaussian matrix that has been multiplied from both sides is, given all that it has answered, still Gaussian (Bolthausen). For
samples of the sites of both layers this reads: what is sent now is a combination of what was sent before, and a rest; the field
that is received is the same combination of the fields received before, and for the rest a new one, independent but orthogonal
to the vectors that the matrix was multiplied with from the other side: it has answered these already, and the memory of the
cavity rule, :math:`\gamma_0C_W\sum_sA(t,s)\,g(s)`, holds the answers.

The responses in it need no derivative of an activation. By Stein's identity
:math:`\langle\delta\phi(t)/\delta r(s)\rangle` is the regression of :math:`\phi(t)` on r, so that kinks are as good as any slope.
The samples are a network of as many neurons as there are samples, without its matrices: averages are off by that.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from .sources import Source

Array = NDArray[np.float64]

#: What is added to the diagonal of a Gram matrix, in parts of its largest entry: directions without extent are left out.
RIDGE = 1e-9


class Neighbour(Protocol):
    """What a layer receives from one of its two neighbours."""

    def take(self, t: int, sent: Array, sent_gram: Array, answered: Array, answered_gram: Array) -> Array:
        """The field of time t, (rows, sites)."""
        ...


class Fresh:
    """A field with the covariance of what is sent, each time anew from one and the same source; its responses are derivatives."""

    def __init__(self, source: Source, scale: float) -> None:
        self.source, self.scale = source, scale

    def take(self, t: int, sent: Array, sent_gram: Array, answered: Array, answered_gram: Array) -> Array:
        """The field of time t; only what is sent now counts."""
        return np.asarray(self.scale * self.source(sent[t]))


class Received:
    """The Gaussian field of one layer from one neighbour, of all times so far."""

    def __init__(self, source: Source, scale: float, shape: tuple[int, ...]) -> None:
        self.source, self.scale = source, scale
        self.values = np.zeros(shape)
        rows = int(np.prod(shape[:-1]))
        self.each, self.sites, self.gram = rows // shape[0], shape[-1], np.zeros((rows, rows))

    def take(self, t: int, sent: Array, sent_gram: Array, answered: Array, answered_gram: Array) -> Array:
        """The field of time t: ``sent`` (t + 1, rows, sites) and what was answered, with Gram matrices of no fewer times."""
        before = t * self.each
        now = slice(before, before + self.each)
        sent, answered = sent.reshape(-1, self.sites), answered.reshape(-1, self.sites)
        known = regression(sent_gram[now, :before], sent_gram[:before, :before])
        rest = self.scale * self.source(sent[now] - known @ sent[:before])
        past = slice(len(answered))
        rest -= regression(rest @ answered.T / self.sites, answered_gram[past, past]) @ answered
        flat = self.values.reshape(-1, self.sites)
        flat[now] = known @ flat[:before] + rest
        self.gram[now, : now.stop] = flat[now] @ flat[: now.stop].T / self.sites
        self.gram[: now.stop, now] = self.gram[now, : now.stop].T
        return self.values[t]

    def response(self, times: int, values: Array) -> Array:
        """How values (rows, sites) answer to the fields of so many times: (rows, fields)."""
        count = times * self.each
        fields = self.values.reshape(-1, self.sites)[:count]
        return regression(values.reshape(-1, self.sites) @ fields.T / self.sites, self.gram[:count, :count])


def regression(products: Array, gram: Array) -> Array:
    """Coefficients (rows, vectors) of the combination that is nearest, from averages of products (rows, vectors)."""
    if not gram.size:
        return np.zeros_like(products)
    ridge = RIDGE * float(np.diag(gram).max()) or 1.0
    return np.asarray(cho_solve(cho_factor(gram + ridge * np.eye(len(gram))), products.T).T)
