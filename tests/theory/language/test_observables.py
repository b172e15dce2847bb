"""Tables of observables: rows are checked when they are registered, and found whatever was looked up before."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.initialisation.dependencies import dependency_order
from widthwise.theory.language.errors import InvalidArgument, NotAvailable, UnknownName
from widthwise.theory.language.observables import exchanges
from widthwise.theory.language.quantities import TENSORS, Quantity, lookup
from widthwise.theory.layers.map import LayerMap

pytestmark = pytest.mark.quick

#: n^2 times the joint cumulant of a kernel and of two tangent kernels at three different neurons: a tensor of the next order.
A6 = Quantity(
    "A6", ((("", 0), ("", 1)), (("r", 2), ("r", 3)), (("s", 4), ("s", 5))), r"\mathcal{A}", "(01)(23)(45)",
    "cumulant of the kernel and two NTKs",
)  # fmt: skip


@pytest.fixture
def registered():
    TENSORS.register(A6)
    yield A6
    TENSORS.remove("A6")


def test_a_row_is_found_although_it_was_looked_up_before():
    """A cumulant without a name stays without one only until it gets one."""
    pairs = A6.at(tuple("abcdef"))
    assert lookup(pairs) is None
    TENSORS.register(A6)
    try:
        found = lookup(pairs)
        assert found is not None
        assert found.name == "A6"
        assert sp.latex(found) == r"\mathcal{A}^{(\ell)}_{(a b )(c d )(e f )}"
    finally:
        TENSORS.remove("A6")
    assert lookup(pairs) is None


def test_a_new_row_belongs_to_the_closed_system(registered):
    layer = ww.MLP().layer_map
    assert isinstance(layer, LayerMap)
    assert "A6" in ww.derive(ww.MLP(), "A6", samples=1).equation.lhs.name
    assert "A6" in dependency_order(layer, 2)


def test_the_symmetries_of_a_row_follow_from_its_definition(registered):
    """The two tangent kernels may change places, and so may the samples of each pair."""
    group = registered.symmetries
    assert len(group) == 16
    assert (0, 1, 2, 5, 6, 3, 4) in group
    assert registered.dims == ("layer", "sample", "sample2", "sample3", "sample4", "sample5", "sample6")
    assert registered.order == 2


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "V"}, "is there already"),
        ({"name": "no name"}, "identifiers"),
        ({"name": "A6_stderr"}, "identifiers"),
        ({"latex": ""}, "a letter and a sentence"),
        ({"latex": r"\mathcal{V}"}, "is the letter of V6"),
        ({"print_order": "01(23)"}, "each of the digits"),
        ({"pairs": ((("", 0), ("", 1)), (("r", 2), ("r", 3)), (("s", 4), ("s", 4)))}, "each axis"),
        ({"pairs": ((("", 0), ("", 1)), (("r", 2), ("r", 3)), (("s", 4), ("", 5)))}, "an odd number of times"),
        ({"pairs": ((("", 4), ("", 5)), (("r", 2), ("r", 3)), (("", 0), ("", 1)))}, "with its axes in another order"),
    ],
)
def test_a_wrong_row_is_refused_by_name(changes, text):
    with pytest.raises(InvalidArgument, match=text):
        TENSORS.register(replace(A6, **changes))
    assert "A6" not in TENSORS


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(UnknownName, match="Theta1"):
        TENSORS["Thetta1"]


def test_exchange_of_two_places():
    dims = ("layer", "time", "sample", "time2", "sample2")
    assert exchanges(dims) == ((0, 1, 2, 3, 4), (0, 3, 4, 1, 2))
    assert exchanges(("time",)) == ((0,),)


def test_a_row_whose_recursion_does_not_close_disturbs_no_other():
    """The cumulant of three tangent kernels needs others without a name: it is refused by name, and the rest goes on."""
    row = replace(A6, name="G6", latex=r"\mathcal{G}", pairs=((("t", 0), ("t", 1)), *A6.pairs[1:]))
    TENSORS.register(row)
    try:
        net = ww.MLP("linear", depth=3, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
        assert "V6" in ww.predict(net, [[1.0, 0.5]], order=2)
        with pytest.raises(NotAvailable, match="no registered quantity"):
            ww.predict(net, [[1.0, 0.5]], "G6", order=2)
    finally:
        TENSORS.remove("G6")


def test_what_is_no_row_is_refused():
    with pytest.raises(InvalidArgument, match="row=3 is a int"):
        TENSORS.register(3)
