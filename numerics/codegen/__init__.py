"""Code generated from derived equations, and its targets."""
