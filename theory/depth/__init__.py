"""Large depth: criticality, exponents, amplitudes, and learning rates that scale with depth."""
