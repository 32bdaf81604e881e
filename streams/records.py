"""The record: what one Kafka message or one API item holds, and the reasons to refuse one.

Schema 1, as JSON::

    {
        "v": 1,
        "stream_id": "pen-17",
        "event_id": "pen-17/3",
        "detector": "pendigits",
        "time": "2026-11-22T09:30:00Z",
        "frames": [[47.0, 100.0], [27.0, 81.0]],
        "end": false,
    }

Only `stream_id` must be there. `frames` holds k frames of the detector's width: k steps, applied
together or not at all. `end` marks the end of the stream, after the record's frames. A record
that names no `detector` goes to every detector that listens to its topic.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

MAX_RECORD_BYTES = 1_048_576
"""A record larger than this is a dead letter (Kafka's own default limit for a message)."""
MAX_FRAMES = 4096
"""Frames in one record."""

Identifier = Annotated[str, Meta(min_length=1, max_length=256)]


class Reason(StrEnum):
    """Why a record is a dead letter; stable, for machines."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed_json"
    SCHEMA = "schema"
    NULL_BYTE = "null_byte"
    UNKNOWN_DETECTOR = "unknown_detector"
    NO_CONTENT = "no_content"
    TOO_MANY_FRAMES = "too_many_frames"
    WRONG_WIDTH = "wrong_width"
    NOT_FINITE = "not_finite"


class Event(Struct, forbid_unknown_fields=True, gc=False):
    """A decoded record of schema 1."""

    stream_id: Identifier
    v: Literal[1] = 1
    event_id: Identifier | None = None
    detector: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    time: Annotated[datetime, Meta(tz=True)] | None = None
    frames: list[list[float]] | None = None
    end: bool = False


class RawRecord(NamedTuple):
    """A record as a driver delivers it."""

    partition: int
    offset: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a record cannot be used; `detail` never holds any of its payload."""

    reason: Reason
    detail: str
