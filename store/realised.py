"""What became of a detector's decisions, counted; what the counts mean is said elsewhere."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import case, func, select

from store.tables import DecisionTable, OutcomeTable
from store.truths import looked_up, truths

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session


class Cell(NamedTuple):
    """Decisions that have all of this in common."""

    version: str
    decided: str
    """The label that was answered."""
    truth: str | None
    """The label that counts, see `store.truths`; None = there is none."""
    contradicted: bool
    shadow: bool
    late: str | None
    """The late answer of a labelled one; None = no shadow stream, or one that has not ended."""
    halt_step: int | None
    """Told where the late answer is, as is `stopped_early`."""
    stopped_early: bool | None
    """Whether the stream went on after the decision."""
    n: int


def cells(
    session: Session, detector: str, *, version: str | None = None, since: datetime | None = None
) -> list[Cell]:
    """Count the decisions of a detector, those stored at or after `since`.

    It reads all labels about the detector's streams; see `bench.labels` for what that takes.
    """
    chosen = _Chosen(detector, version, since)
    found = _labelled(session, chosen)
    labelled: Counter[tuple[str, str, bool]] = Counter()
    for cell in found:
        labelled[cell.version, cell.decided, cell.shadow] += cell.n
    # counted last: what was stored meanwhile can only add to the unlabelled ones
    for kind, n in _all(session, chosen).items():
        if n > labelled[kind]:
            decided_by, decided, shadow = kind
            found.append(
                Cell(
                    version=decided_by,
                    decided=decided,
                    truth=None,
                    contradicted=False,
                    shadow=shadow,
                    late=None,
                    halt_step=None,
                    stopped_early=None,
                    n=n - labelled[kind],
                )
            )
    return found


class _Chosen(NamedTuple):
    """Which decisions."""

    detector: str
    version: str | None
    since: datetime | None

    def among(self, columns: Any) -> list[ColumnElement[bool]]:  # noqa: ANN401  # a table's or a subquery's
        """Return the conditions on the columns of decisions."""
        conditions: list[ColumnElement[bool]] = [columns.detector == self.detector]
        if self.version is not None:
            conditions.append(columns.version == self.version)
        if self.since is not None:
            conditions.append(columns.decided_at >= self.since)
        return conditions


def _labelled(session: Session, chosen: _Chosen) -> list[Cell]:
    of, outcome = truths(chosen.detector).c, OutcomeTable
    its = (
        outcome.detector == of.detector,
        outcome.stream_id == of.stream_id,
        outcome.episode == of.episode,
    )
    each = (
        select(
            of.version,
            of.label,
            of.truth,
            of.contradicted,
            of.shadow,
            of.halt_step,
            looked_up(select(outcome.late_label).where(*its)).label("late"),
            looked_up(select(outcome.length).where(*its)).label("length"),
        )
        .where(*chosen.among(of))
        .subquery("each")
        .c
    )
    kind = (
        each.version,
        each.label,
        each.truth,
        each.contradicted,
        each.shadow,
        each.late,
        case((each.late.is_not(None), each.halt_step)),
        each.length > each.halt_step,
    )
    query = select(*kind, func.count()).group_by(*kind)
    # SQLite's truth values are numbers
    return [
        Cell(
            version=row[0],
            decided=row[1],
            truth=row[2],
            contradicted=bool(row[3]),
            shadow=row[4],
            late=row[5],
            halt_step=row[6],
            stopped_early=None if row[7] is None else bool(row[7]),
            n=row[8],
        )
        for row in session.execute(query)
    ]


def _all(session: Session, chosen: _Chosen) -> dict[tuple[str, str, bool], int]:
    kind = (DecisionTable.version, DecisionTable.label, DecisionTable.shadow)
    query = select(*kind, func.count()).where(*chosen.among(DecisionTable)).group_by(*kind)
    return {(row[0], row[1], row[2]): row[3] for row in session.execute(query)}
