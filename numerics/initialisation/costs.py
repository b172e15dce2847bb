"""What a prediction takes before it starts: the averages that quadrature has to find, and the memory of tensors of all inputs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ...theory.language.quantities import quantity
from ..codegen.modules import Compiled
from ..quadrature.tables import MOST, arrangements
from ..runs.costs import Cost

#: Seconds on one core of a laptop: of a covariance of d samples, and of an average over it (measured for tanh, relu, gelu and erf,
#: 2 to 7 inputs and 200: within a factor of two); of an entry of a tensor, and of an
#: average over more samples than quadrature couples, some of which are therefore equal.
COVARIANCE_SECONDS, AVERAGE_SECONDS = {2: 0.0, 3: 3e-3, 4: 7e-3}, {2: 5e-4, 3: 5e-4, 4: 1e-3}
ENTRY_SECONDS, MERGED_SECONDS = 2e-7, 1e-4
#: Arrays as large as a tensor that its equation and the tables of its averages need at a time.
BESIDE = 30
CHEAPER = "fewer inputs, quantities=('K', 'Theta'), or kernel(net, X) for these two of thousands of inputs"


def averages(code: Compiled, m: int) -> dict[int, tuple[int, int]]:
    """By the number of samples that they couple: the covariances of m inputs, and the averages over each, by quadrature."""
    terms, closed = code.namespace.get("TERMS", {}), code.namespace.get("CLOSED", ())
    found = Counter[int]()
    for name, (orders, derivatives) in terms.items():
        if 1 < len(orders) <= MOST and not (len(orders) == 2 and name in closed):
            found[len(orders)] += 1 if any(derivatives) else arrangements(orders)
    return {d: (math.comb(m + d - 1, d), count) for d, count in found.items()}


def cost(codes: Sequence[Compiled], m: int, names: Sequence[str]) -> Cost:
    """The cost of all layers of m inputs, each by its code."""
    entries = [m ** quantity(name).rank for name in names]
    seconds = 0.0
    for code in codes:
        seconds += ENTRY_SECONDS * sum(entries)
        larger = (len(orders) for orders, _ in code.namespace.get("TERMS", {}).values() if len(orders) > MOST)
        seconds += MERGED_SECONDS * sum(m**d for d in larger)
        for d, (covariances, count) in averages(code, m).items():
            seconds += covariances * (COVARIANCE_SECONDS[d] + count * AVERAGE_SECONDS[d])
    # a layer holds its tensors; they are stacked in the end
    memory = 8.0 * (2 * (len(codes) + 1) * sum(entries) + BESIDE * max(entries))
    return Cost(seconds, memory)


def work(codes: Sequence[Compiled], m: int) -> int:
    """The averages that are counted while they are integrated."""
    return sum(covariances * count for code in codes for covariances, count in averages(code, m).values())


@contextmanager
def watched(codes: Sequence[Compiled], count: Callable[[int], None]) -> Iterator[None]:
    """Averages that these codes integrate are counted meanwhile."""
    modules = [code.namespace for code in codes if "watch" in code.namespace]
    for namespace in modules:
        namespace["watch"] = count
    try:
        yield
    finally:
        for namespace in modules:
            namespace["watch"] = lambda count: None
