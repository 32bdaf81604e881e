"""Classifiers of text: what people write, one post after another."""
