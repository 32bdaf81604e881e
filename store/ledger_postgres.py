"""The ledger's hot path on PostgreSQL: one statement a commit, through psycopg itself.

One statement, sent in autocommit mode: it is applied or not, and a process that is stopped at any
instant holds no row lock. Arrays of texts and bytes travel in binary; the parts that a call does
not need are left out, so there are at most 32 statements, each prepared by psycopg.
"""

from __future__ import annotations

from functools import cache
from itertools import repeat
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors as pg

from store.errors import CommitRefusedError, NaiveInstantError, OffsetRegressionError
from store.rows import StateRow
from store.session import unavailable
from store.storable import NOT_UNICODE, clean_json, clean_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from store.ledger import Topic
    from store.rows import NewDecision, PartitionCommit, StateKey
    from store.session import Transact

DEADLOCK_TRIES = 3
"""Two workers that commit overlapping partitions may, rarely, meet crosswise; nothing is lost."""

# OFFSET 0 keeps the planner from joining: look each key up, never scan the partition's states
LOAD = """
WITH p AS (
  SELECT id FROM partitions WHERE group_id = %(group)t::text AND topic = %(topic)t::text
  AND topic_id = %(topic_id)t::text AND partition = %(partition)s::int)
SELECT s.detector, s.stream_id, s.version, s.episode, s.phase, s.steps, s.data, s.deadline_s,
  s.pending
FROM unnest(%(detector)b::text[], %(stream_id)b::text[]) AS k(detector, stream_id)
CROSS JOIN LATERAL (
  SELECT * FROM states WHERE states.stream_id = k.stream_id AND states.detector = k.detector
  AND states.partition_id = (SELECT id FROM p) OFFSET 0) AS s
"""

DUE = """
SELECT detector, stream_id, version, episode, phase, steps, data, deadline_s, pending
FROM states WHERE deadline_s <= %(upto_s)s::float8 AND partition_id = (
  SELECT id FROM partitions WHERE group_id = %(group)t::text AND topic = %(topic)t::text
  AND topic_id = %(topic_id)t::text AND partition = %(partition)s::int)
ORDER BY deadline_s LIMIT %(limit)s::int
"""

OWNED = """
WITH v AS (
  SELECT * FROM unnest(%(v_partition)t::int[], %(v_epoch)t::bigint[], %(v_next)t::bigint[],
    %(v_clock)t::float8[])
  AS v(partition, epoch, next_offset, clock_s)
), mine AS (
  SELECT * FROM partitions
  WHERE group_id = %(group)t::text AND topic = %(topic)t::text AND topic_id = %(topic_id)t::text
), ok AS (
  UPDATE partitions p SET next_offset = v.next_offset, clock_s = coalesce(v.clock_s, p.clock_s)
  FROM v
  WHERE p.group_id = %(group)t::text AND p.topic = %(topic)t::text
    AND p.topic_id = %(topic_id)t::text
    AND p.partition = v.partition AND p.epoch = v.epoch AND p.next_offset <= v.next_offset
  RETURNING p.id, p.partition
)"""

