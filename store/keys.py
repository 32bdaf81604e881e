"""API keys: ``tocsin_<prefix>_<secret>``; stored are the public prefix and a keyed hash.

Functions take an open connection and belong to its transaction. Whoever owns the writes calls
those that write: in the embedded service that is one thread.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, insert, or_, select, text, update

from store.pepper import check_pepper
from store.tables import ApiKeyRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from store.session import Transact

_PREFIX_ALPHABET = string.ascii_lowercase + string.digits
_PREFIX_LENGTH = 10
_SECRET_BYTES = 32
_FORM = re.compile(r"tocsin_([a-z0-9]{8,16})_([A-Za-z0-9_-]{43})")
_NO_PREFIX = "-"
"""No key has this prefix: a malformed key is looked up under it, and takes as long as any."""
_ADMIN_LOCK = 0x746F6373696E01
"""Number of the PostgreSQL advisory lock under which the first admin key is made."""

TOUCH_INTERVAL = timedelta(minutes=1)
"""A key's last use is written at most this often."""


class Scope(StrEnum):
    """What a key may do; `ADMIN` may do everything."""

    EVENTS_WRITE = "events:write"
    DECISIONS_READ = "decisions:read"
    LABELS_WRITE = "labels:write"
    METRICS_READ = "metrics:read"
    ADMIN = "admin"


class Refusal(StrEnum):
    """Why a presented key does not open anything."""

    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it may be shown: all but the secret."""

    prefix: str
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def allows(self, scope: Scope) -> bool:
        """Return whether the key's scopes cover `scope`."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def refusal(self, now: datetime) -> Refusal | None:
        """Return why the key cannot be used any more, None if it can."""
        if self.revoked_at is not None:
            return Refusal.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return Refusal.EXPIRED
        return None

    def touch_due(self, now: datetime) -> bool:
        """Return whether `touch` would write."""
        return self.last_used_at is None or self.last_used_at <= now - TOUCH_INTERVAL


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key just made; `plaintext` is shown once and then gone."""

    key: Key
    plaintext: str = field(repr=False)


def create(
    connection: Connection,
    *,
    name: str,
    scopes: Iterable[Scope],
    pepper: bytes,
    now: datetime,
    expires_at: datetime | None = None,
) -> IssuedKey:
    """Make and store a key; the only moment at which its secret is known.

    Raises PepperMismatchError if the keys that there are were made under another pepper.
    """
    check_pepper(connection, pepper)
    prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(_PREFIX_LENGTH))
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    key = Key(prefix, name, frozenset(scopes), now, expires_at, None, None)
    connection.execute(
        insert(ApiKeyRow).values(
            prefix=prefix,
            digest=_digest(secret, pepper),
            name=name,
            scopes=sorted(key.scopes),
            created_at=now,
            expires_at=expires_at,
        )
    )
    return IssuedKey(key, f"tocsin_{prefix}_{secret}")


def verify(connection: Connection, presented: str, pepper: bytes, now: datetime) -> Key | Refusal:
    """Return the key that `presented` is, or why it opens nothing. Writes nothing.

    One query, one hash and one constant-time comparison, whatever was presented. That a key is
    revoked or expired is told only to who knows its secret.
    """
    prefix, secret = _parts(presented)
    row = connection.execute(_COLUMNS.where(ApiKeyRow.prefix == prefix)).one_or_none()
    stored = bytes(row.digest) if row is not None else bytes(32)
    same = hmac.compare_digest(stored, _digest(secret, pepper))
    if row is None or not same:
        return Refusal.UNKNOWN
    key = _key(row)
    return key.refusal(now) or key


def touch(connection: Connection, prefix: str, now: datetime) -> None:
    """Note that a key was used, unless that was noted less than `TOUCH_INTERVAL` ago."""
    used = ApiKeyRow.last_used_at
    connection.execute(
        update(ApiKeyRow)
        .where(ApiKeyRow.prefix == prefix, or_(used.is_(None), used <= now - TOUCH_INTERVAL))
        .values(last_used_at=now)
    )


def revoke(connection: Connection, prefix: str, now: datetime) -> bool:
    """Revoke a key for good; return False if there is none. A second time changes nothing."""
    found = connection.execute(_COLUMNS.where(ApiKeyRow.prefix == prefix)).one_or_none()
    connection.execute(
        update(ApiKeyRow)
        .where(ApiKeyRow.prefix == prefix, ApiKeyRow.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    return found is not None


def listed(connection: Connection) -> list[Key]:
    """Return all keys, revoked and expired ones too, oldest first."""
    rows = connection.execute(_COLUMNS.order_by(ApiKeyRow.created_at, ApiKeyRow.prefix))
    return [_key(row) for row in rows]


def ensure_admin(
    transact: Transact,
    *,
    pepper: bytes,
    now: datetime,
    keep: Callable[[str], None] | None = None,
) -> IssuedKey | None:
    """Make the first admin key; return None if there ever was one.

    However many processes start at once, one of them makes it. A revoked admin key counts too:
    a restart must not bring back what was taken away.

    Parameters
    ----------
    keep
        Called with the plaintext before the key is committed, to put it into a file. If it
        raises, no key was made, and the next start tries again: none is lost.

    Raises
    ------
    PepperMismatchError
        If the keys that there are were made under another pepper.
    """

    def job(connection: Connection) -> IssuedKey | None:
        if connection.dialect.name == "postgresql":  # on SQLite a transaction that writes is alone
            lock = text("SELECT pg_advisory_xact_lock(:number)")
            connection.execute(lock, {"number": _ADMIN_LOCK})
        check_pepper(connection, pepper)
        if any(Scope.ADMIN in key.scopes for key in listed(connection)):
            return None
        issued = create(
            connection, name="first admin key", scopes=[Scope.ADMIN], pepper=pepper, now=now
        )
        if keep is not None:
            keep(issued.plaintext)
        return issued

    return transact(job)


def _parts(presented: str) -> tuple[str, str]:
    match = _FORM.fullmatch(presented)
    return (match[1], match[2]) if match else (_NO_PREFIX, "")


def _digest(secret: str, pepper: bytes) -> bytes:
    return hmac.digest(pepper, secret.encode(), "sha256")


_COLUMNS = select(*ApiKeyRow.__table__.columns)


def _key(row: Row[Any]) -> Key:
    known = {scope.value for scope in Scope}
    return Key(
        prefix=row.prefix,
        name=row.name,
        scopes=frozenset(Scope(name) for name in row.scopes if name in known),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
