"""Errors of the schema's revisions.

* SchemaError (of the store)
  - NewerSchemaError      the database was written by a newer Tocsin
"""

from __future__ import annotations

from store.errors import SchemaError, StoreError


class NewerSchemaError(SchemaError):
    """The database is of a revision that this version does not know; it was not touched."""

    def __init__(self, where: str, found: str, newest: str) -> None:
        StoreError.__init__(
            self,
            f"The database at {where} has schema revision {found}, which this version does not "
            f"know (its newest is {newest}): a newer Tocsin wrote it. Run that version or a later "
            "one; this one cannot use the database, and has changed nothing.",
        )
