"""Networks in training: simulation, validation, page."""
