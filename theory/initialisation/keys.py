"""Covariances of two pairs of jets at two layers: their names, and which enter which through the responses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import permutations

import sympy as sp

from ..language.jets import Jet
from ..language.quantities import Pair, Quantity, lookup, quantity
from ..layers.map import LayerMap
from ..meanfield.system import MeanFieldSystem
from .layered import LABELS

#: The directions of the jets of two pairs, up to the names of the directions.
Key = tuple[tuple[str, ...], tuple[str, ...]]


def key_of(first: Pair, second: Pair) -> Key | None:
    """The canonical form of an ordered couple of pairs; None if a direction occurs an odd number of times."""
    counts = Counter(d for jet in (*first, *second) for d in jet.directions)
    if any(n % 2 for n in counts.values()):
        return None
    names = sorted(counts)
    renamed = (dict(zip(names, p, strict=True)) for p in permutations("rstuvw"[: len(names)]))
    return min((_directions(first, new), _directions(second, new)) for new in renamed)


def _directions(pair: Pair, new: dict[str, str]) -> tuple[str, ...]:
    return tuple(sorted("".join(sorted(new[d] for d in jet.directions)) for jet in pair))


def pairs_of(key: Key) -> tuple[Pair, Pair]:
    """Jets of two layers for a key."""
    first, second = (tuple(Jet(label, r) for r in directions) for label, directions in zip(LABELS, key, strict=True))
    return first, second


def turned(key: Key) -> Key:
    """The key with its pairs exchanged."""
    first, second = pairs_of(key)
    found = key_of(second, first)
    assert found is not None
    return found


def keys_of(row: Quantity) -> tuple[Key, Key]:
    """The key of a covariance, both ways round."""
    first, second = row.at(("",) * row.rank)
    there = key_of(first, second)
    assert there is not None
    return there, turned(there)


def name_of(key: Key) -> str:
    """The name of the quantity that a key is, with a T behind it if its pairs are exchanged; else that of the directions."""
    entry = lookup(pairs_of(key))
    if entry is None:
        return "x".join("_".join(r or "z" for r in pair) for pair in key)
    return entry.name if key == keys_of(quantity(entry.name))[0] else f"{entry.name}T"


@lru_cache(maxsize=1024)
def responses(layer: LayerMap, key: Key) -> tuple[tuple[Key, sp.Expr], ...]:
    """J of the second pair of a key: the keys with that pair replaced, and their factors, which are of the second layer."""
    first, second = pairs_of(key)
    found: dict[Key, sp.Expr] = {}
    for c, value in MeanFieldSystem(layer).response(second).items():
        replaced = key_of(first, c)
        if replaced is not None:
            found[replaced] = found.get(replaced, sp.Integer(0)) + value
    return tuple(found.items())


def closed(layer: LayerMap, keys: Iterable[Key], *, first: bool = False) -> tuple[Key, ...]:
    """The keys and all that they inherit from, through the responses of their second pairs, or of their first ones."""
    done: list[Key] = []
    todo = list(keys)
    while todo:
        key = todo.pop()
        if key not in done:
            done.append(key)
            if first:
                todo += [turned(k) for k, _ in responses(layer, turned(key))]
            else:
                todo += [k for k, _ in responses(layer, key)]
    return tuple(sorted(done, key=name_of))
