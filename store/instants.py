"""Instants: always with a zone, stored in UTC, and "now" always by the database's own clock.

SQLite has no type for a time: it is kept there as text of one fixed width with microseconds, so
that the order of the texts is the order of the times (keyset cursors rely on it).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import DateTime, Float, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from store.errors import NaiveInstantError

if TYPE_CHECKING:
    from sqlalchemy import Dialect
    from sqlalchemy.sql.compiler import SQLCompiler


class Instant(TypeDecorator[datetime]):
    """A point in time. SQLite keeps no zone, so it gets UTC and is read as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return `value` in UTC; raises NaiveInstantError if it has no zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise NaiveInstantError(value)
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return `value` in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class utc_now(FunctionElement[datetime]):  # noqa: N801  # reads as the SQL function it is
    """The database's clock, plus `shift_s` seconds, in the form in which `Instant` is stored.

    PostgreSQL: `clock_timestamp`, which goes on within a transaction (a lease cares). SQLite: its
    ``now``, of millisecond resolution.
    """

    type = Instant()
    inherit_cache = True

    def __init__(self, shift_s: float | None = None) -> None:
        super().__init__(*(() if shift_s is None else (literal(float(shift_s), Float),)))


@compiles(utc_now)
def _everywhere(element: utc_now, compiler: SQLCompiler, **kw: object) -> str:
    shift = compiler.process(element.clauses, **kw)
    return (
        f"(clock_timestamp() + make_interval(secs => {shift}))" if shift else "clock_timestamp()"
    )


@compiles(utc_now, "sqlite")
def _sqlite(element: utc_now, compiler: SQLCompiler, **kw: object) -> str:
    shift = compiler.process(element.clauses, **kw)
    modifier = f", printf('%+f seconds', {shift})" if shift else ""
    return f"(strftime('%Y-%m-%d %H:%M:%f000', 'now'{modifier}))"
