"""Which times recorded streams bear when they are played, and the ticks that go with them."""

from __future__ import annotations

import time
import tomllib
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.settings import Settings
    from detectors.scoring import StreamSet
    from streams.produce import Keyed, TopicProducer
    from streams.records import Event


class Stamps(StrEnum):
    """What is done with the times of a recorded set."""

    RECORDED = "recorded"
    MOVED = "moved"


def played(
    streams: StreamSet, name: str, stamps: Stamps, *, settle_s: float, seed: int, concurrent: int
) -> Iterator[Event | datetime]:
    """Return the records in the order in which to send them, ticks (a time) among them.

    With recorded times in their order. Moved, or where the set has none, interleaved at random
    and without ticks: each stream begins now.
    """
    from streams.demo import begun_at
    from streams.replay import events, has_times, recorded

    if stamps is Stamps.RECORDED and has_times(streams):
        return recorded(streams, name, settle_s=settle_s)
    if has_times(streams):
        streams = begun_at(streams, time.time())
    return iter(events(streams, name, seed=seed, concurrent=concurrent))


def settle_s(settings: Settings, reference: str) -> float:
    """Return how long a detector holds records back: so much later the last tick is."""
    from detectors.registry import Registry

    folder = Registry(settings.resolved_registry()).resolve(reference)
    try:
        table = tomllib.loads((folder / "detector.toml").read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return 0.0  # whoever needs the name says what is wrong with the folder
    return float(table.get("time", {}).get("reorder_s", 0.0))


class TickedTopic:
    """Sends records through a producer, and ticks to every partition, in one order."""

    def __init__(self, servers: str, producer: TopicProducer, topic: str) -> None:
        from streams.drivers.kafka_ticks import KafkaTicks
        from streams.topics import find

        self._producer = producer
        self._ticks = KafkaTicks(servers, topic, find(servers, topic).n_partitions)

    def send(self, item: Keyed | datetime) -> None:
        """Send a record, or a tick once all records before it are durable."""
        from streams.codec import encode_tick

        if isinstance(item, datetime):
            self._producer.finish()
            self._ticks.append(encode_tick(item))
        else:
            self._producer.send(item)
