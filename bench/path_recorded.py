"""The bundled detectors and their recorded streams, as `bench.path` sends them through the engine.

The test streams are repeated under new names until there are enough records, and interleaved over
the partitions: as many are under way at a time as in the made-up workload.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench.path_workload import PARTITIONS
from cli import demos
from cli.settings import Settings
from detectors import datasets
from detectors.registry import Registry
from streams.codec import encode
from streams.records import RawRecord
from streams.replay import events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from detectors.detector import Detector
    from streams.records import Event

RECORDED = {"scam": "shop-talk", "sepsis": "sepsis-small", "pendigits": "pendigits-parts"}
"""Data set by detector."""
CONCURRENT = 10_000


def train(registry: Path) -> None:
    """Train the bundled detectors into a folder, unless they are there."""
    demos.ensure(Settings(registry=registry))


def detector(registry: Path, name: str) -> Detector:
    """Return the bundled detector of that name."""
    return Registry(registry).load(name)


def raw_records(name: str, n_records: int) -> dict[int, list[RawRecord]]:
    """Return at least so many records as a topic would hold them, by partition.

    Whole streams only: the last one is played to its end.
    """
    found: dict[int, list[RawRecord]] = {partition: [] for partition in range(PARTITIONS)}
    partitions: dict[str, int] = {}
    for event in _played(name, n_records):
        partition = partitions.setdefault(event.stream_id, len(partitions) % PARTITIONS)
        rows = found[partition]
        rows.append(RawRecord(partition, len(rows), encode(event)))
    return found


def _played(name: str, n_records: int) -> Iterator[Event]:
    streams = datasets.load(RECORDED[name]).parts["test"]
    rounds = -(-n_records // len(streams.inputs))
    for nth in range(rounds):
        named = replace(streams, name=f"{streams.name}#{nth}")
        yield from events(named, name, seed=nth, concurrent=CONCURRENT)
