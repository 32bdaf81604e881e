"""Health check of a worker's container: exit code 0 if the worker on this host lives.

A worker listens on no port. It beats in the store every few seconds, from the thread that does
the work, so a fresh beat says that it runs, is not stuck, and reaches the database. One that reads
several topics has a process and a group for each, and is well if every one of them is.

A container has a host name of its own; workers that share a host vouch for one another.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from cli.errors import CommandError
from cli.settings import Settings
from cli.worker import ALIVE_S
from store.errors import StoreError
from store.instants import utc_now
from store.session import connect, store_errors
from store.tables import WorkerRow

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


def groups(engine: Engine, host: str) -> dict[str, bool]:
    """Return the groups that workers on `host` entered, and whether one of each beat lately."""
    lately = func.max(WorkerRow.seen_at) > utc_now(-ALIVE_S)
    here = WorkerRow.id.startswith(f"{host[:30]}-", autoescape=True)
    found = select(WorkerRow.group_id, lately).where(here).group_by(WorkerRow.group_id)
    with store_errors(engine), engine.connect() as connection:
        return {group: bool(fresh) for group, fresh in connection.execute(found)}


def trouble() -> str | None:
    """Return None if the worker on this host lives, else why not."""
    host = socket.gethostname()
    try:
        found = groups(connect(Settings().resolved_store_url(), create=False), host)
    except (StoreError, CommandError) as error:
        return str(error)
    silent = sorted(group for group, fresh in found.items() if not fresh)
    if silent or not found:
        of = f" of {', '.join(silent)}" if silent else ""
        return f"no worker{of} on {host} beat within {ALIVE_S} s"
    return None


if __name__ == "__main__":
    sys.exit(trouble())
