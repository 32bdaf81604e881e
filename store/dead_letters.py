"""Reading dead letters: where and why, never the payload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from store.tables import DeadLetterTable, PartitionRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be used."""

    id: int
    topic: str
    partition: int
    offset: int
    detector: str | None
    """None where the record was unusable for every detector."""
    reason: str
    detail: str
    failed_at: datetime


def page(
    session: Session,
    *,
    reason: str | None = None,
    detector: str | None = None,
    before: int | None = None,
    limit: int,
) -> Sequence[DeadLetter]:
    """Return up to `limit` dead letters with ids below `before`, the newest first."""
    letter = DeadLetterTable
    query = (
        select(
            letter.id,
            PartitionRow.topic,
            PartitionRow.partition,
            letter.record_offset,
            letter.detector,
            letter.reason,
            letter.detail,
            letter.failed_at,
        )
        .join(PartitionRow, PartitionRow.id == letter.partition_id)
        .order_by(letter.id.desc())
        .limit(limit)
    )
    if reason is not None:
        query = query.where(letter.reason == reason)
    if detector is not None:
        query = query.where(letter.detector == detector)
    if before is not None:
        query = query.where(letter.id < before)
    return [
        DeadLetter(
            id=row.id,
            topic=row.topic,
            partition=row.partition,
            offset=row.record_offset,
            detector=row.detector or None,
            reason=row.reason,
            detail=row.detail,
            failed_at=row.failed_at,
        )
        for row in session.execute(query)
    ]
