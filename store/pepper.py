"""The pepper, known again: keys made under another one would silently open nothing."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from sqlalchemy import exists, select, text, update

from store.errors import PepperMismatchError
from store.tables import ApiKeyRow, PepperMarkRow

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_WORDS = b"the pepper of this store"
"""No secret of a key holds a blank, so no key's digest tells this one."""


def check_pepper(connection: Connection, pepper: bytes) -> None:
    """Raise PepperMismatchError unless the keys in the store were made under `pepper`.

    The first pepper is remembered, as an HMAC of a constant. Another takes its place once every
    key is revoked: then there is nothing left that needs the old one.
    """
    mark = hmac.digest(pepper, _WORDS, "sha256")
    first = text("INSERT INTO pepper_marks (id, mark) VALUES (1, :mark) ON CONFLICT DO NOTHING")
    connection.execute(first, {"mark": mark})
    stored = connection.execute(select(PepperMarkRow.mark)).scalar_one()
    if hmac.compare_digest(bytes(stored), mark):
        return
    if connection.execute(select(exists().where(ApiKeyRow.revoked_at.is_(None)))).scalar():
        raise PepperMismatchError
    connection.execute(update(PepperMarkRow).values(mark=mark))
