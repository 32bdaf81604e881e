"""Direct reading of a Kafka topic by position, outside any consumer group (confluent-kafka).

What Faust does not deliver, and any backlog, comes through here. A reader is one confluent
consumer with one partition assigned; it reads ahead, so that the next fetch of its partition
finds its records waiting. Readers are few and are put to rest once nobody asks for more, because
a consumer that is left assigned goes on fetching everything that is appended.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Self

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from streams.drivers.kafka_client import (
    AT_END,
    NOT_THERE,
    OUT_OF_RANGE,
    in_words,
    settings,
    silent,
)
from streams.errors import BrokerError, RecordsLostError, TopicError
from streams.records import RawRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from confluent_kafka import KafkaError

    from streams.errors import StreamError

MAX_READERS = 8
"""Partitions that are read ahead at the same time, each up to `READ_AHEAD_KIB`."""
READ_AHEAD_KIB = 8192
FETCH_BYTES = 33_554_432
"""A fetch ends with the record that brings it to so many bytes of values."""
SKIP_AHEAD = 5_000
"""A reader so few records before the wanted offset reads on instead of seeking."""
RESTING_ROUNDS = 6
"""A reader rests after so many `end` calls for its partition without a fetch."""
WAIT_S = 0.25
PATIENCE = 40
"""Waits without any answer (of `WAIT_S`) before a fetch gives up."""
ANSWER_S = 8.0
"""How long the broker may take for the end of a partition."""


class KafkaFetcher:
    """`streams.ports.Fetcher` on Kafka; for one thread at a time.

    Only committed records are read: those of an aborted transaction do not exist.

    Parameters
    ----------
    servers
        Bootstrap servers, ``host:port,host:port``.
    topic
        Name of the topic; it must exist.
    """

    def __init__(self, servers: str, topic: str) -> None:
        self.topic = topic
        self._servers = servers
        self._readers: list[_Reader] = []
        self._asker = self._consumer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the fetcher cannot be used afterwards."""
        for reader in self._readers:
            reader.consumer.close()
        self._readers.clear()
        self._asker.close()

    def end(self, partition: int) -> int:
        """Return the offset that the next committed record of `partition` will get.

        Raises
        ------
        BrokerError
            The broker does not answer, or knows no such topic or partition now.
        """
        for reader in self._readers:
            reader.grow_tired_of(partition)
        return self._range(partition)[1]

    def fetch(self, partition: int, start: int, stop: int, limit: int) -> Sequence[RawRecord]:
        """Return up to `limit` records with start <= offset < stop, in offset order.

        Fewer if they are large: about `FETCH_BYTES`, but one record at least.

        Offsets without a record (markers of transactions, aborted records, compaction) are left
        out. That the rest of the range is empty is believed only on a later record, or on the
        end of the partition at or past `stop`: a time-out is not a hole.

        Raises
        ------
        RecordsLostError
            Retention deleted records from `start` on before they were read. A `start` of 0 means
            "whatever there is" and reads from the first record there is.
        BrokerError
            The broker does not answer, or the range lies past the end of the partition.
        TopicError
            `start` lies past the end: the topic was cut, or made anew with fewer records.
        """
        if start >= stop or limit < 1:
            return []
        reader = self._reader(partition, start)
        try:
            return reader.read(start, stop, limit)
        except _OutOfRange:
            reader.rest()
            first = self._first(partition, start)
            if first >= stop:
                return []
            return self._reader(partition, first).read(first, stop, limit)
        except Exception:
            reader.rest()  # what was read ahead may be lost with the error: start afresh
            raise

    def _first(self, partition: int, start: int) -> int:
        first, end = self._range(partition)
        if start < first and start > 0:
            raise RecordsLostError(self.topic, partition, start, first)
        if start > end:
            message = (
                f"{self.topic}/{partition} ends at {end}, but the next record to read is {start}: "
                "the topic was cut or made anew. Either bring the old topic back, or stop all "
                "workers of this group and start them under a new group name (TOCSIN_GROUP)."
            )
            raise TopicError(message)
        return max(first, start)

    def _range(self, partition: int) -> tuple[int, int]:
        try:
            answer = self._asker.get_watermark_offsets(
                TopicPartition(self.topic, partition), timeout=ANSWER_S
            )
        except KafkaException as error:
            raise self._confirmed(error.args[0], partition) from error
        if answer is None:
            raise silent(self._servers, f"{self.topic}/{partition}")
        return answer

    def _confirmed(self, error: KafkaError, partition: int) -> StreamError:
        """Return the error to raise; that a topic is gone is believed of the broker only.

        It is no TopicError: a broker may have just begun, and `TopicWatch` knows when a topic is
        gone for good.
        """
        what = f"{self.topic}/{partition}"
        if error.code() not in NOT_THERE:
            return in_words(error, self._servers, what)
        try:
            found = self._asker.list_topics(self.topic, timeout=ANSWER_S).topics[self.topic]
        except KafkaException:
            return silent(self._servers, what)
        if found.error is None and partition in found.partitions:
            return silent(self._servers, what)
        return BrokerError(f"Kafka at {self._servers} knows no {what} at present.")

    def _reader(self, partition: int, start: int) -> _Reader:
        """Return a reader whose next record is the first at or after `start`."""
        for reader in self._readers:
            if reader.partition == partition:
                if not reader.can_reach(start):
                    reader.turn_to(partition, start)
                self._readers.remove(reader)
                break
        else:
            reader = self._spare()
            reader.turn_to(partition, start)
        self._readers.append(reader)  # most recently used last
        return reader

    def _spare(self) -> _Reader:
        resting = next((r for r in self._readers if r.partition is None), None)
        if resting is None and len(self._readers) < MAX_READERS:
            return _Reader(self._servers, self.topic, self._consumer())
        spare = resting or self._readers[0]
        self._readers.remove(spare)
        return spare

    def _consumer(self) -> Consumer:
        return Consumer(
            settings(self._servers, "fetch")
            | {
                "group.id": "tocsin-fetch",  # librdkafka wants one; it is never joined
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": READ_AHEAD_KIB,
            }
        )


