"""Drivers: poll, hand over to the worker, acknowledge."""
