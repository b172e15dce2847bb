"""Phase diagrams: the edge of chaos, the fixed points, and what is drawn."""

from __future__ import annotations

import numpy as np
import pytest

import widthwise as ww
from widthwise.theory.language.errors import InvalidArgument
from widthwise.validation.reports.phase import phase_diagram

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def erf():
    return phase_diagram("erf", sigma_w=np.linspace(0.1, 3, 30), sigma_b=np.linspace(0, 1.5, 16))


def test_fixed_points_are_those_of_deep_networks(erf):
    """The kernel of layer 400, by ``predict``, from another start."""
    for i, j in ((3, 5), (10, 12), (2, 28), (15, 20)):
        net = ww.MLP("erf", depth=400, C_W=erf.sigma_w[j] ** 2, C_b=erf.sigma_b[i] ** 2, lambda_W=1, lambda_b=0)
        deep = ww.predict(net, np.full((1, 3), 1.3), "K").K.values.ravel()[-1]
        assert erf.K[i, j] == pytest.approx(deep, rel=1e-6)


def test_susceptibilities_of_erf_are_the_closed_forms(erf):
    """chi_perp = (4/pi) C_W / sqrt(1 + 4K), chi_parallel = chi_perp / (1 + 2K)."""
    C_W = erf.sigma_w[None, :] ** 2
    perpendicular = 4 / np.pi * C_W / np.sqrt(1 + 4 * erf.K)
    assert erf.chi_perp == pytest.approx(perpendicular, rel=1e-5)
    assert erf.chi_parallel == pytest.approx(perpendicular / (1 + 2 * erf.K), rel=1e-5)


def test_the_edge_separates_the_phases(erf):
    """sigma_w^2 = (pi/4) sqrt(1 + 4K) along the edge, chaotic to its right and ordered to its left."""
    boundary = np.interp(erf.sigma_b, erf.edge_b, erf.edge_w)
    for i, edge in enumerate(boundary):
        assert set(erf.phase[i, erf.sigma_w > edge + 1e-3]) <= {"chaotic"}
        assert set(erf.phase[i, erf.sigma_w < edge - 1e-3]) == {"ordered"}
    assert erf.edge_w.min() == pytest.approx(np.sqrt(np.pi / 4), rel=1e-5)
    assert pytest.approx(np.pi / 4) == erf.points[0].C_W


def test_relu_kernels_grow_without_bound_beyond_the_critical_line():
    data = phase_diagram("relu", sigma_w=[1.0, 1.4, 1.43, 2.0], sigma_b=[0.1, 0.5])
    assert data.phase.tolist() == [["ordered", "ordered", "unbounded", "unbounded"]] * 2
    assert data.K[1, 0] == pytest.approx(0.25 / (1 - 0.5))  # K = C_b/(1 - C_W/2)
    assert np.isnan(data.chi_perp[0, 3])


def test_tanh_without_bias_is_chaotic_above_one():
    data = phase_diagram("tanh", sigma_w=[0.8, 0.95, 1.05, 1.2], sigma_b=[0.0, 0.01])
    assert data.phase[0].tolist() == ["ordered", "ordered", "chaotic", "chaotic"]
    assert data.K[0, :2] == pytest.approx(0, abs=1e-6)


def test_gelu_edge_ends_where_the_half_stable_point_is():
    """Left of it the fixed points with chi_perp = 1 are unstable."""
    data = phase_diagram("gelu", sigma_w=[1.0, 1.4], sigma_b=[0.1, 0.5])
    stable = data.edge_chi_parallel <= 1
    assert data.edge_b[stable].min() == pytest.approx(np.sqrt(data.points[1].C_b), abs=2e-3)


def test_the_figure_names_what_it_shows(erf):
    figure = erf.figure()
    axes = figure.axes[0]
    assert "C_W" in axes.get_xlabel()
    assert "C_b" in axes.get_ylabel()
    assert axes.get_title() == "erf"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert any("edge of chaos" in label for label in labels)
    assert any("critical point" in label for label in labels)
    assert {"ordered", "chaotic"} <= {text.get_text() for text in axes.texts}
    assert len(figure._repr_png_()) > 5000


def test_bad_grids():
    with pytest.raises(InvalidArgument, match="sigma_w"):
        phase_diagram("tanh", sigma_w=[1.0])
    with pytest.raises(InvalidArgument, match="sigma_b"):
        phase_diagram("tanh", sigma_b=[1.0, 0.5])
    with pytest.raises(InvalidArgument, match="start"):
        phase_diagram("tanh", start=0)
    with pytest.raises(InvalidArgument, match="unspecified"):
        phase_diagram(None)
