"""Answers of models outside, put under our rules."""
