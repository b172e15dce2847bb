"""How numbers and equations are written in reports: as MathML for a browser, with errors in parentheses for a paper."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from widthwise.theory.initialisation.derive import derive
from widthwise.theory.language.equations import page_rows
from widthwise.theory.networks.architecture import MLP
from widthwise.theory.typesetting.environments import rows
from widthwise.validation.reports.mathml import equations, math
from widthwise.validation.reports.paper import compact

pytestmark = pytest.mark.quick

NET = MLP("relu", depth=2, C_W=2.0, C_b=0.1, lambda_W=1.0, lambda_b=0.5)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (r"\sigma_{1}''", "<msub><mrow><mi>σ</mi><mi>′′</mi></mrow><mrow><mn>1</mn></mrow></msub>"),
        (r"\mathrm{E}", '<mi mathvariant="normal">E</mi>'),
        (r"\mathrm{Cov}", "<mi>Cov</mi>"),
        (r"\Theta", '<mi mathvariant="normal">Θ</mi>'),
        (r"\operatorname{erf}", "<mi>erf</mi>"),
    ],
)
def test_math_is_set_as_latex_sets_it(source, expected):
    assert expected in math(source)


@pytest.mark.parametrize("samples", [None, 1])
def test_no_latex_command_is_left_in_an_equation(samples):
    for derivation in derive(NET, samples=samples).statements:
        for step in derivation.steps:
            check(equations(page_rows(step.displays)))


@pytest.mark.parametrize("width", [150.0, 345.0])
def test_nor_in_one_that_is_broken_inside_of_brackets(width):
    found = derive(MLP("gelu"), "Theta").specialize()
    check(equations([row for block in rows(found.displays, width) for row in block]))


def check(block):
    ElementTree.fromstring(block)
    assert "\\" not in block
    assert "&amp;" not in block


@pytest.mark.parametrize(
    ("predicted", "measured", "error", "expected"),
    [
        (0.13871, 0.1387, 0.0002, ("0.13871", "0.1387(2)")),
        (0.13871, 0.13871, 0.000123, ("0.138710", "0.13871(12)")),
        (-1.5, -1.46, 0.31, ("-1.50", "-1.5(3)")),
        (1234.4, 1234.0, 56.0, ("1234.4", "1234(56)")),
        (2.5e-7, 2.4e-7, 2e-8, (r"2.50\times10^{-7}", r"2.4(2)\times10^{-7}")),
        (0.0, -0.001, 0.04, ("0.000", "0.00(4)")),
        (0.5, 0.5, 0.0096, ("0.5000", "0.500(10)")),
    ],
)
def test_compact_notation(predicted, measured, error, expected):
    assert compact(predicted, measured, error, (measured - predicted) / error or 1e-9) == expected


def test_compact_notation_without_noise_has_no_error():
    assert compact(0.25, 0.25, 0.0, 0.0) == ("0.25", "0.25")
    assert compact(0.0, 3e-16, 1e-17, 0.0) == ("0", "0")
