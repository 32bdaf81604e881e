"""Readiness signals: how ready a stream is to be decided, one number a step."""
