"""Cursors: where a page ended, readable by nobody else and bound to its query."""

from __future__ import annotations

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence

import msgspec

from api.errors import Refused
from api.problems import Kind

_TAG_BYTES = 16
Filters = Mapping[str, str | float | None]


def seal(place: Sequence[str | int], listing: str, filters: Filters, pepper: bytes) -> str:
    """Return the cursor that continues `listing` with these filters after `place`."""
    payload = msgspec.json.encode(place)
    tag = _tag(payload, listing, filters, pepper)
    return urlsafe_b64encode(tag + payload).decode().rstrip("=")


def unseal(cursor: str, listing: str, filters: Filters, pepper: bytes) -> list[str | int]:
    """Return the place in a cursor; refuse one that `seal` did not make for this very query.

    >>> cursor = seal(["2026-11-22", 7], "letters", {"reason": None}, b"pepper")
    >>> unseal(cursor, "letters", {"reason": None}, b"pepper")
    ['2026-11-22', 7]
    >>> unseal(cursor, "letters", {"reason": "schema"}, b"pepper")
    Traceback (most recent call last):
    api.errors.Refused: ...
    """
    try:
        opened = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        opened = b""
    tag, payload = opened[:_TAG_BYTES], opened[_TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(payload, listing, filters, pepper)):
        raise Refused(
            Kind.BAD_CURSOR,
            "Pass `next_cursor` on as it came, with the same filters as on the page before; or "
            "leave the cursor out to start again.",
        )
    return msgspec.json.decode(payload, type=list[str | int])


def _tag(payload: bytes, listing: str, filters: Filters, pepper: bytes) -> bytes:
    bound = msgspec.json.encode(
        ["cursor", listing, sorted(filters.items()), payload.decode("latin-1")]
    )
    return hmac.digest(pepper, bound, "sha256")[:_TAG_BYTES]
