"""Series along an orbit: exact cases, and equations put in numbers."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp
from sympy.polys.domains import QQ
from sympy.polys.rings import PolyRing

from widthwise.theory.depth.series import Orbit, Series, solve
from widthwise.theory.language.errors import NotAvailable

pytestmark = pytest.mark.quick

RING = PolyRing(["c"], QQ)
ORDER = sp.Integer(9)


def series(coefficients, order=ORDER):
    """From {power, or (power, power of the logarithm): rational number}."""
    terms = {key if isinstance(key, tuple) else (key, 0): value for key, value in coefficients.items()}
    return Series.of([((sp.sympify(e), j), RING(QQ(str(sp.sympify(c))))) for (e, j), c in terms.items()], order)


def value(found, x, c=0):
    """The sum at a point."""
    return sum(
        mpmath.mpf(sp.Rational(str(k.as_expr().subs("c", c)))) * x ** mpmath.mpf(str(sp.N(e, 30))) * mpmath.log(x) ** j
        for (e, j), k in found.terms.items()
    )


#: x' = x/(1 + x): after one step 1/x is larger by one.
HYPERBOLA = Orbit(series({k: (-1) ** k for k in range(1, 9)}), RING.one)
#: x' = x - x^2.
LOGISTIC = Orbit(series({1: -1}), RING.one)
ONE = series({0: 1})


def test_the_layer_number_of_the_hyperbola_is_one_over_x():
    """Abel's equation tau(F(x)) = tau(x) + 1 without a logarithm."""
    assert HYPERBOLA.rate == (1, RING(-1))
    found = solve(HYPERBOLA, ONE, ONE, RING.zero).series
    assert dict(found.terms) == {(-sp.S.One, 0): RING.one}


@pytest.mark.parametrize("e", [2, -1, sp.Rational(1, 2), sp.Rational(-3, 2)])
def test_powers_are_those_of_the_binomial_series(e):
    x = sp.Symbol("x")
    expected = sp.series((1 - x) ** e, x, 0, 9).removeO()
    found = LOGISTIC.to_power(sp.sympify(e))
    assert {k: c.as_expr() for (k, _), c in found.terms.items()} == {
        m: expected.coeff(x, m) for m in range(9) if expected.coeff(x, m)
    }


def test_composition_is_substitution():
    """log and root at x - x^2, against numbers of 40 digits."""
    X = series({sp.Rational(1, 2): 3, (1, 2): -2, (0, 1): 5})
    with mpmath.workdps(40):
        x = mpmath.mpf("0.001")
        assert abs(value(LOGISTIC(X), x) - value(X, x - x**2)) < x**8


@pytest.mark.parametrize(
    ("a", "f", "resonant"),
    [
        ({0: 1}, {0: 1}, True),  # Abel's equation of x - x^2 holds a logarithm
        ({0: 1, 1: "-3/2", 2: "1/3"}, {2: 1}, False),
        ({0: 1, 1: -2, 2: "1/3"}, {3: 1, 4: "2/7"}, True),
        ({0: 1, 1: "-1/2"}, {sp.Rational(3, 2): 1, (2, 1): "1/5"}, True),
        ({0: "1/2", 1: 1}, {1: 1, (2, 2): 3}, False),  # what is not inherited follows its source
    ],
)
def test_a_solution_solves_its_recursion(a, f, resonant):
    """X(F(x)) = a(x) X(x) + f(x) at a small x, to the order of the series."""
    a, f = series(a), series(f)
    found = solve(LOGISTIC, a, f, RING.gens[0])
    assert found.resonant == resonant
    with mpmath.workdps(60):
        for c in (0, 3):
            sizes = []
            for x in (mpmath.mpf("1e-3"), mpmath.mpf("1e-4")):
                X = found.series
                sizes.append(abs(value(X, x - x**2, c) - value(a, x) * value(X, x, c) - value(f, x)))
            assert sizes[0] < 1e-16
            assert sizes[1] <= sizes[0] * 1e-5  # a high power of x


def test_another_coefficient_does_not_solve_it():
    """The negative control."""
    found = solve(LOGISTIC, ONE, ONE, RING.zero).series
    wrong = Series({key: 2 * c if key == (0, 1) else c for key, c in found.terms.items()}, found.order)
    with mpmath.workdps(40):
        x = mpmath.mpf("1e-3")
        assert abs(value(wrong, x - x**2) - value(wrong, x) - 1) > 1e-4


def test_growth_that_is_no_power_is_refused():
    with pytest.raises(NotAvailable, match="grows exponentially"):
        solve(LOGISTIC, series({0: 2}), ONE, RING.zero)
    with pytest.raises(NotAvailable, match="faster than any power"):
        solve(LOGISTIC, series({0: 1, sp.Rational(1, 2): 1}), ONE, RING.zero)