class _OutOfRange(Exception):  # noqa: N818  (a turn of the reading, seen by nobody else)
    """The position does not exist (any more)."""


class _Haul:
    """Records fetched so far, until they are as many, or as large, as they may be."""

    def __init__(self, limit: int) -> None:
        self.rows: list[RawRecord] = []
        self._limit = limit
        self._n_bytes = 0

    @property
    def full(self) -> bool:
        return len(self.rows) >= self._limit or self._n_bytes >= FETCH_BYTES

    def add(self, raw: RawRecord) -> None:
        self.rows.append(raw)
        self._n_bytes += len(raw.value or b"")


class _Reader:
    """One consumer on one partition; knows which offset it will meet next."""

    def __init__(self, servers: str, topic: str, consumer: Consumer) -> None:
        self.consumer = consumer
        self.partition: int | None = None
        self._servers = servers
        self._topic = topic
        self._next = 0
        """No record below this one will come any more."""
        self._kept: deque[Message] = deque()
        """Records that came along with those asked for."""
        self._tired = 0

    def turn_to(self, partition: int, start: int) -> None:
        """Begin to read `partition` at `start`."""
        self.partition, self._next, self._tired = partition, start, 0
        self._kept.clear()
        self.consumer.assign([TopicPartition(self._topic, partition, start)])

    def rest(self) -> None:
        """Stop reading ahead; the connection stays."""
        self.partition, self._next, self._tired = None, 0, 0
        self._kept.clear()
        self.consumer.unassign()

    def grow_tired_of(self, partition: int) -> None:
        """Rest soon, unless somebody fetches from `partition` again."""
        if self.partition == partition:
            self._tired += 1
            if self._tired > RESTING_ROUNDS:
                self.rest()

    def can_reach(self, start: int) -> bool:
        """Whether reading on beats seeking."""
        return self._next <= start <= self._next + SKIP_AHEAD

    def read(self, start: int, stop: int, limit: int) -> list[RawRecord]:
        """Return up to `limit` records of [start, stop); empty only if none exists."""
        self._tired = 0
        found = _Haul(limit)
        waits = 0
        while self._next < stop and not found.full:
            messages = self._some(min(limit - len(found.rows), stop - self._next))
            waits = 0 if messages else waits + 1
            if waits >= PATIENCE:
                raise silent(self._servers, self._what())
            if waits and waits % 8 == 0 and self.partition is not None:
                # A fetch may have died with its connection: ask anew, which also makes the
                # broker tell the end of the partition once more.
                self.turn_to(self.partition, self._next)
            self._take(messages, start, stop, found)
        return found.rows

    def _take(self, messages: Sequence[Message], start: int, stop: int, found: _Haul) -> None:
        """Add the wanted ones of `messages` to `found`; keep those that come after them."""
        partition = self.partition or 0
        for at, message in enumerate(messages):
            error = message.error()
            offset = message.offset() or 0
            if error is not None:
                self._refuse(error)
            if offset >= stop or found.full:
                self._kept.extend(messages[at:])
                self._next = max(self._next, min(offset, stop))
                return
            if error is not None:  # the end of the partition, as it is now
                self._next = max(self._next, offset)
                continue
            self._next = offset + 1
            if offset >= start:
                found.add(RawRecord(partition, offset, message.value()))

    def _some(self, wanted: int) -> list[Message]:
        """Return what waits, or the next that comes within `WAIT_S`."""
        if self._kept:
            kept = list(self._kept)
            self._kept.clear()
            return kept
        # Asked for many with a time-out, `consume` waits it out when fewer are there.
        return self.consumer.consume(wanted, 0) or self.consumer.consume(1, WAIT_S)

    def _refuse(self, error: KafkaError) -> None:
        """Raise what librdkafka says, unless it is that the partition ends here."""
        if error.code() in OUT_OF_RANGE:
            raise _OutOfRange
        if error.code() in NOT_THERE:
            raise silent(self._servers, self._what())  # `end` finds out whether that is true
        if error.code() != AT_END:
            raise in_words(error, self._servers, self._what())

    def _what(self) -> str:
        return f"{self._topic}/{self.partition} from {self._next}"
