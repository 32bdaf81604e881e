"""The outbox: decisions that the broker has not acknowledged yet.

A row is written by the very commit that stores its decision, and goes once the decision was
published; so each decision is published at least once. One process at a time publishes for a
group, under `lease`; consumers tell repetitions by the decision's id.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select

from store.leases import Lease
from store.rows import NewDecision
from store.session import store_errors, transactor
from store.tables import DecisionTable, OutboxRow

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.engine import Engine

    from store.session import Transact

FIELDS = [field.name for field in fields(NewDecision)]


@dataclass(frozen=True, slots=True)
class PendingDecision:
    """A decision to publish."""

    outbox_id: int
    """Hand it to `Outbox.discard` once the broker has acknowledged."""
    decided_at: datetime
    decision: NewDecision


class Outbox:
    """What a group has to publish."""

    def __init__(self, engine: Engine, group: str, *, transact: Transact | None = None) -> None:
        self.group = group
        self._engine = engine
        self._transact = transactor(engine, transact)

    def lease(self, holder: str, ttl_s: float) -> Lease:
        """Return the lease under which `holder` may publish; not taken yet."""
        name = f"outbox:{self.group}"
        return Lease(self._engine, name, holder, ttl_s, transact=self._transact)

    def pending(self, limit: int) -> list[PendingDecision]:
        """Return up to `limit` decisions to publish, in the order of their outbox rows.

        Rows of two commits that overlap in time may become visible out of this order: publish what
        is there and discard by id, never "all up to".
        """
        columns = [getattr(DecisionTable, name) for name in FIELDS]
        query = (
            select(OutboxRow.id, DecisionTable.decided_at, *columns)
            .join(DecisionTable, DecisionTable.id == OutboxRow.decision_id)
            .where(OutboxRow.group_id == self.group)
            .order_by(OutboxRow.id)
            .limit(limit)
        )
        with store_errors(self._engine), self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [PendingDecision(row[0], row[1], NewDecision(*row[2:])) for row in rows]

    def discard(self, ids: Collection[int]) -> None:
        """Forget the rows of published decisions; those that are gone already are no error."""
        if ids:
            statement = delete(OutboxRow).where(
                OutboxRow.id.in_(list(ids)), OutboxRow.group_id == self.group
            )
            self._transact(lambda connection: connection.execute(statement).rowcount)

    def clear(self) -> None:
        """Forget all rows: nobody publishes the decisions of this group."""
        statement = delete(OutboxRow).where(OutboxRow.group_id == self.group)
        self._transact(lambda connection: connection.execute(statement).rowcount)

    def size(self) -> int:
        """Return how many decisions wait to be published."""
        query = select(func.count()).where(OutboxRow.group_id == self.group)
        with store_errors(self._engine), self._engine.connect() as connection:
            return connection.execute(query).scalar_one()
