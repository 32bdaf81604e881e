"""Incremental classifiers: one step in, probabilities out, batched over streams."""
