"""Literal finite systems: drawn, multiplied, differentiated, trained."""
