"""Literal finite networks, unbiased estimators with error bars, verdicts, strategies, reports."""
