"""Labels that a learning detector has not learned from yet, with the states they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, func, or_, select, true
from sqlalchemy.orm import aliased

from store.instants import utc_now
from store.session import store_errors
from store.tables import LabelTable, StateTable
from store.truths import meant

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.engine import Connection, Engine

SETTLED_S = 5.0
"""Labels this new are left for the next time on PostgreSQL: of two that are stored at once, the
one with the larger id may be seen first, and the other would be passed over."""
FRESH_S = 86_400.0
"""A label is worth waiting for its stream for so long."""


class Due(NamedTuple):
    """A label, and the state that is left of the episode it is about."""

    id: int
    """Of the label: it grows with every one that is received."""
    stream_id: str
    label: str
    is_first: bool
    """Whether no label before it was about the same episode."""
    is_fresh: bool
    """Whether it was received less than `FRESH_S` ago."""
    version: str | None
    """Version that scored the episode; None if nothing is left of it, or not there yet."""
    phase: str | None
    data: bytes | None


def due(
    engine: Engine,
    detector: str,
    classes: Sequence[str],
    *,
    after: int,
    limit: int,
    settled_s: float | None = None,
) -> list[Due]:
    """Return labels about streams of a detector with ids above `after`, ascending.

    Which episode a label is about is found as `store.truths` does; before there is any decision on
    the stream it is the first.

    Parameters
    ----------
    detector
        Labels that name it count, and those that name none, if it knows them.
    classes
        Labels that it knows; others are not returned.
    after, limit
        Where to go on, and how many to return at most.
    settled_s
        Least age of a label; default: `SETTLED_S` on PostgreSQL, 0 on SQLite (it has one writer).
    """
    if settled_s is None:
        settled_s = SETTLED_S if engine.dialect.name == "postgresql" else 0.0
    old = LabelTable.received_at <= utc_now(-settled_s) if settled_s else true()
    return _due(engine, detector, classes, and_(LabelTable.id > after, old), limit)


def again(
    engine: Engine, detector: str, classes: Sequence[str], ids: Collection[int]
) -> list[Due]:
    """Return the labels of these ids as `due` does: their streams may be there by now."""
    if not ids:
        return []
    return _due(engine, detector, classes, LabelTable.id.in_(sorted(ids)), len(ids))


def latest(engine: Engine) -> int:
    """Return the id of the newest label; 0 if there is none."""
    with store_errors(engine), engine.connect() as connection:
        return int(connection.execute(select(func.max(LabelTable.id))).scalar() or 0)


def _due(
    engine: Engine,
    detector: str,
    classes: Sequence[str],
    which: ColumnElement[bool],
    limit: int,
) -> list[Due]:
    concerns = and_(
        or_(LabelTable.detector == detector, LabelTable.detector.is_(None)),
        LabelTable.label.in_(classes),
    )
    candidates = (
        select(LabelTable.id, LabelTable.stream_id)
        .where(which, concerns)
        .order_by(LabelTable.id)
        .limit(limit)
    )
    with store_errors(engine), engine.connect() as connection:
        chosen = {label_id: stream for label_id, stream in connection.execute(candidates)}  # noqa: C416  # a row is no tuple to mypy
        rows = _with_states(connection, detector, concerns, chosen) if chosen else []
    once = {row.id: row for row in reversed(rows)}  # two groups may hold the stream's state
    return [once[key] for key in sorted(once)]


def _with_states(
    connection: Connection,
    detector: str,
    concerns: ColumnElement[bool],
    chosen: dict[int, str],
) -> list[Due]:
    """Return the chosen labels (id: stream), the latest state of each stream first."""
    streams = set(chosen.values())
    about = meant(detector, streams)
    episode = func.coalesce(about.c.episode, LabelTable.episode)
    place = func.row_number().over(
        partition_by=[LabelTable.stream_id, episode], order_by=LabelTable.id
    )
    said = (
        select(LabelTable, episode.label("about"), place.label("place"))
        .outerjoin(about, and_(about.c.id == LabelTable.id, about.c.nearness == 1))
        .where(LabelTable.stream_id.in_(streams), concerns)
        .subquery("said")
    )
    label = aliased(LabelTable, said)
    same = and_(
        StateTable.stream_id == label.stream_id,
        StateTable.detector == detector,
        or_(said.c.about.is_(None), said.c.about == StateTable.episode),
    )
    is_fresh = label.received_at > utc_now(-FRESH_S)
    query = (
        select(
            label.id, label.stream_id, label.label, said.c.place == 1, is_fresh,
            StateTable.version, StateTable.phase, StateTable.data,
        )
        .outerjoin(StateTable, same)
        .where(label.id.in_(chosen))
        .order_by(label.id, StateTable.updated_at.desc())
    )  # fmt: skip
    return [Due(*row) for row in connection.execute(query)]
