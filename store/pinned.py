"""Which detector versions the streams under way began with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from store.session import store_errors
from store.tables import PartitionRow, StateTable

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


def pinned_versions(engine: Engine, group: str) -> set[tuple[str, str]]:
    """Return (detector, version) of every stream of a group that has not ended."""
    query = (
        select(StateTable.detector, StateTable.version)
        .join(PartitionRow, PartitionRow.id == StateTable.partition_id)
        .where(PartitionRow.group_id == group, StateTable.phase != "ended")
        .distinct()
    )
    with store_errors(engine), engine.connect() as connection:
        return {(name, version) for name, version in connection.execute(query)}
