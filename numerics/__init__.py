"""From formula to number: generated NumPy, Gaussian averages by quadrature, forward recursions."""
