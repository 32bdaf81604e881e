"""Classifiers of vital signs: named measurements with gaps, at unequal times."""
