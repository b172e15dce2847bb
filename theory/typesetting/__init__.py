"""Formulas as they are set: LaTeX read into boxes of known width, broken into lines, and put into environments."""
