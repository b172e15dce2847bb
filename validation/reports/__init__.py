"""Figures, pages and formulas of reports."""
