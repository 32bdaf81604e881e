"""Publishes decisions: from the outbox of the store to the decisions topic, at least once.

Message: key = stream_id, value = the decision as JSON, header ``decision_id``. A row of the
outbox goes only after the broker has acknowledged its message, so that a crash in between
publishes again; readers tell repetitions by the header. One process at a time publishes for a
group, by lease; that keeps repetitions rare, and nothing depends on it.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from store.errors import StoreUnavailableError
from streams.drivers.kafka_client import in_words, producer_settings
from streams.errors import StreamError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from store.outbox import PendingDecision

BATCH = 500
IDLE_S = 0.2
ENDING_S = 2.0
"""Of the time allowed for a stop, what is left to the batch under way and to the lease."""
OUTAGE_S = 2.0
LEASE_S = 15.0
DELIVERY_S = 20.0
"""A message that was not acknowledged within this time is published again later."""

log = structlog.get_logger("tocsin.outbox")


class DecisionMessage(msgspec.Struct, frozen=True, omit_defaults=False):
    """What readers of the decisions topic get; schema 1."""

    id: UUID
    detector: str
    version: str
    stream_id: str
    episode: str
    label: str
    probability: float
    halt_step: int
    reason: str
    readiness: float | None
    threshold: float | None
    shadow: bool
    explanation: dict[str, Any]
    trajectory: list[dict[str, Any]]
    event_time: datetime | None
    decided_at: datetime
    v: int = 1


class Outbox(Protocol):
    """What the publisher needs of `store.outbox.Outbox`."""

    def pending(self, limit: int) -> Sequence[PendingDecision]:
        """Return decisions to publish."""
        ...

    def discard(self, ids: Collection[int]) -> None:
        """Forget published ones."""
        ...


class Lease(Protocol):
    """What the publisher needs of `store.leases.Lease`."""

    def take(self) -> bool:
        """Take or renew; False while another holds it."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


def encode_decision(pending: PendingDecision) -> bytes:
    """Return the message's value."""
    known = {name: getattr(pending.decision, name) for name in _FIELDS}
    return _encoder.encode(DecisionMessage(**known, decided_at=pending.decided_at))


_encoder = msgspec.json.Encoder()
_FIELDS = tuple(
    name for name in DecisionMessage.__struct_fields__ if name not in {"v", "decided_at"}
)


class OutboxPublisher:
    """Publishes on a thread of its own, from `start` to `stop`.

    Parameters
    ----------
    outbox, lease
        Of the group, from `store.outbox`.
    servers, topic
        Where to publish; the topic must exist.
    """

    def __init__(self, outbox: Outbox, lease: Lease, servers: str, topic: str) -> None:
        self.published = 0
        """Messages acknowledged since the start."""
        self._outbox, self._lease = outbox, lease
        self._servers, self._topic = servers, topic
        self._producer: Producer | None = None
        self._over = threading.Event()
        self._stop_at = 0.0
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def stop(self, within_s: float = 10.0) -> None:
        """Publish what waits, give the lease back and end.

        What could not be published within `within_s` stays in the outbox, for the worker that
        takes the lease next; so does all the rest once store or broker does not answer.
        """
        self._stop_at = time.monotonic() + within_s - ENDING_S
        self._over.set()
        self._thread.join(within_s)

    def publish_some(self) -> int:
        """Publish one batch, if the lease is ours; return how many rows are done with.

        Raises
        ------
        StoreUnavailableError, StreamError
            Store or broker did not answer. What was acknowledged is done with nevertheless.
        """
        if not self._lease.take():
            return 0
        batch = self._outbox.pending(BATCH)
        if not batch:
            return 0
        done: list[int] = []
        trouble = self._send(batch, done)
        self._outbox.discard(done)
        self.published += len(done)
        if trouble is not None:
            raise in_words(trouble, self._servers, self._topic)
        return len(done)

    def _send(self, batch: Sequence[PendingDecision], done: list[int]) -> KafkaError | None:
        """Send a batch; add the acknowledged rows to `done`, and return what went wrong."""
        producer = self._producer = self._producer or self._new_producer()
        troubles: list[KafkaError] = []
        for pending in batch:
            receipt = _Receipt(pending.outbox_id, done, troubles)
            try:
                producer.produce(
                    self._topic,
                    encode_decision(pending),
                    key=pending.decision.stream_id.encode(),
                    headers=[("decision_id", str(pending.decision.id).encode())],
                    on_delivery=receipt,
                )
            except KafkaException as error:
                troubles.append(error.args[0])
                break
        producer.flush(DELIVERY_S + 2)
        if any(trouble.fatal() for trouble in troubles):
            self._producer = None
        return troubles[0] if troubles else None

    def _new_producer(self) -> Producer:
        known = producer_settings(self._servers, "outbox", delivery_s=DELIVERY_S)
        return Producer(known | {"linger.ms": 5})

    def _run(self) -> None:
        while not self._over.is_set():
            done = self._attempt()
            self._over.wait(OUTAGE_S if done is None else 0.0 if done else IDLE_S)
        # A batch that is not full was the last: what others store meanwhile is not waited for.
        while self._attempt() == BATCH and time.monotonic() < self._stop_at:
            pass
        try:
            self._lease.release()
        except StoreUnavailableError as error:
            log.warning("outage", trouble=str(error))

    def _attempt(self) -> int | None:
        """Publish a batch; return how many decisions that were, None if something failed."""
        try:
            return self.publish_some()
        except (StoreUnavailableError, StreamError) as error:
            log.warning("outage", trouble=str(error), again_in_s=OUTAGE_S)
        except Exception as error:
            # Decisions stay in the outbox, whatever happens here: deciding must go on.
            log.exception("outbox_failed", error=type(error).__name__)
        return None


class _Receipt:
    """Notes the fate of one message."""

    __slots__ = ("_done", "_outbox_id", "_troubles")

    def __init__(self, outbox_id: int, done: list[int], troubles: list[KafkaError]) -> None:
        self._outbox_id, self._done, self._troubles = outbox_id, done, troubles

    def __call__(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self._done.append(self._outbox_id)
        else:
            self._troubles.append(error)
