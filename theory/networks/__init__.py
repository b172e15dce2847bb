"""The subject at initialisation: architecture, activations, weight ensembles, parametrizations."""
