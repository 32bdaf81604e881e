"""The ledger: where a batch is committed, and where reading goes on after a crash.

One row a (group, topic, partition) holds `epoch` and `next_offset`. Whoever claims a partition
raises its epoch; a commit applies only under the epoch that the row still has. So a worker that
was thought dead and wakes writes nothing, and a batch that is delivered again is skipped by its
offsets: every record counts once, whatever the transport does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sqlalchemy import text

from store import ledger_postgres, ledger_sqlite
from store.errors import TopicChangedError
from store.rows import Claim, StateKey
from store.session import one_statement, store_errors, transactor
from store.storable import check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection, Engine

    from store.rows import PartitionCommit, StateRow
    from store.session import Transact


class Ledger(Protocol):
    """Commits batches of one topic for one group; `tests/contract/test_ledgers.py` checks it."""

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        """Become the owner of `partitions`; whoever was is fenced from now on.

        A transaction each, in the order given; the first claim of a partition begins at epoch 1
        and offset 0.

        Raises
        ------
        TopicChangedError
            If the ledger knows the topic under another id or number of partitions, or one of
            `partitions` is not among them (nothing is claimed then).
        StoreUnavailableError
            If the database was lost; some of the partitions may be claimed. Claim again.
        """
        ...

    def load(self, partition: int, keys: Sequence[StateKey]) -> dict[StateKey, StateRow]:
        """Return the stored states among `keys`; one query, however many they are."""
        ...

    def due(self, partition: int, upto_s: float, limit: int) -> list[StateRow]:
        """Return states with a deadline at or before `upto_s`, at most `limit`, earliest first."""
        ...

    def earliest(self, partition: int) -> float:
        """Return the earliest deadline of a partition's states; inf if there is none."""
        ...

    def commit(self, commits: Sequence[PartitionCommit]) -> frozenset[int]:
        """Store batches, each partition whole or not at all; return those that were stored.

        A partition missing from the answer was fenced: drop its epoch and its cached states. A
        decision that exists for its (detector, stream, episode) stays as it is and gets no second
        outbox row; a dead letter or outcome that exists stays too.

        Raises
        ------
        StoreUnavailableError
            If the database was lost: stored whole or not at all. The same call may be repeated.
        CommitRefusedError
            If the database cannot hold what the call brings; nothing was stored.
        OffsetRegressionError
            If an owner's commit would move its own partition backwards.
        """
        ...

    def positions(self) -> dict[int, Claim]:
        """Return epoch and next offset of each partition ever claimed; ends minus these is lag."""
        ...


class Topic(NamedTuple):
    """Which topic, read by whom."""

    group: str
    topic: str
    topic_id: str
    n_partitions: int


CLAIM = text("""
INSERT INTO partitions (group_id, topic, topic_id, partition, n_partitions, epoch, next_offset)
SELECT CAST(:group AS text), CAST(:topic AS text), CAST(:topic_id AS text),
  CAST(:partition AS integer), CAST(:n_partitions AS integer), 1, 0
WHERE NOT EXISTS (
  SELECT 1 FROM partitions AS other WHERE other.group_id = :group AND other.topic = :topic
  AND (other.topic_id <> :topic_id OR other.n_partitions <> :n_partitions))
ON CONFLICT (group_id, topic, partition) DO UPDATE SET epoch = partitions.epoch + 1
RETURNING epoch, next_offset, clock_s
""")

POSITIONS = text("""
SELECT partition, epoch, next_offset, clock_s FROM partitions
WHERE group_id = :group AND topic = :topic AND topic_id = :topic_id ORDER BY partition
""")

EARLIEST = text("""
SELECT min(deadline_s) FROM states WHERE deadline_s IS NOT NULL AND partition_id = (
  SELECT id FROM partitions WHERE group_id = :group AND topic = :topic AND topic_id = :topic_id
  AND partition = :partition)
""")

STRANGER = text("""
SELECT topic_id, n_partitions FROM partitions WHERE group_id = :group AND topic = :topic
AND (topic_id <> :topic_id OR n_partitions <> :n_partitions) LIMIT 1
""")


