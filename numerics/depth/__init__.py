"""Numbers at large depth: critical points, exponents, phase diagrams."""
