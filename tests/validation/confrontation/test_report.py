"""The report: what a reader sees agrees with the numbers, and every file stands on its own."""

from __future__ import annotations

import ast
import base64
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import sympy as sp
import xarray as xr
from matplotlib.figure import Figure

from widthwise.numerics.initialisation.predict import compiled_system
from widthwise.theory.initialisation.derive import derive
from widthwise.theory.language.errors import InvalidArgument, UnknownName
from widthwise.theory.networks.architecture import MLP
from widthwise.validation.confrontation import report as module
from widthwise.validation.confrontation.report import Report
from widthwise.validation.confrontation.verdict import judge
from widthwise.validation.initialisation.validate import validate
from widthwise.validation.reports import figures
from widthwise.validation.reports.mathml import equations, prose
from widthwise.validation.reports.page import render
from widthwise.validation.reports.paper import compact

RNG = np.random.default_rng(5)
NET = MLP("relu", depth=2, C_W=2.0, C_b=0.1, lambda_W=1.0, lambda_b=0.5)
Z = sp.Symbol("z", real=True)
DEEP = MLP(Z + Z**3 / 10, depth=3, C_W=[1, 0.5, 0.5], C_b=0, lambda_W=1, lambda_b=0)
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@pytest.fixture(scope="module")
def pair() -> Report:
    """Two inputs that are pictures, all quantities."""
    return validate(NET, RNG.normal(size=(2, 16)), widths=(8, 16, 32), networks=200, progress=False)


@pytest.fixture(scope="module")
def single() -> Report:
    """One input, some quantities, one hyperparameter that differs from layer to layer."""
    return validate(DEEP, [[0.5, -1.0, 0.2]], widths=(8, 16), networks=200, quantities=("K", "V", "K1"), progress=False)


@pytest.fixture(scope="module")
def failed(pair) -> Report:
    """The same with one comparison spoilt by noise, and one without noise."""
    table = pair.table[pair.table["quantity"].isin(["K", "Theta", "V"])].reset_index(drop=True)
    data = pair.data[[v for v in pair.data if str(v).split("_")[0] in ("K", "Theta", "V", "hidden", "X")]].copy(
        deep=True
    )
    for name, layer, entry, sigma in (("V", 2, "0111", 9.0), ("Theta", 1, "01", -np.inf)):
        row = (table["quantity"] == name) & (table["layer"] == layer) & (table["entry"] == entry)
        table.loc[row, ["sigmas", "p_value"]] = [sigma, 0.0]
        data[f"{name}_sigmas"][(layer - 1, *map(int, entry))] = sigma
    tested = ~table["quantity"].isin(pair.verdict.coarse)
    verdict = judge(table["p_value"].to_numpy(), 0.01, tested=tested)
    table["passed"] = table["p_value"] >= verdict.threshold
    table["verdict"] = verdict.words(table["p_value"], tested)
    return replace(pair, table=table, verdict=verdict, data=data)


@pytest.fixture(scope="module")
def page(pair, tmp_path_factory) -> str:
    return pair.to_html(tmp_path_factory.mktemp("page") / "new" / "folder" / "report.html").read_text(encoding="utf-8")


def page_of(report: Report) -> str:
    return render(report)


