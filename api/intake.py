"""From a request body to what can be appended: pure, item by item."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import msgspec

from api.errors import Refused
from api.problems import Kind
from streams.codec import decode, encode
from streams.records import MAX_RECORD_BYTES, Reason, Rejected

MAX_ITEMS = 1000
"""Events or labels in one request."""
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])


class Ready(NamedTuple):
    """An event that can be appended."""

    stream_id: str
    event_id: str
    value: bytes


def split(body: bytes, many: str = "events") -> list[bytes | msgspec.Raw]:
    """Return the items of a body: one object, or ``{many: [...]}``.

    >>> len(split(b'{"stream_id": "a"}')), len(split(b'{"events": [1, {}]}'))
    (1, 2)
    """
    try:
        fields = _object.decode(body)
        if many not in fields:
            return [body]
        if len(fields) > 1:
            raise Refused(Kind.INVALID, f"A batch has the one field `{many}` and no other.")
        items = _items.decode(fields[many])
    except msgspec.ValidationError as error:
        wanted = f'one {many[:-1]} object, or {{"{many}": [...]}}'
        raise Refused(Kind.INVALID, f"The body is not {wanted}.") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refused(Kind.BAD_REQUEST, "The body is not a JSON document in UTF-8.") from error
    if not items:
        raise Refused(Kind.INVALID, f"`{many}` is empty; send at least one.")
    if len(items) > MAX_ITEMS:
        raise Refused(
            Kind.TOO_LARGE, f"{len(items)} {many}; send at most {MAX_ITEMS} in one request."
        )
    return list(items)


def examine(
    item: bytes | msgspec.Raw, known: Collection[str] | None, new_id: Callable[[], str]
) -> Ready | Rejected:
    """Return what to append for one item, with an event id, or why it cannot be used.

    `known` are the detectors that an event may name, None = any. An item that has its id is
    appended as it came.
    """
    value = bytes(item)
    event = decode(value)
    if isinstance(event, Rejected):
        return event
    if event.detector is not None and known is not None and event.detector not in known:
        names = ", ".join(sorted(known)) or "none"
        return Rejected(Reason.UNKNOWN_DETECTOR, f"no such detector serves; active: {names}")
    if event.event_id is None:
        event.event_id = new_id()
        value = encode(event)
        if len(value) > MAX_RECORD_BYTES:
            return Rejected(
                Reason.TOO_LARGE,
                f"{len(value)} bytes with its event_id; the limit is {MAX_RECORD_BYTES}",
            )
    return Ready(event.stream_id, event.event_id, value)
