"""How a report is made again: the call of ``validate`` with everything that it depends on, as Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .report import Report

#: So many numbers are written out; more are read from the report's file.
FEW = 64


def arguments(**given: Any) -> str:
    """Arguments as they are typed; those that are None are left out."""
    return ", ".join(f"{name}={_typed(value)!r}" for name, value in given.items() if value is not None)


def _typed(value: Any) -> Any:
    """A value without types of NumPy; equal entries of a sequence as one."""
    if isinstance(value, np.ndarray | np.generic):
        return _typed(value.tolist())
    if isinstance(value, list | tuple):
        return type(value)(_typed(v) for v in value)
    return value


def alike(values: Any) -> Any:
    """One value where all are equal, a tuple of them otherwise."""
    found = tuple(_typed(list(values)))
    return found[0] if len(set(found)) == 1 else found


def again(report: Report) -> str:
    """Python that makes the report again, with the data if they are few, else from ``report.to_netcdf``."""
    attrs = report.data.attrs
    made = f"  # {attrs['version']}" if "version" in attrs else ""
    lines = [f"import widthwise as ww{made}", *_imports(report.subject)]
    names, more = list[str](), list[str]()
    data = _data(report)
    if data and sum(value.size for _, value, _ in data) > FEW:
        lines.append("import xarray as xr")
        lines += ["", 'data = xr.load_dataset("report.nc")  # report.to_netcdf("report.nc")']
        lines += [f"{name} = data.{place}.values" for name, _, place in data]
    else:
        lines += ["", *(f"{name} = {value.tolist()!r}" for name, value, _ in data)]
    for name, *_ in data:
        (more if name == "X_test" else names).append(name if name != "X_test" else "X_test=X_test")
    if report.equations is not None:
        more.append("equations=equations")
        lines.append("equations = ...  # those that were given in the place of the derived ones, printed below")
    subject = getattr(report.subject, "written", None) or repr(report.subject)
    given = [*names, *more, *([attrs["arguments"]] if "arguments" in attrs else [])]
    return "\n".join([*lines, f"subject = {subject}", f"report = ww.validate(subject, {', '.join(given)})"])


def _imports(subject: Any) -> list[str]:
    """The imports of what the text of a subject names."""
    text = repr(subject)
    names = [name for name in ("MLP", "Training") if f"{name}(" in text]
    return [f"from widthwise import {', '.join(names)}"] if names else []


def _data(report: Report) -> list[tuple[str, Any, str]]:
    """Name, value and place in the report's data of inputs, labels and further inputs."""
    if "X" not in report.data:
        return []
    X = report.X
    if "y" not in report.data:
        return [("X", X, "X")]
    y = report.data["y"].values
    count = int((~np.isnan(y).all(axis=1)).sum())
    found = [("X", X[:count], f"X[:{count}]"), ("y", y[:count], f"y[:{count}]")]
    return found + ([("X_test", X[count:], f"X[{count}:]")] if count < len(X) else [])
