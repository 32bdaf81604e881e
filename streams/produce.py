"""Records onto a topic, through kafka-python's producer: JSONL lines, or replayed streams.

Every record is keyed by its stream, so that a stream's records stay in one partition and keep
their order; acknowledged by all replicas; and sent once even where a request is repeated.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from streams import topics
from streams.codec import decode, encode
from streams.errors import BrokerError
from streams.records import Event, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

Item = TypeVar("Item")

IN_FLIGHT = 5_000
"""Records that may wait for their acknowledgement; more would only fill memory."""
MAX_REQUEST_BYTES = 16_777_216
"""So that a record too large for us can be sent knowingly; the broker has its own limit."""


class Keyed(NamedTuple):
    """A record with the key that places it; no key: any partition."""

    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no record; its content is never repeated."""

    number: int
    """Counts from 1."""
    rejected: Rejected


def from_lines(
    lines: Iterable[bytes], *, detector: str | None = None, raw: bool = False
) -> Iterator[Keyed | BadLine]:
    """Turn JSONL lines into records, or into what is wrong with them; skips blank lines.

    Parameters
    ----------
    lines
        Lines of a file, with or without their line ends.
    detector
        Written into the records that name none.
    raw
        Send every line as it is, whatever it holds: to see what becomes of bad records.

    Examples
    --------
    >>> good, bad = from_lines([b'{"stream_id": "a", "end": true}', b"nonsense"])
    >>> good.key
    b'a'
    >>> bad.number, bad.rejected.reason
    (2, <Reason.MALFORMED: 'malformed_json'>)
    """
    for number, line in enumerate(lines, start=1):
        value = line.rstrip(b"\r\n")
        if not value.strip():
            continue
        event = decode(value)
        if raw:
            yield Keyed(event.stream_id.encode() if isinstance(event, Event) else None, value)
        elif isinstance(event, Rejected):
            yield BadLine(number, event)
        elif detector is not None and event.detector is None:
            yield from_event(msgspec.structs.replace(event, detector=detector))
        else:
            yield Keyed(event.stream_id.encode(), value)


def from_event(event: Event) -> Keyed:
    """Return the record of an event.

    >>> from_event(Event("a", end=True)).key
    b'a'
    """
    return Keyed(event.stream_id.encode(), encode(event))


def paced(
    items: Iterable[Item],
    rate: float | None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Item]:
    """Yield `items` at most `rate` a second (None: as they come).

    The pace is kept over the whole run, so that one late item does not slow those after it.
    """
    began = clock()
    for sent, item in enumerate(items):
        if rate is not None and (early := began + sent / rate - clock()) > 0:
            sleep(early)
        yield item


class TopicProducer:
    """Sends records to one topic; as a context manager it waits for the last acknowledgement.

    Raises
    ------
    BrokerError
        No broker answers, or one did not take a record.
    TopicError
        There is no such topic.
    """

    def __init__(self, servers: str, topic: str) -> None:
        topics.find(servers, topic)  # says it in words; the producer would time out
        self.acknowledged = 0
        """Records that are durable."""
        self._servers = servers
        self._topic = topic
        self._failure: BaseException | None = None
        self._slots = threading.BoundedSemaphore(IN_FLIGHT)
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=servers.split(","),
                bootstrap_timeout_ms=int(topics.ANSWER_S * 1000),
                max_block_ms=int(topics.ANSWER_S * 1000),
                delivery_timeout_ms=60_000,
                request_timeout_ms=20_000,
                client_id="tocsin-produce",
                acks="all",
                enable_idempotence=True,
                allow_auto_create_topics=False,
                linger_ms=10,
                batch_size=131_072,
                max_request_size=MAX_REQUEST_BYTES,
            )
        except (KafkaError, OSError) as error:
            raise topics.no_answer(servers, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()

    def send(self, record: Keyed) -> None:
        """Hand over one record; waits while too many are not acknowledged."""
        self._slots.acquire()
        self._check()
        try:
            future = self._producer.send(self._topic, key=record.key, value=record.value)
        except (KafkaTimeoutError, MessageSizeTooLargeError, KafkaError) as error:
            self._slots.release()
            raise self._refused(error) from error
        future.add_callback(self._delivered)
        future.add_errback(self._failed)

    def finish(self) -> None:
        """Wait until every record is acknowledged."""
        try:
            self._producer.flush(timeout=90)
        except KafkaError as error:
            raise self._refused(error) from error
        self._check()

    def close(self) -> None:
        """Give up what is not acknowledged, and the connection."""
        self._producer.close(timeout=5)

    def _delivered(self, _: object) -> None:
        self.acknowledged += 1
        self._slots.release()

    def _failed(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._slots.release()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._refused(self._failure)

    def _refused(self, error: BaseException) -> BrokerError:
        return BrokerError(
            f"Kafka at {self._servers} did not take a record for {self._topic} "
            f"({type(error).__name__}); {self.acknowledged} are durable. Check the broker, then "
            "send the rest again: a record whose event_id was seen counts once."
        )


def send_all(servers: str, topic: str, records: Iterable[Keyed]) -> int:
    """Send `records`; return how many, once all are durable."""
    with TopicProducer(servers, topic) as producer:
        for record in records:
            producer.send(record)
        producer.finish()
        return producer.acknowledged