class SqlLedger:
    """The ledger of one topic of one group, on PostgreSQL or SQLite.

    Thread-safe. A partition's commits should come from one thread, though: the order between two
    calls is otherwise anyone's.

    Parameters
    ----------
    engine
        From `store.session.connect`.
    group
        Kafka group id, or ``embedded``.
    topic, topic_id, n_partitions
        Name, the broker's own id and size of the topic.
    transact
        How transactions are run on SQLite: `store.writer.Writer.transact` where one thread owns
        all writes. By default each call has a transaction of its own. PostgreSQL takes none: there
        every call is one statement, so that a process stopped half-way holds no lock.
    """

    def __init__(
        self,
        engine: Engine,
        group: str,
        topic: str,
        topic_id: str,
        n_partitions: int,
        *,
        transact: Transact | None = None,
    ) -> None:
        self.topic = Topic(group, topic, topic_id, n_partitions)
        self._engine = engine
        self._postgres = engine.dialect.name == "postgresql"
        self._read = one_statement(engine)
        self._transact = transactor(engine, transact)

    def open(self) -> SqlLedger:
        """Raise TopicChangedError if the ledger knows another life of the topic; return self."""
        with store_errors(self._engine), self._engine.connect() as connection:
            self._refuse_stranger(connection)
        return self

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        """Become the owner; see `Ledger.claim`."""
        self._refuse_unknown(partitions)
        return {partition: self._claim(partition) for partition in partitions}

    def load(self, partition: int, keys: Sequence[StateKey]) -> dict[StateKey, StateRow]:
        """Return stored states; see `Ledger.load`."""
        if not keys:
            return {}
        load = ledger_postgres.load if self._postgres else ledger_sqlite.load
        rows = self._read(lambda connection: load(connection, self.topic, partition, keys))
        return {StateKey(row.detector, row.stream_id): row for row in rows}

    def due(self, partition: int, upto_s: float, limit: int) -> list[StateRow]:
        """Return states that are due; see `Ledger.due`."""
        due = ledger_postgres.due if self._postgres else ledger_sqlite.due
        return self._read(lambda connection: due(connection, self.topic, partition, upto_s, limit))

    def earliest(self, partition: int) -> float:
        """Return the earliest deadline; see `Ledger.earliest`."""
        values = {**self.topic._asdict(), "partition": partition}
        found = self._read(lambda connection: connection.execute(EARLIEST, values).scalar())
        return math.inf if found is None else float(found)

    def commit(self, commits: Sequence[PartitionCommit]) -> frozenset[int]:
        """Store batches; see `Ledger.commit`."""
        if not commits:
            return frozenset()
        check(commits)
        commit = ledger_postgres.commit if self._postgres else ledger_sqlite.commit
        return commit(self._engine, self._transact, self.topic, commits)

    def positions(self) -> dict[int, Claim]:
        """Return epochs and next offsets; see `Ledger.positions`."""
        with store_errors(self._engine), self._engine.connect() as connection:
            rows = connection.execute(POSITIONS, self.topic._asdict()).all()
        return {partition: Claim(*claim) for partition, *claim in rows}

    def _claim(self, partition: int) -> Claim:
        values = {**self.topic._asdict(), "partition": partition}

        def job(connection: Connection) -> Claim | None:
            row = connection.execute(CLAIM, values).one_or_none()
            return None if row is None else Claim(*row)

        claim = self._transact(job)
        if claim is None:
            self.open()
            raise AssertionError  # rows of a topic do not change their topic
        return claim

    def _refuse_unknown(self, partitions: Sequence[int]) -> None:
        """Refuse partitions that the topic did not have: it has grown meanwhile."""
        topic = self.topic
        least = max(partitions, default=-1) + 1
        if least > topic.n_partitions:
            known, now = (topic.topic_id, topic.n_partitions), (topic.topic_id, least)
            raise TopicChangedError(topic.group, topic.topic, known, now)

    def _refuse_stranger(self, connection: Connection) -> None:
        stored = connection.execute(STRANGER, self.topic._asdict()).one_or_none()
        if stored is not None:
            known, now = (stored[0], stored[1]), (self.topic.topic_id, self.topic.n_partitions)
            raise TopicChangedError(self.topic.group, self.topic.topic, known, now)
