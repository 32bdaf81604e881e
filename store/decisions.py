"""Reading decisions: newest first, page by page, without totals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, literal, select, tuple_
from sqlalchemy.orm import Session, defer

from store.tables import DecisionTable, DetectorVersionRow, OutcomeTable

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFilter:
    """Which decisions; None = whatever it is."""

    detector: str | None = None
    version: str | None = None
    label: str | None = None
    stream_id: str | None = None
    reason: str | None = None
    since: datetime | None = None
    """Stored at or after."""
    until: datetime | None = None
    """Stored before."""
    min_probability: float | None = None
    max_probability: float | None = None


class Place(NamedTuple):
    """Where a page ended: the last decision on it."""

    decided_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class DecisionPage:
    """Some decisions, newest first, and where the next page begins (None = nowhere)."""

    rows: Sequence[DecisionTable]
    next: Place | None


@dataclass(frozen=True, slots=True)
class FullDecision:
    """A decision with what belongs to it."""

    decision: DecisionTable
    outcome: OutcomeTable | None
    """What the stream answered at its end, if it was a shadow and has ended."""
    version: DetectorVersionRow | None
    """The detector version that decided, with its certificate."""


def page(
    session: Session, which: DecisionFilter, *, after: Place | None = None, limit: int
) -> DecisionPage:
    """Return up to `limit` decisions that come after `after`; the trajectories are not read.

    Ordered by (decided_at, id), both falling. What was there when the first page was read is on
    exactly one page, whatever is stored meanwhile.
    """
    query = _matching(which)
    if after is not None:
        query = query.where(
            tuple_(DecisionTable.decided_at, DecisionTable.id)
            < tuple_(
                literal(after.decided_at, DecisionTable.decided_at.type),
                literal(after.id, DecisionTable.id.type),
            )
        )
    query = query.order_by(DecisionTable.decided_at.desc(), DecisionTable.id.desc())
    rows = session.scalars(query.limit(limit + 1)).all()
    if len(rows) <= limit:
        return DecisionPage(rows, None)
    last = rows[limit - 1]
    return DecisionPage(rows[:limit], Place(last.decided_at, last.id))


def get(session: Session, decision_id: UUID) -> FullDecision | None:
    """Return one decision with its outcome and the version that made it."""
    decision = session.get(DecisionTable, decision_id)
    if decision is None:
        return None
    episode = (decision.detector, decision.stream_id, decision.episode)
    return FullDecision(
        decision,
        session.get(OutcomeTable, episode),
        session.get(DetectorVersionRow, (decision.detector, decision.version)),
    )


def _matching(which: DecisionFilter) -> Select[DecisionTable]:
    row = DecisionTable
    conditions: list[ColumnElement[bool]] = []
    for name in ("detector", "version", "label", "stream_id", "reason"):
        value = getattr(which, name)
        if value is not None:
            conditions.append(getattr(row, name) == value)
    if which.since is not None:
        conditions.append(row.decided_at >= which.since)
    if which.until is not None:
        conditions.append(row.decided_at < which.until)
    if which.min_probability is not None:
        conditions.append(row.probability >= which.min_probability)
    if which.max_probability is not None:
        conditions.append(row.probability <= which.max_probability)
    return select(row).where(*conditions).options(defer(row.trajectory, raiseload=True))
