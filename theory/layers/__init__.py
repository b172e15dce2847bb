"""Layers: the map from one layer to the next, one file a term."""
