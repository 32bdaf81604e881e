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

Only `stream_id` must be there. A record has at most one content, of the modality that its detector
reads:

* ``frames``, k frames of the detector's width: k steps, applied together or not at all;
* ``text``, one post, turn or word: a step, also where it is empty;
* ``measurements``, values by channel name, null for none; `time` must be there: a step;
* ``scores``, what a model outside answers so far, by label: a step.

`end` marks the end of the stream, after the record's content. A record that names no `detector`
goes to every detector that listens to its topic and reads such content.

A *tick* says how late it is and nothing else: ``{"v": 1, "tick": "2026-11-22T09:30:10Z"}``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

if TYPE_CHECKING:
    from models.inputs import Modality

MAX_RECORD_BYTES = 1_048_576
"""A record larger than this is a dead letter (Kafka's own default limit for a message)."""
MAX_FRAMES = 4096
"""Frames in one record."""
MAX_NAMED = 4096
"""Measurements or scores in one record."""

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
    SEVERAL_CONTENTS = "several_contents"
    WRONG_MODALITY = "wrong_modality"
    NO_READER = "no_reader"
    TOO_MANY_FRAMES = "too_many_frames"
    WRONG_WIDTH = "wrong_width"
    NOT_FINITE = "not_finite"
    UNKNOWN_CHANNEL = "unknown_channel"
    OUT_OF_RANGE = "out_of_range"
    NO_TIME = "no_time"
    LATE = "late"
    WRONG_SCORES = "wrong_scores"
    MAPPING = "mapping"


class Event(Struct, forbid_unknown_fields=True, gc=False):
    """A decoded record of schema 1."""

    stream_id: Identifier
    v: Literal[1] = 1
    event_id: Identifier | None = None
    detector: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    time: Annotated[datetime, Meta(tz=True)] | None = None
    frames: list[list[float]] | None = None
    text: str | None = None
    measurements: dict[str, float | None] | None = None
    scores: dict[str, float] | None = None
    end: bool = False

    @property
    def modality(self) -> Modality | None:
        """Which content the record has; None for a bare end marker."""
        if self.frames:
            return "frames"
        if self.text is not None:
            return "text"
        if self.measurements:
            return "vitals"
        return "scores" if self.scores else None


class Tick(Struct, forbid_unknown_fields=True, gc=False):
    """A decoded tick."""

    tick: Annotated[datetime, Meta(tz=True)]
    v: Literal[1] = 1


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
