"""Classifiers of frames: vectors of numbers that arrive one after another."""
