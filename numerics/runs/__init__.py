"""Runs of any system: inputs, results, progress, stores, workers."""
