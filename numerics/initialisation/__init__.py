"""Numbers for networks at initialisation: the recursions iterated."""
