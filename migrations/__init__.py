"""Schema revisions, applied in code: no ini file, no working directory, no environment script.

A new revision is a file in `versions`, written by hand; `difference` says what is still missing
from it, and a test holds it to be empty on both databases.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from migrations.errors import NewerSchemaError
from store.session import place, store_errors, writing
from store.tables import Base

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection, Engine

UPGRADE_LOCK = 0x746F6373696E
"""Advisory lock of PostgreSQL under which a schema changes ("tocsin" in ASCII)."""


def head() -> str:
    """Return the newest revision."""
    revision = _script().get_current_head()
    assert revision is not None  # noqa: S101  # there is always a first revision
    return revision


def current(engine: Engine) -> str | None:
    """Return the database's revision, None if it has no tables of ours."""
    with store_errors(engine), engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up to `revision`, in one transaction; does nothing if it is there.

    Several processes may do so at once: the second waits and then finds nothing to do.

    Raises
    ------
    NewerSchemaError
        The database is of a revision that this code does not know; nothing was changed.
    """
    script = _script()
    _run(engine, lambda found, _context: script._upgrade_revs(revision, found))  # noqa: SLF001


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back to `revision` (``base``: nothing left), with what its tables hold.

    Raises
    ------
    NewerSchemaError
        As `upgrade`.
    """
    script = _script()
    _run(engine, lambda found, _context: script._downgrade_revs(revision, found))  # noqa: SLF001


def difference(engine: Engine) -> list[Any]:
    """Return what differs between the database's schema and `store.tables`, as Alembic sees it."""
    with store_errors(engine), engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))


def _script() -> ScriptDirectory:
    folder = Path(__file__).parent
    return ScriptDirectory(str(folder), version_locations=[str(folder / "versions")])


def _run(engine: Engine, steps: Callable[[Any, Any], Any]) -> None:
    if engine.dialect.name == "sqlite":
        _run_on_sqlite(engine, steps)
        return
    with writing(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        _run_steps(connection, steps)


def _run_on_sqlite(engine: Engine, steps: Callable[[Any, Any], Any]) -> None:
    # Batch operations rebuild a table, which must not cascade into the tables that refer to it;
    # foreign keys can be switched off outside a transaction only.
    with store_errors(engine), engine.connect() as plain:
        connection = plain.execution_options(tocsin_writes=True)
        raw = connection.connection.driver_connection
        assert raw is not None  # noqa: S101  # the connection was opened just now
        raw.execute("PRAGMA foreign_keys = OFF").close()
        try:
            with connection.begin():
                _run_steps(connection, steps)
        finally:
            raw.execute("PRAGMA foreign_keys = ON").close()


def _run_steps(connection: Connection, steps: Callable[[Any, Any], Any]) -> None:
    script = _script()
    known = {revision.revision for revision in script.walk_revisions()}

    def checked(found: tuple[str, ...], context: object) -> Any:  # noqa: ANN401  # Alembic's own
        # Within the lock: another process may have upgraded while this one waited.
        if strangers := set(found) - known:
            raise NewerSchemaError(place(connection.engine), min(strangers), head())
        return steps(found, context)

    with EnvironmentContext(Config(), script, fn=checked) as environment:
        environment.configure(
            connection=connection, target_metadata=Base.metadata, render_as_batch=True
        )
        environment.run_migrations()
