"""Labels: what sources say is the truth about a stream, kept as they came.

Nothing is ever overwritten: a source that changes its mind sends another label, and both stay.
Which of them counts for a decision is found out on reading, see `store.truths`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from psycopg.errors import DeadlockDetected
from sqlalchemy import String, column, select, values
from sqlalchemy.dialects import postgresql, sqlite

from store import detectors
from store.errors import StoreUnavailableError
from store.instants import utc_now
from store.tables import LabelTable
from store.truths import is_matched, looked_up

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session

    from store.session import Transact

DEADLOCK_TRIES = 5
STATEMENT = ("stream_id", "detector", "episode", "label", "labelled_at")
"""What a label says; the same under the same name is a repetition."""


class Fate(StrEnum):
    """What became of a label."""

    STORED = "stored"
    REPEATED = "repeated"
    """The source has sent this very label before; it counts once."""
    OTHER_CONTENT = "label_id_conflict"
    """The source has sent another label under this name, which stays as it is."""
    UNKNOWN_LABEL = "unknown_label"
    """The detector that it names has served here, and no version of it knows the label."""


class Filed(NamedTuple):
    """The answer to one label."""

    fate: Fate
    matched: bool
    """Whether there is a decision that it is about; false for one that was not stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLabel:
    """A label to keep; texts are such as both databases hold (`streams.labels` checks them)."""

    source: str
    label_id: str
    """Unique within the source."""
    stream_id: str
    label: str
    detector: str | None = None
    episode: str | None = None
    labelled_at: datetime | None = None
    via: str
    """``api``, ``topic`` or ``cli``."""
    key_prefix: str | None = None


Name = tuple[str, str]


def keep(transact: Transact, labels: Sequence[NewLabel]) -> list[Filed]:
    """Store labels in one transaction; return what became of each, in order.

    Repeating the call changes nothing. Labels are taken to be received in the order given.

    Raises
    ------
    StoreUnavailableError
        Nothing was stored, or it is not known; the same call may be repeated.
    """
    if not labels:
        return []
    for tries_left in reversed(range(DEADLOCK_TRIES)):
        try:
            return transact(lambda connection: _add(connection, labels))
        except StoreUnavailableError as error:
            if not tries_left or not _is_deadlock(error):
                raise
    raise AssertionError  # the last try returns or raises


def _is_deadlock(error: StoreUnavailableError) -> bool:
    """Return whether another call brought the same labels, at the same time in another order."""
    return isinstance(getattr(error.__cause__, "orig", None), DeadlockDetected)


def _add(connection: Connection, labels: Sequence[NewLabel]) -> list[Filed]:
    """Store labels in four statements, however many they are."""
    known = detectors.classes(connection)
    usable = [_may_be_true(label, known) for label in labels]
    first: dict[Name, NewLabel] = {}
    for label, may in zip(labels, usable, strict=True):
        if may:
            first.setdefault(_name(label), label)
    new = _insert(connection, first)
    stored = _stored(connection, first)
    answers = []
    for label, may in zip(labels, usable, strict=True):
        if not may:
            answers.append(Filed(Fate.UNKNOWN_LABEL, matched=False))
            continue
        row = stored[_name(label)]
        if _name(label) in new:
            new.discard(_name(label))  # the next one of this name repeats it
            fate = Fate.STORED
        elif all(getattr(row, part) == getattr(label, part) for part in STATEMENT):
            fate = Fate.REPEATED
        else:
            fate = Fate.OTHER_CONTENT
        answers.append(Filed(fate, fate is not Fate.OTHER_CONTENT and bool(row.matched)))
    return answers


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFilter:
    """Which labels; None = whatever it is."""

    stream_id: str | None = None
    detector: str | None = None
    """Only those that name it; a label that names none is about whoever knows it."""
    source: str | None = None
    label: str | None = None


class Listed(NamedTuple):
    """A label, and whether there is a decision that it is about."""

    row: LabelTable
    matched: bool


def page(
    session: Session, which: LabelFilter, *, before: int | None = None, limit: int
) -> Sequence[Listed]:
    """Return up to `limit` labels with ids below `before`, the newest first."""
    query = select(LabelTable, is_matched()).order_by(LabelTable.id.desc()).limit(limit)
    for name in ("stream_id", "detector", "source", "label"):
        value = getattr(which, name)
        if value is not None:
            query = query.where(getattr(LabelTable, name) == value)
    if before is not None:
        query = query.where(LabelTable.id < before)
    return [Listed(row, bool(matched)) for row, matched in session.execute(query)]


def _name(label: NewLabel) -> Name:
    return label.source, label.label_id


def _may_be_true(label: NewLabel, known: dict[str, frozenset[str]]) -> bool:
    """Return whether a detector of that name could answer the label, as far as is known here."""
    return label.detector not in known or label.label in known[label.detector]


def _insert(connection: Connection, labels: dict[Name, NewLabel]) -> set[Name]:
    """Insert what is new; return the names of those."""
    if not labels:
        return set()
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(LabelTable)
        .values(received_at=utc_now())
        .on_conflict_do_nothing()
        .returning(LabelTable.source, LabelTable.label_id)
    )
    rows = [_fields(label) for label in labels.values()]
    return {(source, label_id) for source, label_id in connection.execute(statement, rows)}


def _stored(connection: Connection, names: Collection[Name]) -> dict[Name, LabelRow]:
    """Return what is stored under `names`, and whether a decision is there that it is about."""
    if not names:
        return {}
    wanted = values(column("source", String), column("label_id", String)).data(list(names))
    given = wanted.cte("wanted")
    its = (LabelTable.source == given.c.source, LabelTable.label_id == given.c.label_id)
    its_id = looked_up(select(LabelTable.id).where(*its).correlate(given))
    ids = connection.scalars(select(its_id).select_from(given))
    columns = [getattr(LabelTable, part) for part in ("source", "label_id", *STATEMENT)]
    query = select(*columns, is_matched()).where(LabelTable.id.in_(ids.all()))
    return {(row[0], row[1]): LabelRow._make(tuple(row)[2:]) for row in connection.execute(query)}


class LabelRow(NamedTuple):
    """What a stored label says."""

    stream_id: str
    detector: str | None
    episode: str | None
    label: str
    labelled_at: datetime | None
    matched: bool


def _fields(label: NewLabel) -> dict[str, object]:
    return {name: getattr(label, name) for name in NewLabel.__slots__}
