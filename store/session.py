"""Connecting to the store, and what a transaction that writes looks like.

One engine a process, made by `connect`. Reads use it as any SQLAlchemy engine. Writes go through
`writing`, or through a `Transact` that is handed in: on SQLite one thread owns all writes
(`store.writer`), on PostgreSQL each caller has a connection of its own.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
import psycopg
from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from store.errors import (
    NoStoreError,
    NotAStoreError,
    SchemaError,
    StoreUnavailableError,
    StoreUrlError,
)
from store.tables import REVISION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection, Engine

T = TypeVar("T")

BUSY_TIMEOUT_S = 10
"""How long SQLite waits for another writer."""
CONNECT_TIMEOUT_S = 5
SILENCE_TIMEOUT_S = 30
"""After so long without an acknowledgement from PostgreSQL's machine the connection is lost."""
HIDE_PARAMETERS = True
"""Errors name the statement, not its values: those may be what people wrote, or a key's hash."""
SQLITE_LEAST = (3, 35, 0)
"""First version with RETURNING."""
_NO_DATABASE = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}


class Transact(Protocol):
    """Runs a job in one transaction that writes, commits it, and returns the job's answer.

    If the job raises, nothing that it did stays, and its exception comes out.
    """

    def __call__(self, job: Callable[[Connection], T], /) -> T:
        """Run `job`; its answer is durable when this returns."""
        ...


def connect(url: str, *, create: bool = True) -> Engine:
    """Return an engine for PostgreSQL (psycopg 3) or SQLite, after one successful round trip.

    An SQLite file and its folder are made if need be, readable by their owner only; with
    `create` false they must be there, and an empty file stays empty. The schema is not looked at:
    see `require_schema`.

    Raises
    ------
    StoreUrlError
        If the URL is not one of PostgreSQL or of an SQLite file.
    StoreUnavailableError
        If the database does not answer; the message never holds the password. NoStoreError if
        there is no SQLite file and none may be made, NotAStoreError if the file is no database.
    """
    parsed = _parse(url)
    engine = (
        _sqlite(parsed, create) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)
    )
    with store_errors(engine), engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return engine


def require_schema(engine: Engine) -> None:
    """Raise SchemaError unless the tables are of the revision that this code works with."""
    with store_errors(engine), engine.connect() as connection:
        found: str | None = None
        if inspect(connection).has_table("alembic_version"):
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found != REVISION:
        raise SchemaError(place(engine), found, REVISION)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give a connection inside a transaction that writes; commit at the end of the block.

    On SQLite it is a BEGIN IMMEDIATE: the write lock is taken at once, waiting for it if need be,
    so that a transaction that first reads and then writes cannot fail half-way.
    """
    options = engine.execution_options(tocsin_writes=True)
    with store_errors(engine), options.begin() as connection:
        yield connection


def direct(engine: Engine) -> Transact:
    """Return a `Transact` with a transaction of its own for each job, in the caller's thread."""

    def transact(job: Callable[[Connection], T], /) -> T:
        with writing(engine) as connection:
            return job(connection)

    return transact


def one_statement(engine: Engine) -> Transact:
    """Return a `Transact` in autocommit mode, for jobs of one statement; on SQLite only reads.

    The database begins and ends the transaction by itself, so a process that is stopped at any
    instant holds no lock.
    """
    # SQLite begins by itself too, but there we have taken the beginning over: see _begin_sqlite
    postgres = engine.dialect.name == "postgresql"
    options = engine.execution_options(isolation_level="AUTOCOMMIT") if postgres else engine

    def transact(job: Callable[[Connection], T], /) -> T:
        with store_errors(engine), options.connect() as connection:
            try:
                return job(connection)
            except psycopg.OperationalError:
                # raised by the driver itself, so SQLAlchemy has not seen the connection break
                if _is_broken(connection):
                    connection.invalidate()
                    engine.dispose()
                raise

    return transact


