"""Costs before a run, and progress during it: on a terminal, in a notebook, and in lines elsewhere."""

from __future__ import annotations

import logging
import re
import sys
from types import SimpleNamespace

import pytest

from widthwise.numerics.runs import costs, progress
from widthwise.numerics.runs.costs import Cost, check_hours, duration, size
from widthwise.numerics.runs.progress import LogLines, NotebookBar, Progress, TerminalBar, surface
from widthwise.theory.language.errors import InvalidArgument, TooCostly

pytestmark = pytest.mark.quick
LONG = Cost(3 * 3600.0, 2.0**31)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.3, "0.3 s"), (89, "89 s"), (240, "4 min"), (5e4, "14 h"), (2.6e5, "3 days")]
)
def test_times_are_said_in_a_unit_that_fits(seconds, text):
    assert duration(seconds) == text


def test_what_does_not_fit_is_refused_with_its_numbers(monkeypatch):
    assert str(LONG) == "about 3 h, 2 GiB"
    assert size(2.0**20) == "1 MiB"
    monkeypatch.setattr(costs, "available", lambda: 2.0**30)
    with pytest.raises(TooCostly, match=r"predict takes 2 GiB of memory, and 1 GiB are free; allowed: fewer inputs"):
        LONG.check("predict", hours=10, allowed="fewer inputs")
    monkeypatch.setattr(costs, "available", lambda: 2.0**40)
    with pytest.raises(TooCostly, match=r"takes about 3 h on one core, .*hours=1\); allowed: fewer, or hours=3\.6"):
        LONG.check("predict", hours=1, allowed="fewer")
    assert LONG.check("predict", hours=4, allowed="fewer") is LONG
    for wrong in (0, -1, "2", True):
        with pytest.raises(InvalidArgument, match="hours="):
            check_hours(wrong)


def test_memory_of_this_machine_is_known():
    assert 2.0**20 < costs.available() < 2.0**50


def test_terminals_notebooks_and_files_have_their_own_progress(monkeypatch):
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    assert type(surface()) is TerminalBar
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: False))
    assert type(surface()) is LogLines
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)))
    assert type(surface()) is NotebookBar
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace()))
    assert type(surface()) is LogLines  # IPython on a terminal that is redirected


def test_a_notebook_shows_one_output_that_is_replaced(monkeypatch):
    shown = []
    handle = SimpleNamespace(update=lambda data, raw: shown.append(data))
    display = SimpleNamespace(display=lambda data, raw, display_id: shown.append(data) or handle)
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1), display=display)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: False))
    with Progress("predict", 4, None, cost=LONG) as bar:
        bar.advance(3)
    assert [re.search(r'value="(\d)"', s["text/html"])[1] for s in shown] == ["0", "3"]
    assert shown[0]["text/plain"].startswith("predict, about 3 h, 2 GiB: 0/4 steps")


def test_lines_go_to_the_logger_if_there_is_one_else_to_stderr(monkeypatch, caplog, capsys):
    """pytest sets up logging; without it a line is written."""
    caplog.set_level(logging.INFO, "widthwise")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    with Progress("work", 2, None, cost=LONG) as bar:
        bar.advance(2)
    assert [r.name for r in caplog.records] == ["widthwise"] * 2
    assert "work, about 3 h, 2 GiB: 0/2" in caplog.messages[0]
    caplog.set_level(logging.WARNING, "widthwise")  # a level of its own is obeyed
    with Progress("work", 2, None, cost=LONG) as bar:
        bar.advance(2)
    assert len(caplog.records) == 2
    assert not capsys.readouterr().err
    progress.LOGGER.setLevel(logging.NOTSET)
    with Progress("work", 2, True) as bar:
        bar.advance(2)
    assert "work: 2/2 steps" in capsys.readouterr().err


def test_progress_false_is_silent_however_long(capsys, caplog):
    caplog.set_level(logging.INFO, "widthwise")
    with Progress("work", 2, False, cost=LONG) as bar:
        bar.advance()
    assert not caplog.records
    assert not capsys.readouterr().err