PARTS = {
    "states": """, st AS (
  INSERT INTO states (partition_id, detector, stream_id, version, episode, phase, steps, data,
    deadline_s, pending)
  SELECT ok.id, x.detector, x.stream_id, x.version, x.episode, x.phase, x.steps, x.data,
    x.deadline_s, x.pending
  FROM unnest(%(s_partition)t::int[], %(s_detector)b::text[], %(s_stream_id)b::text[],
    %(s_version)b::text[], %(s_episode)b::text[], %(s_phase)b::text[], %(s_steps)t::bigint[],
    %(s_data)b::bytea[], %(s_deadline)t::float8[], %(s_pending)t::bytea[])
    AS x(partition, detector, stream_id, version, episode, phase, steps, data, deadline_s,
      pending)
  JOIN ok USING (partition)
  ON CONFLICT (stream_id, detector, partition_id) DO UPDATE SET version = excluded.version,
    episode = excluded.episode, phase = excluded.phase, steps = excluded.steps,
    data = excluded.data, updated_at = excluded.updated_at, deadline_s = excluded.deadline_s,
    pending = excluded.pending
)""",
    "forgotten": """, fg AS (
  DELETE FROM states USING ok JOIN unnest(%(f_partition)t::int[], %(f_detector)b::text[],
    %(f_stream_id)b::text[]) AS x(partition, detector, stream_id) USING (partition)
  WHERE states.partition_id = ok.id AND states.detector = x.detector
    AND states.stream_id = x.stream_id
)""",
    "decisions": """, de AS (
  INSERT INTO decisions (id, detector, version, stream_id, episode, label, probability, halt_step,
    reason, readiness, threshold, shadow, explanation, trajectory, event_time, decided_at)
  SELECT x.id, x.detector, x.version, x.stream_id, x.episode, x.label, x.probability, x.halt_step,
    x.reason, x.readiness, x.threshold, x.shadow, x.explanation::jsonb, x.trajectory::jsonb,
    x.event_time, clock_timestamp()
  FROM unnest(%(d_partition)t::int[], %(d_id)t::uuid[], %(d_detector)b::text[],
    %(d_version)b::text[], %(d_stream_id)b::text[], %(d_episode)b::text[], %(d_label)b::text[],
    %(d_probability)t::float8[], %(d_halt_step)t::int[], %(d_reason)b::text[],
    %(d_readiness)t::float8[], %(d_threshold)t::float8[], %(d_shadow)t::bool[],
    %(d_explanation)b::text[], %(d_trajectory)b::text[], %(d_event_time)t::timestamptz[])
    AS x(partition, id, detector, version, stream_id, episode, label, probability, halt_step,
      reason, readiness, threshold, shadow, explanation, trajectory, event_time)
  JOIN ok USING (partition) ORDER BY x.id
  ON CONFLICT DO NOTHING RETURNING id
), ob AS (
  INSERT INTO outbox (group_id, decision_id) SELECT %(group)t::text, de.id FROM de
)""",
    "outcomes": """, oc AS (
  INSERT INTO outcomes (detector, stream_id, episode, late_label, late_probability, length,
    ended_at)
  SELECT x.detector, x.stream_id, x.episode, x.late_label, x.late_probability, x.length,
    clock_timestamp()
  FROM unnest(%(o_partition)t::int[], %(o_detector)b::text[], %(o_stream_id)b::text[],
    %(o_episode)b::text[], %(o_late_label)b::text[], %(o_late_probability)t::float8[],
    %(o_length)t::int[])
    AS x(partition, detector, stream_id, episode, late_label, late_probability, length)
  JOIN ok USING (partition) ORDER BY x.detector, x.stream_id, x.episode
  ON CONFLICT DO NOTHING
)""",
    "dead_letters": """, dl AS (
  INSERT INTO dead_letters (partition_id, record_offset, detector, reason, detail, payload,
    failed_at)
  SELECT ok.id, x.record_offset, x.detector, x.reason, x.detail, x.payload, clock_timestamp()
  FROM unnest(%(l_partition)t::int[], %(l_offset)t::bigint[], %(l_detector)b::text[],
    %(l_reason)b::text[], %(l_detail)b::text[], %(l_payload)b::bytea[])
    AS x(partition, record_offset, detector, reason, detail, payload)
  JOIN ok USING (partition)
  ON CONFLICT DO NOTHING
)""",
}

ANSWER = """
SELECT v.partition, ok.id IS NOT NULL,
  coalesce(mine.epoch = v.epoch AND mine.next_offset > v.next_offset, false)
FROM v LEFT JOIN ok USING (partition) LEFT JOIN mine USING (partition)
"""


def load(
    connection: Connection, topic: Topic, partition: int, keys: Sequence[StateKey]
) -> list[StateRow]:
    """Return the states that are stored among `keys`."""
    values: dict[str, Any] = {
        **topic._asdict(),
        "partition": partition,
        "detector": [key.detector for key in keys],
        "stream_id": [key.stream_id for key in keys],
    }
    return [StateRow(*row) for row in _execute(connection, LOAD, values)]


def due(
    connection: Connection, topic: Topic, partition: int, upto_s: float, limit: int
) -> list[StateRow]:
    """Return states that are due, earliest first."""
    values = {**topic._asdict(), "partition": partition, "upto_s": upto_s, "limit": limit}
    return [StateRow(*row) for row in _execute(connection, DUE, values)]


def commit(
    engine: Engine, transact: Transact, topic: Topic, commits: Sequence[PartitionCommit]
) -> frozenset[int]:
    """Store `commits`, see `store.ledger.Ledger`; `transact` must run in autocommit mode."""
    statement, values = _compose(topic, commits)
    for tries_left in reversed(range(DEADLOCK_TRIES)):
        try:
            answer = transact(lambda connection: _execute(connection, statement, values))
        except (pg.DataError, pg.IntegrityError, pg.CardinalityViolation) as error:
            # the primary message names columns and constraints, the detail would show values
            raise CommitRefusedError(error.diag.message_primary or type(error).__name__) from None
        except UnicodeEncodeError:
            raise CommitRefusedError(NOT_UNICODE) from None
        except pg.DeadlockDetected as error:
            if not tries_left:
                raise unavailable(engine, error) from error
        else:
            return _judge(answer)
    raise AssertionError  # the last try returns or raises


def _judge(answer: list[tuple[int, bool, bool]]) -> frozenset[int]:
    committed = frozenset(partition for partition, stored, _ in answer if stored)
    backwards = {p for p, stored, back in answer if back and not stored}
    if backwards:
        raise OffsetRegressionError(backwards, committed)
    return committed