def transactor(engine: Engine, transact: Transact | None = None) -> Transact:
    """Return how jobs of one statement are run: on PostgreSQL, or by default, each by itself.

    `transact` is for SQLite, where one thread owns all writes.
    """
    if engine.dialect.name == "postgresql":
        return one_statement(engine)
    return transact or direct(engine)


@contextmanager
def store_errors(engine: Engine) -> Iterator[None]:
    """Turn the loss of the database within the block into StoreUnavailableError."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise unavailable(engine, error) from error
    except psycopg.errors.DeadlockDetected:
        raise
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise unavailable(engine, error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise unavailable(engine, error) from error
        if getattr(error.orig, "sqlite_errorcode", None) in _NO_DATABASE:
            raise NotAStoreError(place(engine), str(error.orig)) from error
        raise


def unavailable(engine: Engine, error: Exception) -> StoreUnavailableError:
    """Return the error to raise for a lost database, with its first line and no password."""
    cause = getattr(error, "orig", None) or error
    trouble = (str(cause).strip() or type(cause).__name__).splitlines()[0]
    password = engine.url.password
    if password:
        trouble = trouble.replace(str(password), "***")
    return StoreUnavailableError(place(engine), trouble.rstrip(".:; "))


def place(engine: Engine) -> str:
    """Name the database for people: ``host:port/database`` or the file's path."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = url.host or url.query.get("host") or "the local socket"
    return f"{host}:{url.port or 5432}/{url.database or url.username}"


def sqlite_path(engine: Engine) -> Path | None:
    """Return the file of an SQLite engine, None for PostgreSQL."""
    return Path(str(engine.url.database)) if engine.dialect.name == "sqlite" else None


def _is_broken(connection: Connection) -> bool:
    raw = connection.connection.driver_connection
    return isinstance(raw, psycopg.Connection) and raw.broken


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # the text may hold a password anywhere: show none of it
        raise StoreUrlError("...", "it is not of the form dialect://...") from None
    shown = parsed.render_as_string(hide_password=True)
    if parsed.drivername in {"postgresql", "postgresql+psycopg"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise StoreUrlError(shown, f"{parsed.drivername!r} is neither PostgreSQL nor SQLite")
    if parsed.database in {None, "", ":memory:"} or str(parsed.database).startswith("file:"):
        raise StoreUrlError(shown, "an SQLite store needs a plain file")
    if sqlite3.sqlite_version_info < SQLITE_LEAST:
        raise StoreUrlError(shown, f"SQLite {sqlite3.sqlite_version} is too old, 3.35 is needed")
    return parsed


def _postgresql(url: URL) -> Engine:
    defaults: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "tcp_user_timeout": SILENCE_TIMEOUT_S * 1000,
        "application_name": "tocsin",
    }
    return create_engine(
        url,
        connect_args={name: v for name, v in defaults.items() if name not in url.query},
        pool_pre_ping=True,
        json_serializer=_to_json,
        hide_parameters=HIDE_PARAMETERS,
    )


def _sqlite(url: URL, create: bool) -> Engine:
    path = Path(str(url.database))
    engine = create_engine(url, json_serializer=_to_json, hide_parameters=HIDE_PARAMETERS)
    try:
        if create:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # the write-ahead files that SQLite puts beside it get the same mode
        os.close(os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600))
    except FileNotFoundError as error:
        raise NoStoreError(path) from error
    except OSError as error:
        raise StoreUnavailableError(str(path), error.strerror or str(error)) from error
    event.listen(engine, "connect", _set_up_sqlite)
    if create:
        event.listen(engine, "connect", _write_ahead)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves, see _begin_sqlite
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_S * 1000}",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _write_ahead(connection: sqlite3.Connection, _record: object) -> None:
    # kept in the file, so said only by whoever may make it: it would write into an empty one
    connection.execute("PRAGMA journal_mode = WAL").close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("tocsin_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _to_json(value: Any) -> str:  # noqa: ANN401  # whatever JSON can hold
    """Encode for a JSON column; NaN and infinities become null, which both databases take."""
    return msgspec.json.encode(value).decode()
