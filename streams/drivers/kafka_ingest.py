"""Durable append to Kafka for the API (confluent-kafka, ``acks=all``, idempotent)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.drivers.kafka_client import in_words, producer_settings
from streams.ports import IngestError, Position

if TYPE_CHECKING:
    from collections.abc import Sequence

DELIVERY_S = 10.0
"""A record that the broker did not acknowledge within this time has failed."""
READY_S = 2.0


class KafkaIngest:
    """`streams.ports.Ingest` on Kafka; thread-safe.

    A record that failed may still have reached the topic (the acknowledgement was lost): a
    caller sends it again under the same `event_id`, which the engine counts once.

    Parameters
    ----------
    servers
        Bootstrap servers, ``host:port,host:port``.
    topic
        Topic to append to; it must exist.
    delivery_s
        Seconds after which a record that was not acknowledged has failed.
    """

    def __init__(self, servers: str, topic: str, *, delivery_s: float = DELIVERY_S) -> None:
        self.topic = topic
        self._servers = servers
        self._delivery_s = delivery_s
        self._renewing = threading.Lock()
        self._producer = self._new_producer()
        self._closed = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="ingest-poll", daemon=True)
        self._poller.start()

    def append(self, records: Sequence[tuple[str, bytes]]) -> Sequence[Position | IngestError]:
        """Append (stream_id, value) pairs; return per item its position once it is durable."""
        producer = self._producer
        parcel = _Parcel(len(records), self._servers, self.topic)
        for at, (stream_id, value) in enumerate(records):
            try:
                producer.produce(
                    self.topic, value, key=stream_id.encode(), on_delivery=parcel.receipt(at)
                )
            except BufferError:
                parcel.settle(at, IngestError("the producer's queue is full; try again later"))
            except KafkaException as error:
                parcel.settle(at, parcel.failure(error.args[0]))
        # librdkafka settles every record within its delivery time-out; the extra seconds are for
        # its callbacks.
        outcomes = parcel.wait(self._delivery_s + 5.0)
        if parcel.fatal:
            self._renew(producer)
        return outcomes

    def ready(self) -> str | None:
        """None if appends can be expected to work; else what is wrong."""
        try:
            found = self._producer.list_topics(self.topic, timeout=READY_S).topics[self.topic]
        except KafkaException as error:
            return str(in_words(error.args[0], self._servers, self.topic))
        if found.error is not None:
            return str(in_words(found.error, self._servers, self.topic))
        return None

    def close(self) -> None:
        """Wait for what is under way, then stop; appends are not possible afterwards."""
        self._producer.flush(self._delivery_s)
        self._closed.set()
        self._poller.join()

    def _poll(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(0.1)

    def _new_producer(self) -> Producer:
        return Producer(
            producer_settings(self._servers, "ingest", delivery_s=self._delivery_s)
            | {"linger.ms": 2, "request.timeout.ms": int(self._delivery_s * 500)}
        )

    def _renew(self, dead: Producer) -> None:
        """Put a new producer in the place of one that gave up its sequence numbers."""
        with self._renewing:
            if self._producer is dead:
                self._producer = self._new_producer()


class _Parcel:
    """The records of one `append`, until each has an answer."""

    def __init__(self, n: int, servers: str, topic: str) -> None:
        self.fatal = False
        self._servers = servers
        self._topic = topic
        self._outcomes: list[Position | IngestError | None] = [None] * n
        self._open = n
        self._lock = threading.Lock()
        self._done = threading.Event()
        if n == 0:
            self._done.set()

    def receipt(self, at: int) -> _Receipt:
        """Return the delivery callback of item `at`."""
        return _Receipt(self, at)

    def failure(self, error: KafkaError) -> IngestError:
        """Return the outcome for what librdkafka says."""
        self.fatal = self.fatal or error.fatal()
        return IngestError(str(in_words(error, self._servers, self._topic)))

    def settle(self, at: int, outcome: Position | IngestError) -> None:
        """Answer item `at`."""
        with self._lock:
            self._outcomes[at] = outcome
            self._open -= 1
            if self._open == 0:
                self._done.set()

    def wait(self, seconds: float) -> list[Position | IngestError]:
        """Return the outcomes once all are there, or `seconds` have passed."""
        self._done.wait(seconds)
        late = IngestError("not acknowledged in time; send it again under the same event_id")
        return [late if outcome is None else outcome for outcome in self._outcomes]


class _Receipt:
    """Settles one item when librdkafka reports on it."""

    __slots__ = ("_at", "_parcel")

    def __init__(self, parcel: _Parcel, at: int) -> None:
        self._parcel = parcel
        self._at = at

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._parcel.settle(self._at, self._parcel.failure(error))
        else:
            position = Position(message.partition() or 0, message.offset() or 0)
            self._parcel.settle(self._at, position)
