"""Templates of generated code."""
