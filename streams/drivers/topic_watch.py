"""Watches that the topic stays the one the ledger knows, while a worker runs.

A topic that is deleted and made anew under its name has another id, and offsets that mean other
records; one with more partitions sends streams elsewhere. Going on would skip records as repeats,
or mix two lives of the topic under one id. So every commit is preceded by a look at the broker
that began after its records had been read, and now and then a worker looks that has no work.

Broker away is not topic gone, and an answer that does not come says nothing.
"""

from __future__ import annotations

from base64 import b64decode
from concurrent.futures import TimeoutError as LookTimeoutError
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from store.errors import TopicChangedError
from streams.drivers.kafka_client import settings
from streams.errors import BrokerError, TopicError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from store.ledger import Ledger
    from store.rows import Claim, PartitionCommit, StateKey, StateRow

LOOK_TICKS = 10
"""Ticks between looks while nothing is wrong."""
GONE_LOOKS = 5
"""Looks in a row, a tick apart, after which a topic that the broker does not know is gone."""
ANSWER_S = 5.0
"""How long a commit waits for the broker's answer."""


class Life(NamedTuple):
    """What tells one life of a topic from another."""

    topic_id: str | None
    """None: the broker says that there is no such topic."""
    n_partitions: int


GONE = Life(None, 0)


class Look(Protocol):
    """A question to the broker that is under way."""

    def done(self) -> bool:
        """Whether there is an answer, or none will come."""
        ...

    def answer(self, within_s: float) -> Life | None:
        """Return what the broker says, `GONE` included; None if it says nothing in time."""
        ...


class TopicWatch:
    """Compares the topic with the one the worker began with; for one thread at a time.

    Parameters
    ----------
    group, topic
        Names, for the message.
    known
        What the worker began with.
    look
        Asks the broker; must not wait. `asking` makes one.
    """

    def __init__(self, group: str, topic: str, known: Life, look: Callable[[], Look]) -> None:
        self._group, self._topic, self._known = group, topic, known
        self._begin = look
        self._pending: Look | None = None
        self._look_in = LOOK_TICKS
        self._n_gone = 0

    def hurry(self) -> None:
        """Look at the next tick."""
        self._look_in = 0

    def tick(self) -> None:
        """Once a second: judge the answer that has come, and look again if it is time.

        Never waits.

        Raises
        ------
        TopicChangedError
            The topic was made anew, or has another number of partitions.
        TopicError
            The broker knew no such topic for `GONE_LOOKS` looks.
        """
        if self._pending is not None and self._pending.done():
            life, self._pending = self._pending.answer(0.0), None
            self._judge(life)
        self._look_in -= 1
        if self._pending is None and self._look_in <= 0:
            self._pending = self._begin()
            self._look_in = LOOK_TICKS

    def confirm(self) -> None:
        """Look now, and return if the topic is still the same.

        What was read before this call began was then read from that topic: an id never returns.

        Raises
        ------
        TopicChangedError
            As `tick`.
        BrokerError
            No answer, or the broker does not know the topic (`tick` finds out for how long).
        """
        life = self._begin().answer(ANSWER_S)
        if life is None or life == GONE:
            self.hurry()
            trouble = "does not answer" if life is None else "knows no such topic at present"
            message = f"Kafka, asked whether {self._topic} is still the same, {trouble}."
            raise BrokerError(message)
        self._judge(life)

    def _judge(self, life: Life | None) -> None:
        if life is None:
            return
        if life != GONE:
            self._n_gone = 0
            if life != self._known:
                before, now = (self._named(self._known), self._named(life))
                raise TopicChangedError(self._group, self._topic, before, now)
            return
        self._n_gone += 1
        self.hurry()
        if self._n_gone >= GONE_LOOKS:
            message = (
                f"topic {self._topic} is gone: the broker knows no topic of that name any more. "
                f"Group {self._group!r} has read topic id {self._known.topic_id!r}, and a topic "
                "made anew would have another. Either bring the old topic back, or create it and "
                "start all workers of this group under a new group name (TOCSIN_GROUP)."
            )
            raise TopicError(message)

    @staticmethod
    def _named(life: Life) -> tuple[str, int]:
        return str(life.topic_id), life.n_partitions


class WatchedLedger:
    """A ledger that commits only what was read from the topic it knows; see `store.ledger.Ledger`.

    Parameters
    ----------
    ledger
        Where to commit.
    watch
        Asked before each commit.
    """

    def __init__(self, ledger: Ledger, watch: TopicWatch) -> None:
        self._ledger, self._watch = ledger, watch

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        """Become the owner of `partitions`."""
        return self._ledger.claim(partitions)

    def load(self, partition: int, keys: Sequence[StateKey]) -> dict[StateKey, StateRow]:
        """Return stored states."""
        return self._ledger.load(partition, keys)

    def due(self, partition: int, upto_s: float, limit: int) -> list[StateRow]:
        """Return states that are due."""
        return self._ledger.due(partition, upto_s, limit)

    def earliest(self, partition: int) -> float:
        """Return the earliest deadline of a partition's states."""
        return self._ledger.earliest(partition)

    def commit(self, commits: Sequence[PartitionCommit]) -> frozenset[int]:
        """Store batches, unless the topic has changed; raises as `TopicWatch.confirm` too."""
        self._watch.confirm()
        return self._ledger.commit(commits)

    def positions(self) -> dict[int, Claim]:
        """Return epochs and next offsets."""
        return self._ledger.positions()


def asking(servers: str, topic: str) -> Callable[[], Look]:
    """Return what asks the broker about `topic`, on a connection of its own."""
    client = AdminClient(settings(servers, "watch"))
    wanted = TopicCollection([topic])

    def begin() -> Look:
        answers = client.describe_topics(wanted, request_timeout=ANSWER_S)
        return _Asked(answers[topic])

    return begin


class _Asked:
    """A `Look` through confluent-kafka's admin client."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def done(self) -> bool:
        return self._future.done()

    def answer(self, within_s: float) -> Life | None:
        try:
            found = self._future.result(within_s)
        except LookTimeoutError:
            return None
        except KafkaException as error:
            unknown = error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
            return GONE if unknown else None
        # In the form in which `streams.topics` gives it, which the ledger keeps.
        topic_id = UUID(bytes=b64decode(f"{found.topic_id}=="))
        return Life(str(topic_id), len(found.partitions))
