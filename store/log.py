"""The embedded driver's record log: append-only, durable, partitioned by stream, on SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4
from zlib import crc32

from sqlalchemy import delete, insert, select, update

from store.errors import LogPartitionsError
from store.instants import utc_now
from store.session import direct, store_errors
from store.tables import LogPartitionRow, LogRecordRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection, Engine

    from store.session import Transact


FETCH_BYTES = 32 * 1024 * 1024
"""A fetch ends once it has so much: a backlog of large records must fit into memory."""


class LogPosition(NamedTuple):
    """Where a record stands."""

    partition: int
    offset: int


class LogRecord(NamedTuple):
    """A record as it was appended."""

    partition: int
    offset: int
    value: bytes


def partition_of(stream_id: str, n_partitions: int) -> int:
    """Return the partition of a stream; the same in every process and version.

    >>> partition_of("pen-17", 4), partition_of("pen-17", 4)
    (1, 1)
    """
    return crc32(stream_id.encode()) % n_partitions


class RecordLog:
    """An append-only log in the store; thread-safe.

    Parameters
    ----------
    engine
        An SQLite store.
    n_partitions
        Fixed when the log is made; LogPartitionsError if it is another now.
    transact
        How transactions are run; `store.writer.Writer.transact` where one thread owns all writes.

    Attributes
    ----------
    log_id : str
        Names this life of the log, as a topic id names a topic's.
    """

    def __init__(
        self, engine: Engine, n_partitions: int, *, transact: Transact | None = None
    ) -> None:
        self.n_partitions = n_partitions
        self._engine = engine
        self._transact = transact or direct(engine)
        self.log_id = self._transact(self._make)

    def append(self, records: Sequence[tuple[str, bytes]]) -> list[LogPosition]:
        """Append (stream_id, value) pairs, all or none; they are on disk when this returns."""
        placed = [(partition_of(key, self.n_partitions), key, value) for key, value in records]
        return self._transact(lambda connection: self._append(connection, placed))

    def append_everywhere(self, value: bytes) -> list[LogPosition]:
        """Append a record without a stream to every partition, all or none."""
        placed = [(partition, "", value) for partition in range(self.n_partitions)]
        return self._transact(lambda connection: self._append(connection, placed))

    def end(self, partition: int) -> int:
        """Return the offset that the next record of `partition` will get."""
        with store_errors(self._engine), self._engine.connect() as connection:
            return self._ends(connection)[partition]

    def fetch(self, partition: int, start: int, stop: int, limit: int) -> list[LogRecord]:
        """Return up to `limit` records with start <= offset < stop, in offset order.

        Fewer once they hold more than `FETCH_BYTES`, but at least one.
        """
        table = LogRecordRow
        query = (
            select(table.record_offset, table.value)
            .where(table.partition == partition)
            .where(table.record_offset >= start, table.record_offset < stop)
            .order_by(table.record_offset)
            .limit(limit)
        )
        found, n_bytes = [], 0
        with store_errors(self._engine), self._engine.connect() as connection:
            for offset, value in connection.execute(query):
                found.append(LogRecord(partition, offset, value))
                n_bytes += len(value)
                if n_bytes > FETCH_BYTES:
                    break
        return found

    def prune(self, partition: int, before: int) -> int:
        """Delete the records of `partition` with offset < before; return how many there were."""
        table = LogRecordRow
        doomed = delete(table).where(table.partition == partition, table.record_offset < before)
        return self._transact(lambda connection: connection.execute(doomed).rowcount)

    def _make(self, connection: Connection) -> str:
        table = LogPartitionRow
        ids = connection.execute(select(table.log_id)).scalars().all()
        if not ids:
            ids = [uuid4().hex] * self.n_partitions
            rows = [
                {"partition": i, "log_id": log_id, "next_offset": 0}
                for i, log_id in enumerate(ids)
            ]
            connection.execute(insert(table), rows)
        if len(ids) != self.n_partitions:
            raise LogPartitionsError(len(ids), self.n_partitions)
        return ids[0]

    def _append(
        self, connection: Connection, records: Sequence[tuple[int, str, bytes]]
    ) -> list[LogPosition]:
        ends = self._ends(connection)
        positions, rows = [], []
        for partition, key, value in records:
            position = LogPosition(partition, ends[partition])
            ends[partition] += 1
            positions.append(position)
            rows.append(
                {
                    "partition": position.partition,
                    "record_offset": position.offset,
                    "key": key,
                    "value": value,
                }
            )
        if rows:
            connection.execute(insert(LogRecordRow).values(appended_at=utc_now()), rows)
            for partition in sorted({position.partition for position in positions}):
                moved = update(LogPartitionRow).where(LogPartitionRow.partition == partition)
                connection.execute(moved.values(next_offset=ends[partition]))
        return positions

    def _ends(self, connection: Connection) -> dict[int, int]:
        table = LogPartitionRow
        rows = connection.execute(select(table.partition, table.next_offset)).all()
        return {row.partition: row.next_offset for row in rows}
