"""Fixtures of the drills: a real Kafka, a real PostgreSQL, and a detector trained for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills.rig import Rig
from tests.kafka_broker import broker
from tests.pendigits import DATA, Trained, expected_rows, tocsin

__all__ = ["broker"]


@pytest.fixture(scope="session")
def pen(tmp_path_factory):
    """A detector whose halts are spread over the steps, and what it decides."""
    folder = tmp_path_factory.mktemp("pen") / "pen"
    config = Path(__file__).with_name("pen.toml")
    tocsin("train", DATA, "--config", config, "--out", folder, "--json")
    expected = expected_rows(folder, folder.parent / "expected.jsonl")
    assert len({row["halt_step"] for row in expected.values()}) > 2
    return Trained(folder, expected)


@pytest.fixture
def rig(broker, postgres_engine, postgres_url, tmp_path, pen):
    """Everything a drill needs, on topics and in a group of its own."""
    running = Rig(broker, postgres_url, tmp_path, pen.folder)
    yield running
    running.close()
