"""The ledger's hot path on SQLite: one BEGIN IMMEDIATE transaction a commit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, text
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DataError, IntegrityError, StatementError

from store.errors import CommitRefusedError, OffsetRegressionError
from store.instants import utc_now
from store.rows import StateRow
from store.storable import NOT_UNICODE, clean_json, clean_text
from store.tables import DeadLetterTable, DecisionTable, OutboxRow, OutcomeTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection, Engine

    from store.ledger import Topic
    from store.rows import NewDecision, PartitionCommit, StateKey
    from store.session import Transact

# CROSS JOIN keeps the order of the tables: look each key up, do not scan the states
LOAD = """
SELECT s.detector, s.stream_id, s.version, s.episode, s.phase, s.steps, s.data,
  s.deadline_s, s.pending
FROM json_each(?) AS k CROSS JOIN states AS s
ON s.detector = json_extract(k.value, '$[0]') AND s.stream_id = json_extract(k.value, '$[1]')
AND s.partition_id = (SELECT id FROM partitions WHERE group_id = ? AND topic = ?
  AND topic_id = ? AND partition = ?)
"""

DUE = """
SELECT detector, stream_id, version, episode, phase, steps, data, deadline_s, pending
FROM states WHERE deadline_s <= ? AND partition_id = (SELECT id FROM partitions
  WHERE group_id = ? AND topic = ? AND topic_id = ? AND partition = ?)
ORDER BY deadline_s LIMIT ?
"""

MOVE = text("""
UPDATE partitions SET next_offset = :next_offset, clock_s = coalesce(:clock_s, clock_s)
WHERE group_id = :group AND topic = :topic AND topic_id = :topic_id AND partition = :partition
AND epoch = :epoch AND next_offset <= :next_offset RETURNING id
""")

BACKWARDS = text("""
SELECT 1 FROM partitions
WHERE group_id = :group AND topic = :topic AND topic_id = :topic_id AND partition = :partition
AND epoch = :epoch
""")

DECISIONS = (
    sqlite_insert(DecisionTable)
    .values(decided_at=utc_now())
    .on_conflict_do_nothing()
    .returning(DecisionTable.id)
)
"""One statement for all decisions of a batch: composing one for each took half of a commit."""

STATES = """
INSERT INTO states (partition_id, detector, stream_id, version, episode, phase, steps, data,
  deadline_s, pending)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (stream_id, detector, partition_id) DO UPDATE SET version = excluded.version,
  episode = excluded.episode, phase = excluded.phase, steps = excluded.steps,
  data = excluded.data, updated_at = excluded.updated_at, deadline_s = excluded.deadline_s,
  pending = excluded.pending
"""

FORGET = "DELETE FROM states WHERE partition_id = ? AND detector = ? AND stream_id = ?"


def load(
    connection: Connection, topic: Topic, partition: int, keys: Sequence[StateKey]
) -> list[StateRow]:
    """Return the states that are stored among `keys`."""
    wanted = json.dumps([list(key) for key in keys])
    values = (wanted, topic.group, topic.topic, topic.topic_id, partition)
    return [StateRow(*row) for row in connection.exec_driver_sql(LOAD, values)]


def due(
    connection: Connection, topic: Topic, partition: int, upto_s: float, limit: int
) -> list[StateRow]:
    """Return states that are due, earliest first."""
    values = (upto_s, topic.group, topic.topic, topic.topic_id, partition, limit)
    return [StateRow(*row) for row in connection.exec_driver_sql(DUE, values)]


def commit(
    engine: Engine, transact: Transact, topic: Topic, commits: Sequence[PartitionCommit]
) -> frozenset[int]:
    """Store `commits`, see `store.ledger.Ledger`."""
    del engine
    try:
        committed, backwards = transact(lambda connection: _commit(connection, topic, commits))
    except (DataError, IntegrityError) as error:
        raise CommitRefusedError(str(error.orig)) from None
    except UnicodeEncodeError:
        raise CommitRefusedError(NOT_UNICODE) from None
    except StatementError as error:
        if error.orig is None or not isinstance(error.orig, ValueError):
            raise
        raise error.orig from None
    if backwards:
        raise OffsetRegressionError(backwards, committed)
    return committed


def _commit(
    connection: Connection, topic: Topic, commits: Sequence[PartitionCommit]
) -> tuple[frozenset[int], set[int]]:
    committed, backwards = set(), set()
    for commit in commits:
        values = {
            **topic._asdict(),
            "partition": commit.partition,
            "epoch": commit.epoch,
            "next_offset": commit.next_offset,
            "clock_s": commit.clock_s,
        }
        partition_id = connection.execute(MOVE, values).scalar_one_or_none()
        if partition_id is not None:
            _store(connection, topic.group, partition_id, commit)
            committed.add(commit.partition)
        elif connection.execute(BACKWARDS, values).first() is not None:
            backwards.add(commit.partition)
    return frozenset(committed), backwards


def _store(connection: Connection, group: str, partition_id: int, commit: PartitionCommit) -> None:
    if commit.states:
        connection.exec_driver_sql(STATES, [(partition_id, *state) for state in commit.states])
    if commit.forgotten:
        doomed = [(partition_id, *key) for key in commit.forgotten]
        connection.exec_driver_sql(FORGET, doomed)
    if commit.decisions:
        _decide(connection, group, commit.decisions)
    if commit.outcomes:
        outcome = sqlite_insert(OutcomeTable).values(ended_at=utc_now()).on_conflict_do_nothing()
        connection.execute(outcome, [_fields(o) for o in commit.outcomes])
    if commit.dead_letters:
        insertion = sqlite_insert(DeadLetterTable).values(failed_at=utc_now())
        letters = [
            {
                "partition_id": partition_id,
                "record_offset": letter.offset,
                "detector": letter.detector or "",
                "reason": letter.reason,
                "detail": clean_text(letter.detail),
                "payload": letter.payload,
            }
            for letter in commit.dead_letters
        ]
        connection.execute(insertion.on_conflict_do_nothing(), letters)


def _decide(connection: Connection, group: str, decisions: Sequence[NewDecision]) -> None:
    """Insert what is new, and an outbox row for each of those."""
    rows = []
    for decision in decisions:
        row = _fields(decision)
        for name in ("explanation", "trajectory"):
            row[name] = json.loads(clean_json(row[name]))
        rows.append(row)
    stored = connection.execute(DECISIONS, rows).scalars().all()
    if stored:
        connection.execute(
            insert(OutboxRow), [{"group_id": group, "decision_id": new} for new in stored]
        )


def _fields(row: Any) -> dict[str, Any]:  # noqa: ANN401  # any of our slotted dataclasses
    return {name: getattr(row, name) for name in row.__slots__}