class Reader(HTMLParser):
    """Collects addresses, tags that load something, the text, and checks that tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "srcset", "data", "action", "poster")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def cells(page: str) -> list[list[str]]:
    """The rows of the complete table."""
    body = page[page.index("<tbody>") : page.index("</tbody>")]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body.split("</tr>")[:-1]]


# The page


def test_page_is_self_contained(page):
    """No address leads out of the file, nothing is loaded, and every tag is closed."""
    reader = Reader(page)
    assert not reader.open
    assert all(a.startswith(("#", "data:")) for a in reader.addresses), reader.addresses
    assert not {"script", "link", "iframe", "object", "embed"} & set(reader.tags)
    assert "http" not in re.sub(r'"data:[^"]*"', "", page.replace("&#39;", "'"))
    assert "url(" not in page
    assert "@import" not in page


def test_page_is_read_on_any_ground_and_at_any_width(page):
    """Colours are names that the dark scheme sets too; what may be wider than a telephone scrolls by itself."""
    style = page[page.index("<style>") : page.index("</style>")]
    light, dark = style.split("@media (prefers-color-scheme: dark)", 1)
    named = set(re.findall(r"(--[a-z]+):", light))
    assert named - set(re.findall(r"(--[a-z]+):", dark)) == {"--banner", "--paper"} - set(
        re.findall(r"(--[a-z]+):", dark)
    )
    assert set(re.findall(r"var\((--[a-z]+)\)", style)) <= named
    assert page.count("<table>") == len(re.findall(r'<div class="scroll[^"]*"><table>', page))
    assert "@media (max-width: 600px)" in style


def test_embedded_figures_are_whole_and_load_nothing(page):
    images = re.findall(r'src="data:image/(svg\+xml|png);base64,([^"]*)"', page)
    assert [kind for kind, _ in images] == ["png"] + 10 * ["svg+xml"]  # nine quantities and the histogram
    for kind, text in images:
        content = base64.b64decode(text)
        if kind == "png":
            assert content.startswith(b"\x89PNG")
        else:
            root = ElementTree.fromstring(content)
            links = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
            assert all(v.startswith(("#", "data:")) for v in links)


@pytest.mark.parametrize("name", ["K", "Theta", "V", "D", "F", "A", "B", "K1", "Theta1"])
def test_page_holds_each_equation_with_its_derivation(page, name):
    start = page.index(f'id="equation-{name}"')
    section = page[start : page.index("</section>", start)]
    one = derive(NET, name, samples=1)
    for derivation in (derive(NET, name).general, one.general, one.specialize()):
        assert equations(derivation.rows) in section
    for step in derive(NET, name).steps:
        assert step.title in section
        assert prose(step.reason) in section


def test_page_holds_each_row_of_the_table_with_the_worst_first(pair, page):
    rows = cells(page)
    assert {tuple(r[:3]) for r in rows} == {
        (q, str(i), e) for q, i, e in pair.table.iloc[:, :3].itertuples(index=False)
    }
    assert len(rows) == len(pair.table)
    with_noise = pair.table[(pair.table["standard_error"] > 0) & (pair.table["sigmas"] != 0)]
    assert pair.verdict.comparisons == len(with_noise)  # equal numbers without noise are none
    sizes = [float(r[8]) for r in rows]
    assert sizes == sorted(sizes)


def test_page_says_what_was_done(pair, page):
    text = " ".join(" ".join(Reader(page).words).split())
    for words in (
        repr(NET),
        "8, 16, 32",
        "200, 200, 200",
        "0, 1, 2",
        "2 of 16 features",
        "false-alarm rate is 0.01",
        "PASSED",
    ):
        assert words in text, words
    nine = {"K", "Theta", "V", "D", "F", "A", "B", "K1", "Theta1"}
    names = tuple(n for n in derive(MLP(), samples=1) if n in nine)
    assert compiled_system(NET.activation, NET.layer_map, False, names).source in "".join(Reader(page).words)


def test_page_of_one_input_and_some_quantities(single, tmp_path):
    """Equations go as far as the recursions need; inputs that are no squares are shown as numbers."""
    text = single.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    Reader(text)
    assert re.findall(r'id="equation-(\w+)"', text) == ["K", "V", "K1"]
    assert "0: 0.5, -1, 0.2" in text
    assert "1, 0.5, 0.5" in text
    assert text.count("data:image/") == 3 + 1  # three quantities and the histogram


def test_page_of_a_failure_says_so_and_shows_it_first(failed, tmp_path):
    text = failed.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<div class="banner failed">' in text
    assert [r[:3] for r in cells(text)[:2]] == [["Theta", "1", "01"], ["V", "2", "0111"]]
    assert text.count('<tr class="failed">') == 2


def test_page_escapes_what_it_is_given(single, tmp_path):
    """A name is text, never markup."""
    wicked = replace(single.subject.activation, name="<script>alert(1)</script>")
    report = replace(single, subject=single.subject.with_(activation=wicked))
    assert "<script" not in report.to_html(tmp_path / "report.html").read_text(encoding="utf-8")


# Equations


# Figures


@pytest.mark.parametrize("name", [None, "sigmas", "deviations", "Theta1"])
def test_a_figure_is_one_that_pyplot_does_not_know(pair, name):
    figure = pair.figure(name)
    assert isinstance(figure, Figure)
    assert figures.png(figure).startswith(b"\x89PNG")
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", [None, "sigmas", "deviations", "Theta1"])
def test_a_plot_is_shown_by_pyplot_or_drawn_where_it_is_wanted(pair, name):
    """As in pandas: the Axes come back, of a new figure of pyplot or those that were given, with labels and a legend."""
    found = np.ravel(pair.plot(name))
    assert len(found) == (9 if name is None else 1)
    assert plt.get_fignums() == [found[0].figure.number]
    plt.close("all")
    figure = Figure()
    given = figure.subplots(1, len(found), squeeze=False).ravel()
    back = np.ravel(pair.plot(name, ax=given if len(given) > 1 else given[0]))
    assert list(back) == list(given)
    assert plt.get_fignums() == []
    for axes in (found[0], given[0]):
        assert axes.get_ylabel()
        assert axes.get_legend() or axes.figure.legends
    assert given[-1].get_xlabel()
    assert figures.png(figure)


def test_what_fails_was_tested_however_large_its_error_bars():
    """Twice V, with error bars of a third of it: the page shows this equation, with the derived one beside it."""
    system = derive(NET)
    wrong = system.with_(V=20 * system.system["V"].rhs)
    found = validate(
        NET, [[1.0, 0.5]], widths=(8, 16), networks=400, quantities=("K", "V"), equations=wrong, resolution=1e-3
    )
    assert found.verdict.word == "FAILED"
    assert found.verdict.coarse == ("K",)
    assert not found.passed
    page = re.sub(r"\s+", " ", page_of(found))
    assert "The given equations" in page
    assert "the equations that were given in its place" in page
    assert page.count("Derived for this network, and not used here") == 1
    assert equations(wrong.restrict("V").rows) in page_of(found)
    assert "equations=equations" in found.again


def test_advice_tells_chance_from_error(failed, single):
    """A seed that no width has had; four times the networks; twice the widths; as on the command line or in Python."""
    text, typed = failed.text(), failed.text(command=True)
    assert "seed=3" not in text  # of a true theory this deviation is no chance
    assert "widths=(16, 32, 64)" in text
    assert "--widths 16,32,64" in typed
    chance = replace(failed, verdict=replace(failed.verdict, chance=0.004))
    assert "in at most 0.004 of all runs" in chance.text()
    assert "seed=3: what was chance fails again with probability at most 0.01" in chance.text()
    assert "networks=800: the sigmas of an error double" in chance.text()
    assert "--seed 3" in chance.text(command=True)
    assert str(single.advice[0]).startswith("Error bars of 25 % take about networks=")
    # as many networks as it says: error bars fall like one over the square root of their number
    asked = dict(re.findall(r"networks=(\d+) for (\w+)", str(single.advice[0])))
    for count, name in ((int(c), n) for c, n in asked.items()):
        assert count == pytest.approx(200 * (single.resolution[name] / 0.25) ** 2, rel=0.11)


def test_a_report_can_be_made_again(single):
    """The call that it prints gives the same table."""
    names: dict[str, object] = {}
    exec(single.again.replace("subject = MLP('z**3/10 + z'", "subject = MLP(Z + Z**3 / 10"), names | {"Z": Z}, names)
    pd.testing.assert_frame_equal(names["report"].table, single.table)


def test_all_quantities_on_one_axes_are_their_deviations(pair):
    axes = Figure().subplots()
    assert pair.plot(ax=axes) is axes
    assert axes.get_ylabel() == "deviation / its line"
    assert [t.get_text() for t in axes.get_xticklabels()][:3] == ["$K$", r"$\Theta$", "$V$"]
    with pytest.raises(InvalidArgument, match="2 Axes for 9 panels"):
        pair.plot(ax=Figure().subplots(1, 2))
    with pytest.raises(InvalidArgument, match="ax=3"):
        pair.plot("V", ax=3)


def test_matplotlib_is_imported_only_when_a_figure_is_asked_for():
    """Nothing at the top level of the report imports it, or the figures, which do."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports
    assert not [line for line in imports if "matplotlib" in line or "figures" in line]


