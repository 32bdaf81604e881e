"""Reading what is known of one stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from store.tables import StateTable

if TYPE_CHECKING:
    from collections.abc import Sequence


def states(session: Session, stream_id: str) -> Sequence[StateTable]:
    """Return the stream's state under each detector, without the encoded arrays."""
    query = (
        select(StateTable)
        .where(StateTable.stream_id == stream_id)
        .order_by(StateTable.detector, StateTable.partition_id)
        .options(defer(StateTable.data, raiseload=True))
    )
    return session.scalars(query).all()
