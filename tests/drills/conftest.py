"""Fixtures of the drills: a real Kafka, a real PostgreSQL, and a detector trained for them."""

from __future__ import annotations

import pytest

from tests.drills.rig import Rig
from tests.kafka_broker import broker

__all__ = ["broker"]


@pytest.fixture
def rig(broker, postgres_engine, postgres_url, tmp_path, pendigits):
    """Everything a drill needs, on topics and in a group of its own."""
    running = Rig(broker, postgres_url, tmp_path, pendigits.folder)
    yield running
    running.close()