def test_plot_draws_the_numbers_of_the_report(single):
    """Theory is a line, the extrapolation a point at the layer, a width n at a distance proportional to 1/n."""
    upper, lower = single.figure("V").axes
    drawn = {line.get_marker() + line.get_linestyle(): line for line in upper.lines if len(line.get_xdata()) == 3}
    np.testing.assert_array_equal(drawn["None-"].get_ydata(), single.data["V"].values[:, 0, 0, 0, 0])
    points = [line for line in upper.lines if line.get_marker() == "o"]
    assert [float(p.get_xdata()[0]) for p in points] == pytest.approx([1 - 0.4, 1 - 0.2, 1.0])
    np.testing.assert_array_equal(points[-1].get_ydata(), single.data["V_extrapolated"].values[:, 0, 0, 0, 0])
    marks = np.concatenate([line.get_ydata() for line in lower.lines if line.get_marker() == "_"])
    own = single.table.loc[single.table["quantity"] == "V", "line"].to_numpy()
    assert sorted(marks) == pytest.approx(sorted([*own, *-own]))


def test_plot_shows_the_entry_that_fails_worst(failed, pair):
    labels = [text.get_text() for text in failed.figure("V").axes[0].get_legend().get_texts()]
    assert labels == ["[0,0,0,0]", "[0,0,1,1]", "[0,1,0,1]", "[0,1,1,1]"]
    assert len(pair.figure("V").axes[0].get_legend().get_texts()) == 3
    assert figures.png(failed.figure("sigmas"))


