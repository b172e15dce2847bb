"""Numbers for networks in training: the equations solved through time."""
