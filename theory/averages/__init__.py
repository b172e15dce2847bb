"""Gaussian averages: operators, rules, closed forms, and derivatives at kinks."""
