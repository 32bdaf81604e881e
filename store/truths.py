"""Which label counts for which decision.

A label is *about* a decision if it names that stream, that detector or (naming none) a label that
the detector knows, and that episode, or none. Of a stream's episodes, one that names none means

* the latest that was decided by the label's own time, in the time of the records where they carry
  one; without a time of its own, by the time it was received here;
* where none was decided by then, the first that was decided afterwards.

Of several labels about one decision the one with the newest time counts (its own, else that of
its receipt), then the one received last. The others stay, and show as contradicted if they differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import and_, case, func, literal, or_, select, true

from store.tables import DecisionTable, DetectorClassRow, LabelTable

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, ScalarSelect, Select, Subquery

T = TypeVar("T")

CARRIED = (
    "detector", "version", "stream_id", "episode", "label", "halt_step", "shadow", "decided_at",
)  # fmt: skip
"""What is told of a labelled decision."""


def is_about() -> ColumnElement[bool]:
    """Return whether a label may be about a decision; the episode apart, if it names none."""
    known = select(literal(1)).where(
        DetectorClassRow.detector == DecisionTable.detector,
        DetectorClassRow.label == LabelTable.label,
    )
    # of the label and the decision asked about, however deep in a query this stands
    knows = looked_up(known.correlate(DecisionTable, LabelTable)).is_not(None)
    return and_(
        LabelTable.stream_id == DecisionTable.stream_id,
        # so written that no index is used for it: the labels of one stream are few
        func.coalesce(LabelTable.detector, DecisionTable.detector) == DecisionTable.detector,
        or_(LabelTable.detector.is_not(None), knows),
        or_(LabelTable.episode.is_(None), LabelTable.episode == DecisionTable.episode),
    )


def is_matched() -> ColumnElement[bool]:
    """Return whether there is a decision that a label is about."""
    found = select(literal(1)).select_from(DecisionTable).where(is_about())
    return looked_up(found.correlate(LabelTable)).is_not(None)


def looked_up(query: Select[T]) -> ScalarSelect[T]:
    """Return the first value of `query`, looked up by index for each row that asks.

    The limit keeps PostgreSQL from making a join of it, which for a few labels would read whole
    tables, and without statistics would compare every row with every other.
    """
    return query.limit(1).scalar_subquery()


def truths(detector: str) -> Subquery:
    """Return the labelled decisions of a detector, each with the truth about it.

    Columns ``truth`` and ``contradicted`` (whether other labels say otherwise), and `CARRIED` of
    the decision itself: joining it again would take SQLite a scan for each.
    """
    said = meant(detector)
    decision, label = said.c.decision_id, said.c.said
    least = func.min(label).over(partition_by=decision)
    largest = func.max(label).over(partition_by=decision)
    newest = [said.c.moment.desc(), said.c.received_at.desc(), said.c.id.desc()]
    carried = [said.c[name] for name in CARRIED]
    ranked = (
        select(
            *carried,
            label.label("truth"),
            (least != largest).label("contradicted"),
            func.row_number().over(partition_by=decision, order_by=newest).label("standing"),
        )
        .where(said.c.nearness == 1)
        .subquery("ranked")
    )
    kept = [column for column in ranked.c if column.name != "standing"]
    return select(*kept).where(ranked.c.standing == 1).subquery("truths")


def meant(detector: str, streams: Collection[str] | None = None) -> Subquery:
    """Return each label with each decision that it may be about; the one meant has nearness 1.

    `streams`: only labels about these.
    """
    among = true() if streams is None else LabelTable.stream_id.in_(streams)
    moment = func.coalesce(LabelTable.labelled_at, LabelTable.received_at)
    # a label without a time of its own is placed by its receipt, so by the store's own clock
    decided = case(
        (LabelTable.labelled_at.is_(None), DecisionTable.decided_at),
        else_=func.coalesce(DecisionTable.event_time, DecisionTable.decided_at),
    )
    nearest = [
        case((decided <= moment, 0), else_=1),
        case((decided <= moment, decided)).desc(),
        case((decided > moment, decided)),
        DecisionTable.id,
    ]
    return (
        select(
            LabelTable.id,
            LabelTable.label.label("said"),
            LabelTable.received_at,
            moment.label("moment"),
            DecisionTable.id.label("decision_id"),
            *(getattr(DecisionTable, name) for name in CARRIED),
            func.row_number().over(partition_by=LabelTable.id, order_by=nearest).label("nearness"),
        )
        .join(DecisionTable, is_about())
        .where(DecisionTable.detector == detector, among)
        .subquery("meant")
    )
