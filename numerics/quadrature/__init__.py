"""Quadrature over correlated Gaussian variables, with errors."""
