"""A system of a package of one's own: the average of a function over random features. A module for each floor, and one row."""
