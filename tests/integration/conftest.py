"""Fixtures of the tests on real services."""

from __future__ import annotations

from tests.kafka_broker import broker

__all__ = ["broker"]
