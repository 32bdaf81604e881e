"""How the API and the drivers reach the engine's surroundings: protocols only."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.records import RawRecord


class Position(NamedTuple):
    """Where a record was durably appended."""

    partition: int
    offset: int


class IngestError(Exception):
    """Records could not be appended now; none of their data is lost if the caller retries."""


class Ingest(Protocol):
    """Durable append of records: the embedded log, or a Kafka producer with ``acks=all``."""

    def append(self, records: Sequence[tuple[str, bytes]]) -> Sequence[Position | IngestError]:
        """Append (stream_id, value) pairs; return per item its position once it is durable.

        Blocks until every item is durable or has failed. Thread-safe.
        """
        ...

    def ready(self) -> str | None:
        """None if appends can be expected to work; else what is wrong, for an operator."""
        ...


class Fetcher(Protocol):
    """Direct reading of a topic by position, outside any consumer group."""

    def end(self, partition: int) -> int:
        """Return the offset that the next record appended to `partition` will get."""
        ...

    def fetch(self, partition: int, start: int, stop: int, limit: int) -> Sequence[RawRecord]:
        """Return up to `limit` records with start <= offset < stop, in offset order.

        Offsets that do not exist (transaction markers, compaction) are left out. An empty answer
        means that no record in [start, stop) exists; one that could not be read raises.
        """
        ...
