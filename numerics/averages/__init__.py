"""Numbers for Gaussian averages: in double precision, in bulk, and to any number of digits."""
