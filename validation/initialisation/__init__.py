"""Networks at initialisation: estimators, simulation, validation, page."""
