"""Leases: a job that one process at a time may do, by the database's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, or_
from sqlalchemy.dialects import postgresql, sqlite

from store.instants import utc_now
from store.session import transactor
from store.tables import LeaseRow

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

    from store.session import Transact


class Lease:
    """The right to do a named job until it expires; taken again, it is renewed.

    A holder that was stopped and wakes may go on for a moment after its lease has passed to
    another. So a lease keeps work from being done twice all the time, never for certain: what is
    done under it must bear a repetition.

    Parameters
    ----------
    name
        Of the job, for example ``outbox:tocsin``.
    holder
        Of the process; unique.
    ttl_s
        How long the lease lasts without being renewed; renew it at a third of that.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        holder: str,
        ttl_s: float,
        *,
        transact: Transact | None = None,
    ) -> None:
        self.name = name
        self.holder = holder
        self.ttl_s = ttl_s
        self._insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
        self._transact = transactor(engine, transact)

    def take(self) -> bool:
        """Take or renew the lease; False while another holds it."""
        proposal = self._insert(LeaseRow).values(
            name=self.name, holder=self.holder, expires_at=utc_now(self.ttl_s)
        )
        statement = proposal.on_conflict_do_update(
            index_elements=[LeaseRow.name],
            set_={"holder": self.holder, "expires_at": utc_now(self.ttl_s)},
            where=or_(LeaseRow.holder == self.holder, LeaseRow.expires_at <= utc_now()),
        ).returning(LeaseRow.holder)

        def job(connection: Connection) -> bool:
            return connection.execute(statement).first() is not None

        return self._transact(job)

    def release(self) -> None:
        """Give the lease back if it is ours; the next one need not wait for its end."""
        statement = delete(LeaseRow).where(
            LeaseRow.name == self.name, LeaseRow.holder == self.holder
        )
        self._transact(lambda connection: connection.execute(statement).rowcount)
