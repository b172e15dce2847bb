"""Gaussian averages: operators, rules, closed forms, and what kinks allow."""
