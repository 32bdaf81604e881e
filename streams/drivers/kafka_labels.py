"""Reads the labels topic into the store, on a thread of a worker.

One process of all that share a store reads, by lease, whatever their groups are: a label is about
streams, not about who decides. How far it has come stands in the ledger, under a group of its own,
so that a reader which was thought dead and wakes moves nothing. Labels are
stored before the position is: a crash in between reads them again, and a label read again counts
once. What is no label, or contradicts its own name, becomes a dead letter of the labels topic.

Deciding never waits for labels: while the topic is missing or store or broker are away, this
thread says so and tries again.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from store.errors import StoreError
from store.labels import Fate, keep
from store.leases import Lease
from store.ledger import SqlLedger
from store.rows import NewDeadLetter, PartitionCommit
from store.session import direct
from streams import topics
from streams.drivers.kafka_fetch import KafkaFetcher
from streams.drivers.topic_watch import Life, TopicWatch, WatchedLedger, asking
from streams.errors import RecordsLostError, StreamError
from streams.labels import Unusable, decode_label, refusal, to_keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy.engine import Engine

    from store.labels import Filed, NewLabel
    from store.rows import Claim
    from streams.ports import Fetcher
    from streams.records import RawRecord

GROUP = "labels"
"""Group id of the ledger rows of the labels topic."""
BATCH = 500
IDLE_S = 1.0
"""Between two looks at a topic that is read to its end."""
OUTAGE_S = 10.0
"""Between two tries while something is missing or does not answer."""
LEASE_S = 15.0
LEASE_NAME = 150
"""Characters of the topic's name in that of the lease, which the store cuts off."""
PAYLOAD_BYTES = 65_536
"""A dead letter keeps so much of the message."""

log = structlog.get_logger("tocsin.labels")


