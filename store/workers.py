"""Workers that live; all of a group must run the same detectors, else they refuse to start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, text, update

from store.errors import OtherDetectorsError
from store.instants import utc_now
from store.session import direct, transactor
from store.tables import WorkerRow

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

    from store.session import Transact

LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('tocsin-workers:' || :group, 0))")


def register(
    engine: Engine,
    worker_id: str,
    group: str,
    fingerprint: str,
    ttl_s: float,
    *,
    transact: Transact | None = None,
) -> None:
    """Enter a worker as alive; the rows of workers not heard of for `ttl_s` go.

    Parameters
    ----------
    worker_id
        Unique; entering it again replaces its row.
    fingerprint
        SHA-256 (hex) over the names and versions of its detectors.
    ttl_s
        How long a worker counts as alive after its last beat; beat at a third of that.

    Raises
    ------
    OtherDetectorsError
        If another live worker of the group has another fingerprint. Of two that enter at the same
        time, one is refused.
    """

    def job(connection: Connection) -> None:
        if engine.dialect.name == "postgresql":  # on SQLite a transaction that writes is alone
            connection.execute(LOCK, {"group": group})
        group_rows = WorkerRow.group_id == group
        connection.execute(
            delete(WorkerRow).where(group_rows, WorkerRow.seen_at < utc_now(-ttl_s))
        )
        connection.execute(delete(WorkerRow).where(WorkerRow.id == worker_id))
        other = select(WorkerRow.id).where(group_rows, WorkerRow.fingerprint != fingerprint)
        other_id = connection.execute(other.limit(1)).scalar_one_or_none()
        if other_id is not None:
            raise OtherDetectorsError(group, worker_id, other_id)
        row = {"id": worker_id, "group_id": group, "fingerprint": fingerprint}
        connection.execute(insert(WorkerRow).values(**row, seen_at=utc_now()))

    (transact or direct(engine))(job)


def beat(engine: Engine, worker_id: str, *, transact: Transact | None = None) -> bool:
    """Say that the worker lives.

    False if its row is gone: it was silent too long, and others may have entered with other
    detectors since. Call `register` again, and stop if that refuses.
    """
    statement = update(WorkerRow).where(WorkerRow.id == worker_id).values(seen_at=utc_now())
    rows = transactor(engine, transact)(lambda connection: connection.execute(statement).rowcount)
    return rows == 1


def forget(engine: Engine, worker_id: str, *, transact: Transact | None = None) -> None:
    """Take a worker out that ends in order."""
    statement = delete(WorkerRow).where(WorkerRow.id == worker_id)
    transactor(engine, transact)(lambda connection: connection.execute(statement).rowcount)