def _execute(connection: Connection, statement: str, values: dict[str, Any]) -> list[Any]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)  # noqa: S101  # `connect` made it
    with raw.cursor(binary=True) as cursor:
        return cursor.execute(statement.encode(), values, prepare=True).fetchall()


@cache
def _statement(parts: tuple[str, ...]) -> str:
    return OWNED + "".join(PARTS[part] for part in parts) + ANSWER


def _compose(topic: Topic, commits: Sequence[PartitionCommit]) -> tuple[str, dict[str, Any]]:
    ordered = sorted(commits, key=lambda commit: commit.partition)
    values: dict[str, Any] = {
        **topic._asdict(),
        "v_partition": _array(c.partition for c in ordered),
        "v_epoch": _array(c.epoch for c in ordered),
        "v_next": _array(c.next_offset for c in ordered),
        "v_clock": _array(c.clock_s for c in ordered),
    }
    parts = tuple(part for part in PARTS if any(getattr(c, part) for c in ordered))
    for part in parts:
        partitions: list[int] = []
        rows: list[Any] = []
        for c in ordered:
            rows.extend(getattr(c, part))
            partitions.extend(repeat(c.partition, len(getattr(c, part))))
        values[f"{PREFIX[part]}_partition"] = _array(partitions)
        values.update(COLUMNS[part](rows))
    return _statement(parts), values


def _states(rows: list[StateRow]) -> dict[str, Any]:
    return {
        "s_detector": [r.detector for r in rows],
        "s_stream_id": [r.stream_id for r in rows],
        "s_version": [r.version for r in rows],
        "s_episode": [r.episode for r in rows],
        "s_phase": [r.phase for r in rows],
        "s_steps": _array(r.steps for r in rows),
        "s_data": [r.data for r in rows],
        "s_deadline": _sparse([r.deadline_s for r in rows]),
        "s_pending": _sparse([None if r.pending is None else _hex(r.pending) for r in rows]),
    }


def _forgotten(rows: list[StateKey]) -> dict[str, Any]:
    return {"f_detector": [r.detector for r in rows], "f_stream_id": [r.stream_id for r in rows]}


def _decisions(rows: list[NewDecision]) -> dict[str, Any]:
    return {
        "d_id": _array(r.id for r in rows),
        "d_detector": [r.detector for r in rows],
        "d_version": [r.version for r in rows],
        "d_stream_id": [r.stream_id for r in rows],
        "d_episode": [r.episode for r in rows],
        "d_label": [r.label for r in rows],
        "d_probability": _array(r.probability for r in rows),
        "d_halt_step": _array(r.halt_step for r in rows),
        "d_reason": [r.reason for r in rows],
        "d_readiness": _array(r.readiness for r in rows),
        "d_threshold": _array(r.threshold for r in rows),
        "d_shadow": _array(r.shadow for r in rows),
        "d_explanation": [clean_json(r.explanation) for r in rows],
        "d_trajectory": [clean_json(r.trajectory) for r in rows],
        "d_event_time": _array(_instant(r.event_time) for r in rows),
    }


def _outcomes(rows: list[Any]) -> dict[str, Any]:
    return {
        "o_detector": [r.detector for r in rows],
        "o_stream_id": [r.stream_id for r in rows],
        "o_episode": [r.episode for r in rows],
        "o_late_label": [r.late_label for r in rows],
        "o_late_probability": _array(r.late_probability for r in rows),
        "o_length": _array(r.length for r in rows),
    }


def _dead_letters(rows: list[Any]) -> dict[str, Any]:
    return {
        "l_offset": _array(r.offset for r in rows),
        "l_detector": [r.detector or "" for r in rows],
        "l_reason": [r.reason for r in rows],
        "l_detail": [clean_text(r.detail) for r in rows],
        "l_payload": [r.payload for r in rows],
    }


PREFIX = {"states": "s", "forgotten": "f", "decisions": "d", "outcomes": "o", "dead_letters": "l"}
COLUMNS: dict[str, Callable[[list[Any]], dict[str, Any]]] = {
    "states": _states,
    "forgotten": _forgotten,
    "decisions": _decisions,
    "outcomes": _outcomes,
    "dead_letters": _dead_letters,
}


def _array(items: Iterable[object]) -> str:
    """Write an array of things without quotes in them, as PostgreSQL reads it.

    A text keeps the parameter's type the same from call to call, where psycopg would choose it by
    the largest number; so one prepared statement serves all calls.
    """
    return "{" + ",".join(["NULL" if item is None else str(item) for item in items]) + "}"


def _sparse(items: Sequence[object]) -> str:
    """Write an array, or an empty one if it would hold nulls only: `unnest` fills them in."""
    return _array(items) if any(item is not None for item in items) else "{}"


def _hex(data: bytes) -> str:
    return f'"\\\\x{data.hex()}"'


def _instant(time: datetime | None) -> str | None:
    if time is None:
        return None
    if time.tzinfo is None:
        raise NaiveInstantError(time)
    return f'"{time.isoformat()}"'