class Right(Protocol):
    """What the reader needs of `store.leases.Lease`."""

    def take(self) -> bool:
        """Take or renew; False while another holds it."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class Positions(Protocol):
    """What the reader needs of `store.ledger.Ledger`."""

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        """Become the owner of `partitions`."""
        ...

    def commit(self, commits: Sequence[PartitionCommit]) -> frozenset[int]:
        """Store positions and dead letters; return the partitions that are still ours."""
        ...


@dataclass(frozen=True, slots=True)
class LabelTopic:
    """The labels topic as the broker has it now, and how far it is read."""

    topic_id: str
    n_partitions: int
    ledger: Positions
    fetcher: Fetcher
    begin: Callable[[int], int]
    """Offset of the oldest record that a partition still holds."""


@dataclass(slots=True)
class LabelCounts:
    """Labels read since the start, by what became of them."""

    stored: int = 0
    repeated: int = 0
    rejected: int = 0
    unmatched: int = 0
    """Of those stored or repeated: no decision was there that they are about."""


class LabelReader:
    """Reads from `start` to `stop`.

    Parameters
    ----------
    connect
        Opens the topic; raises StreamError or StoreError where that is not possible now.
    lease
        Of the topic, on this store.
    file
        Stores labels; repeating a call changes nothing.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[LabelTopic]],
        lease: Right,
        file: Callable[[Sequence[NewLabel]], Sequence[Filed]],
    ) -> None:
        self.counts = LabelCounts()
        self._connect, self._lease, self._file = connect, lease, file
        self._opened = ExitStack()
        self._topic: LabelTopic | None = None
        self._claims: dict[int, Claim] = {}
        self._trouble = ""
        self._reported = asdict(self.counts)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="labels", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, within_s: float = 10.0) -> None:
        """Finish the batch under way, give the lease back and end."""
        self._over.set()
        self._thread.join(within_s)

    def read_some(self) -> int:
        """Read one batch of each partition, if the lease is ours; return how many records.

        Raises
        ------
        StreamError, StoreError
            Topic, broker or store are not there. What was stored stays.
        """
        if not self._lease.take():
            self.close()
            return 0
        if self._topic is None:
            self._topic = self._opened.enter_context(self._connect())
            self._claims = self._topic.ledger.claim(range(self._topic.n_partitions))
            log.info("labels_assigned", partitions=self._topic.n_partitions)
        n_read = 0
        for partition in range(self._topic.n_partitions):
            commit, n = self._read(self._topic, partition)
            n_read += n
            if commit is not None and not self._reached(self._topic, commit):
                self.close()  # another worker reads now, or did in between
                break
        return n_read

    def close(self) -> None:
        """Forget the topic and all claims; the next batch opens it anew."""
        self._topic = None
        self._claims = {}
        self._opened.close()

    def _read(self, topic: LabelTopic, partition: int) -> tuple[PartitionCommit | None, int]:
        """Store the next labels of a partition; return what to commit then, and their number."""
        epoch, start = self._claims[partition].epoch, self._claims[partition].next_offset
        end = topic.fetcher.end(partition)
        if end <= start:
            return None, 0
        try:
            records = topic.fetcher.fetch(partition, start, end, BATCH)
        except RecordsLostError as error:
            # they will not come back, and those that are left should not wait for them
            log.error("labels_lost", trouble=str(error))  # noqa: TRY400  # it is no fault of ours
            return PartitionCommit(partition, epoch, topic.begin(partition)), 1
        letters = self._keep(topic, records)
        reached = records[-1].offset + 1 if records else end
        return PartitionCommit(partition, epoch, reached, dead_letters=letters), len(records)

    def _reached(self, topic: LabelTopic, commit: PartitionCommit) -> bool:
        """Commit a position with its dead letters; False if the partition is no longer ours."""
        if commit.partition not in topic.ledger.commit([commit]):
            return False
        claim = self._claims[commit.partition]
        self._claims[commit.partition] = claim._replace(next_offset=commit.next_offset)
        self.counts.rejected += len(commit.dead_letters)
        return True

    def _keep(self, topic: LabelTopic, records: Sequence[RawRecord]) -> tuple[NewDeadLetter, ...]:
        """Store the labels among `records`; return the dead letters of the others."""
        letters: list[NewDeadLetter] = []
        labels: list[NewLabel] = []
        carriers: list[RawRecord] = []
        for record in records:
            label = decode_label(record.value)
            if isinstance(label, Unusable):
                letters.append(_dead_letter(record, label))
                continue
            place = f"{topic.topic_id}/{record.partition}/{record.offset}"
            labels.append(to_keep(label, "topic", place.__str__))
            carriers.append(record)
        for record, (fate, matched) in zip(carriers, self._file(labels), strict=True):
            why = refusal(fate)
            if why is not None:
                letters.append(_dead_letter(record, why))
                continue
            self.counts.stored += fate is Fate.STORED
            self.counts.repeated += fate is Fate.REPEATED
            self.counts.unmatched += not matched
        return tuple(letters)

    def _run(self) -> None:
        while not self._over.is_set():
            n = self._attempt()
            self._over.wait(OUTAGE_S if n is None else 0.0 if n else IDLE_S)
        try:
            self.close()
            self._lease.release()
        except (StoreError, StreamError) as error:
            log.warning("labels_outage", trouble=str(error))

    def _attempt(self) -> int | None:
        """Read some; return how many records, None if something is missing or failed."""
        try:
            n = self.read_some()
        except (StreamError, StoreError) as error:
            self._say(str(error))
        except Exception as error:
            # whatever it is, deciding must go on
            log.exception("labels_failed", error=type(error).__name__)
        else:
            self._trouble = ""
            if not n:
                self._report()
            return n
        self.close()
        return None

    def _say(self, trouble: str) -> None:
        """Warn once of a trouble that lasts."""
        if trouble != self._trouble:
            log.warning("labels_outage", trouble=trouble, again_in_s=OUTAGE_S)
        self._trouble = trouble

    def _report(self) -> None:
        counts = asdict(self.counts)
        if counts != self._reported:
            log.info("labels", **counts)
        self._reported = counts


def label_reader(engine: Engine, holder: str, servers: str, topic: str) -> LabelReader:
    """Return the reader of a worker called `holder`; `engine` is PostgreSQL's."""

    @contextmanager
    def connect() -> Iterator[LabelTopic]:
        found = topics.find(servers, topic)
        watch = TopicWatch(
            GROUP, topic, Life(found.topic_id, found.n_partitions), asking(servers, topic)
        )
        ledger = SqlLedger(engine, GROUP, topic, found.topic_id, found.n_partitions).open()
        with KafkaFetcher(servers, topic) as fetcher:
            yield LabelTopic(
                topic_id=found.topic_id,
                n_partitions=found.n_partitions,
                ledger=WatchedLedger(ledger, watch),
                fetcher=fetcher,
                begin=lambda partition: topics.positions(servers, topic)[1][partition].begin,
            )

    lease = Lease(engine, f"labels:{topic[:LEASE_NAME]}", holder, LEASE_S)
    transact = direct(engine)
    return LabelReader(connect, lease, lambda labels: keep(transact, labels))


def _dead_letter(record: RawRecord, why: Unusable) -> NewDeadLetter:
    payload = (record.value or b"")[:PAYLOAD_BYTES]
    return NewDeadLetter(record.offset, why.reason, why.detail, None, payload)
