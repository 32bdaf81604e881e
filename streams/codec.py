"""Bytes to events: everything that can be said of a record without knowing its detector."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from streams.records import MAX_RECORD_BYTES, Event, Reason, Rejected, Tick

EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Record times outside are typing errors, and every database can hold those inside."""

_decoder = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()
_tick_decoder = msgspec.json.Decoder(Tick)
LONGEST_TICK = 128
"""Bytes."""


def decode(value: bytes | None) -> Event | Rejected:
    """Decode and check one record; never raises, whatever the bytes.

    >>> decode(b'{"stream_id": "a", "frames": [[1.0, 2.0]]}').frames
    [[1.0, 2.0]]
    >>> decode(b'{"stream_id": "a", "frames": [[NaN]]}').reason
    <Reason.MALFORMED: 'malformed_json'>
    >>> decode(b'{"stream_id": 7}').detail
    'Expected `str`, got `int` - at `$.stream_id`'
    """
    if not value:
        return Rejected(Reason.EMPTY, "the record has no value")
    if len(value) > MAX_RECORD_BYTES:
        return Rejected(Reason.TOO_LARGE, f"{len(value)} bytes; the limit is {MAX_RECORD_BYTES}")
    try:
        event = _decoder.decode(value)
    except msgspec.ValidationError as error:
        return Rejected(Reason.SCHEMA, without_values(error))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Rejected(Reason.MALFORMED, "not a JSON document in UTF-8")
    return refusal(event) or event


def refusal(event: Event) -> Rejected | None:
    """Return why an event that fits the schema cannot be used all the same; None if it can.

    >>> refusal(Event("a", text="hi")) is None
    True
    """
    if "\x00" in event.stream_id or (event.event_id is not None and "\x00" in event.event_id):
        return Rejected(Reason.NULL_BYTE, "an identifier holds a null byte")
    if event.modality is None and not event.end:
        return Rejected(Reason.NO_CONTENT, "neither content nor an end marker")
    if event.text is not None or event.measurements or event.scores:
        contents = (event.frames, event.text, event.measurements, event.scores)
        if sum(content is not None for content in contents) > 1:
            return Rejected(Reason.SEVERAL_CONTENTS, "one record holds one kind of content")
    if event.time is not None and not EARLIEST < event.time < LATEST:
        return Rejected(Reason.SCHEMA, f"a time before {EARLIEST:%Y} or after {LATEST:%Y}")
    return None


def decode_tick(value: bytes | None) -> datetime | None:
    """Return the time that a tick tells; None for whatever is no tick, a bad one too.

    Cheap for records: their text cannot hold what is looked for, for quotes are escaped there.

    >>> decode_tick(b'{"v": 1, "tick": "2026-11-22T09:30:10Z"}').isoformat()
    '2026-11-22T09:30:10+00:00'
    >>> decode_tick(b'{"stream_id": "a", "text": "tick"}') is None
    True
    """
    if value is None or len(value) > LONGEST_TICK or b'"tick"' not in value:
        return None
    try:
        time = _tick_decoder.decode(value).tick
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return time if EARLIEST < time < LATEST else None


def encode_tick(time: datetime) -> bytes:
    """Return the JSON of a tick.

    >>> decode_tick(encode_tick(EARLIEST + (LATEST - EARLIEST) / 2)) is None
    False
    """
    return _encoder.encode(Tick(time))


def encode(event: Event) -> bytes:
    """Return the JSON of an event.

    >>> decode(encode(Event("a", end=True))).end
    True
    """
    return _encoder.encode(event)


def without_values(error: msgspec.ValidationError) -> str:
    """Return msgspec's message unless it quotes what it got (unknown field, invalid literal)."""
    message = str(error)
    if "unknown field" in message or "nvalid" in message:
        where = message.rpartition(" - at ")[2] if " - at " in message else "`$`"
        kind = "unknown field" if "unknown field" in message else "invalid value"
        return f"{kind} - at {where}"
    return message
