"""How the rows of a report are written, in text, notebooks and pages alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

#: Columns with a format of their own; places are written as they are.
FORMATS: Mapping[str, str] = {
    "predicted": ".6g", "measured": ".6g", "standard_error": ".2g", "sigmas": "+.2f", "line": ".2f", "p_value": ".2g",
}  # fmt: skip


def written(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as text; whether a row is within its line is part of its verdict."""
    shown = [name for name in rows.columns if name != "passed"]
    return pd.DataFrame({name: [_cell(name)(value) for value in rows[name]] for name in shown})


def _cell(name: str) -> Callable[[Any], str]:
    kind = FORMATS.get(name)
    if kind is not None:
        return lambda value: format(value, kind)
    return lambda value: "" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)