def test_plot_of_a_wrong_name_says_what_is_allowed(single):
    with pytest.raises(UnknownName, match="Thet"):
        single.plot("Thet")
    with pytest.raises(UnknownName, match="Allowed: K, K1, V, deviations, sigmas"):
        single.plot("F")


# A table for a paper


def test_latex_table_has_one_row_for_each_quantity_and_layer(pair, tmp_path):
    text = pair.to_latex(tmp_path / "deep" / "table.tex")
    assert (tmp_path / "deep" / "table.tex").read_text(encoding="utf-8") == text
    rows = [r for r in text.splitlines() if r.endswith(r"\\") and "&" in r][1:]
    assert len(rows) == len(pair.quantities) * NET.depth
    assert f"{pair.verdict.comparisons} comparisons" in text
    assert "at most 0.01" in text
    first = pair.table[(pair.table["quantity"] == "V") & (pair.table["layer"] == 2)].iloc[0]
    predicted, measured = compact(first["predicted"], first["measured"], first["standard_error"], first["sigmas"])
    assert any(f"0000 & ${predicted}$ & ${measured}$ & ${first['sigmas']:+.2f}$" in row for row in rows)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_table_compiles(pair, single, failed, tmp_path):
    for name, report in (("pair", pair), ("single", single), ("failed", failed)):
        report.to_latex(tmp_path / f"{name}.tex")
    body = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{pair}\input{single}\input{failed}\end{document}"
    (tmp_path / "paper.tex").write_text(body)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False).returncode == 0


# Files and texts


def test_netcdf_round_trip(pair, tmp_path):
    path = pair.to_netcdf(tmp_path / "new" / "report.nc")
    with xr.open_dataset(path, engine="h5netcdf") as data:
        xr.testing.assert_identical(data.load().drop_attrs(), pair.data.drop_attrs())
        assert set(data.attrs) == set(pair.data.attrs)
        for name, value in pair.data.attrs.items():
            np.testing.assert_array_equal(data.attrs[name], value)


def test_writers_return_the_path(single, tmp_path):
    for write in (single.to_html, single.to_netcdf):
        path = write(str(tmp_path / "a" / write.__name__))
        assert isinstance(path, Path)
        assert path.exists()


def test_str_and_notebook_put_the_verdict_first(pair, failed):
    assert str(pair).startswith(str(pair.verdict))
    assert failed._repr_html_().index("FAILED") < failed._repr_html_().index("<table")
    assert [*failed.ranked["verdict"].head(3)] == ["FAILED", "FAILED", "passed"]
    assert Reader(pair._repr_html_()).tags.count("tr") == 1 + 20


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (MLP(["tanh", "relu"], depth=3, C_W=1, C_b=0, lambda_W=1, lambda_b=0), "with closed forms for relu"),
        (MLP("relu", depth=3, C_W=1, C_b=0, lambda_W=1, lambda_b=0, residual={(1, 3): 0.5}), "0.5 from layer 1 to 3"),
    ],
    ids=["an activation for each layer", "a skip over a layer"],
)
def test_pages_of_other_architectures(net, text, tmp_path):
    report = validate(net, np.ones((1, 3)), widths=(8, 16), networks=64, quantities=("K", "Theta", "V"))
    page = report.to_html(tmp_path / "report.html").read_text()
    assert text in page
    assert "sigma, depth" not in page
