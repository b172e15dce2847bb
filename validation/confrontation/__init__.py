"""The confrontation of theory and measurement: extrapolation, verdict, report."""
