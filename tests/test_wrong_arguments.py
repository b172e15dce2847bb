"""Odd arguments of all public functions: each is an error of the package that says what would be allowed."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import widthwise as ww
from widthwise.commands.reading import writable
from widthwise.theory.language.errors import InvalidArgument, NotIntegrable, WidthwiseError

X = np.eye(2)
NET = ww.MLP("tanh", depth=2, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
NARROW = NET.at_width(4)
FLOW = ww.Training(ww.MLP("linear", depth=2), learning_rate=0.1)
#: Typed so that no rule rewrites it: its slope is nan far out.
STEEP = ww.MLP("x*(1+exp(-x))**(-1/2)", depth=2, C_W=1e5, C_b=0, lambda_W=1, lambda_b=0)
CODE = "print('run')"
x, q = sp.symbols("x q", real=True)


class Something:
    """An object of no kind that is known, with a name that is the same in every process."""

    def __repr__(self) -> str:
        return "something"


ODD = (3, "", "a", [], {}, None, Something(), [1, "a"], np.nan, 1j, sp.oo)
INPUTS = (
    "x",
    [],
    [[]],
    [1, 2],
    [[1, "a"]],
    [[np.nan]],
    [[1j]],
    np.zeros((2, 2, 2)),
    [[1], [1, 2]],
    {1: 2},
    Something(),
    None,
)


def cases():
    """Name and call of each case."""
    for v in ODD:
        yield f"MLP {v!r}", lambda v=v: ww.MLP(v) if v is not None else ww.MLP("tnh")
        yield f"critical {v!r}", lambda v=v: ww.critical(v)
        yield f"gaussian_average {v!r}", lambda v=v: ww.gaussian_average(v if v != "a" else "a*", 1.0)
        yield f"covariance {v!r}", lambda v=v: ww.gaussian_average("tanh(a)*tanh(b)", v if v is not None else "one")
        yield f"kinks {v!r}", lambda v=v: ww.gaussian_average(np.tanh, 1.0, kinks=v or 1)
        yield f"laws {v!r}", lambda v=v: ww.fluctuation_slope(v)
        yield f"depth_scaling {v!r}", lambda v=v: ww.depth_scaling(v, 3)
        yield f"aspect {v!r}", lambda v=v: ww.optimal_aspect_ratio(v)
        yield f"residual {v!r}", lambda v=v: ww.residual(v if v is not None else "g")
        yield f"state {v!r}", lambda v=v: ww.compile(ww.derive(NET, "K"))(v)
        yield f"depth {v!r}", lambda v=v: ww.compile(ww.derive(NET, "K")).recursion(X, v if v != 3 else 0)
        yield f"names {v!r}", lambda v=v: ww.derive(NET).restrict(v or 3)
        yield (
            f"with_ {v!r}",
            lambda v=v: ww.derive(NET).with_(K=v if v != 3 and not isinstance(v, sp.Expr | float) else "3"),
        )
        yield f"samples {v!r}", lambda v=v: ww.derive(NET, "K", samples=v if v is not None and np.size(v) < 2 else 0)
        yield f"asymptotics {v!r}", lambda v=v: ww.asymptotics("tanh", v or 3)
        yield f"layer {v!r}", lambda v=v: ww.asymptotics("tanh", layer=v if v is not None else 3)
        yield (
            f"sigma_w {v!r}",
            lambda v=v: ww.phase_diagram("tanh", sigma_w=v if v is not None else [1.0], sigma_b=[0.0, 1.0]),
        )
        yield f"times {v!r}", lambda v=v: ww.predict(FLOW, X[:1], [1.0], times=v if v != 3 else -1)
        yield (
            f"flow times {v!r}",
            lambda v=v: ww.gradient_flow(NET, X, [1.0, 2.0], times=v if v not in (3, sp.oo) else -1),
        )
        yield f"loss {v!r}", lambda v=v: ww.Training(NET, loss=v)
        yield (
            f"checkpoint {v!r}",
            lambda v=v: ww.predict(
                FLOW, X[:1], [1.0], times=1, checkpoint=v if not isinstance(v, str) and v is not None else 3
            ),
        )
        for name in ("C_W", "lambda_b", "width", "residual", "weights", "depth", "parametrization"):
            if v is not None and v != 3 and not (name == "residual" and v == {}):
                yield f"{name} {v!r}", lambda v=v, name=name: ww.MLP("tanh", **{"depth": 3} | {name: v})
    for v in INPUTS:
        yield f"predict X {v!r}"[:40], lambda v=v: ww.predict(NET, v, "K")
        yield f"kernel X {v!r}"[:40], lambda v=v: ww.kernel(NET, v)
        yield f"simulate X {v!r}"[:40], lambda v=v: ww.simulate(NARROW, v, networks=4, quantities="K", progress=False)
        yield f"training X {v!r}"[:40], lambda v=v: ww.predict(FLOW, v, [1.0], times=1)
    for v in (3, [], "foo", ["K", 3], [["K"]]):
        yield f"predict {v!r}", lambda v=v: ww.predict(NET, X, v)
        yield f"simulate {v!r}", lambda v=v: ww.simulate(NARROW, X, quantities=v, networks=4, progress=False)
        yield f"training {v!r}", lambda v=v: ww.predict(FLOW, X[:1], [1.0], times=1, quantities=v if v != [] else 3)
    yield "Activation of two symbols", lambda: ww.Activation("mine", x * q)
    yield "an unknown verb", lambda: ww.fluctuations(NET)
    yield (
        "activations that differ",
        lambda: ww.compile(ww.derive(ww.MLP(["tanh", "relu"], depth=3, residual=0.5), samples=1)),
    )
    yield "hyperparameter", lambda: NET.per_layer("C")
    yield "progress", lambda: ww.simulate(NARROW, X, networks=4, quantities="K", progress="x")


@pytest.mark.parametrize("call", [pytest.param(call, id=name[:50]) for name, call in cases()])
def test_an_odd_argument_is_an_error_of_the_package(call, capsys):
    with pytest.raises(WidthwiseError, match=r"[Aa]llowed|did you mean|needed|it has"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: ww.MLP(CODE),
        lambda: ww.MLP("tanh", C_W=CODE),
        lambda: ww.MLP("tanh", depth=3, residual=CODE),
        lambda: ww.residual(CODE),
        lambda: ww.independent(CODE),
        lambda: ww.Training(NET, loss=CODE),
        lambda: ww.derive(NET).with_(K=CODE),
        lambda: ww.gaussian_average(CODE),
        lambda: ww.gaussian_average("tanh(a)", CODE),
        lambda: ww.gaussian_average("tanh(a)", CODE, precision="mp"),
        lambda: ww.NNGPKernel(CODE, depth=2)(X),
        lambda: ww.Activation("mine", CODE),
    ],
)
def test_no_text_runs(call, capsys):
    with pytest.raises(WidthwiseError):
        call()
    assert capsys.readouterr().out == ""


def test_where_a_typed_function_cannot_be_evaluated_an_error_says_so():
    for call in (
        lambda: ww.predict(STEEP, X, "Theta"),
        lambda: ww.kernel(STEEP, X),
        lambda: ww.critical_points(STEEP.activation),
    ):
        with pytest.raises(NotIntegrable, match=r"sigma\^\(1\)\(z\) is nan at z=-.*can be written so that it does not"):
            call()


def test_equations_with_letters_that_stand_for_nothing_are_refused():
    V = sp.Symbol("V")
    for samples, inputs in ((1, X[:1]), (None, X)):
        given = ww.derive(NET, samples=samples)
        with pytest.raises(InvalidArgument, match="equations= hold V in that of V, which is no number of the network"):
            ww.predict(NET, inputs, "V", equations=given.with_(V=V))
        assert not ww.predict(NET, inputs, "V", equations=given.with_(V=0)).V.values.any()
    with pytest.raises(InvalidArgument, match="'K' is not among the equations that are given; allowed: V"):
        ww.predict(NET, X, "K", equations=ww.derive(NET, "V"))
    for name in ("f", "h"):
        with pytest.raises(
            InvalidArgument, match=f"equations= hold q in that of {name}, which is in none of the derived ones"
        ):
            ww.predict(FLOW, X[:1], [1.0], times=1, equations=ww.derive(FLOW).with_(**{name: q}))


def test_an_activation_of_ones_own_is_a_function_of_its_symbol():
    assert ww.Activation("mine", x**2 + x) == ww.Activation("mine", "y**2 + y")
    assert ww.Activation("mine", x**2 + x).derivative(2) == 2


def test_no_folder_is_made_for_a_file(tmp_path):
    with pytest.raises(InvalidArgument, match=r"--html=.*cannot be written: No such file"):
        writable("--html", tmp_path / "nowhere" / "page.html")
    assert not list(tmp_path.iterdir())
    assert writable("--html", tmp_path / "page.html") == tmp_path / "page.html"
    assert not list(tmp_path.iterdir())
