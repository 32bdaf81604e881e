"""The label record: what a message of the labels topic, or one API item, holds.

Schema 1, as JSON::

    {
        "v": 1,
        "label_id": "visit-204/outcome",
        "stream_id": "pen-17",
        "detector": "pendigits",
        "episode": "pendigits/test/17/1",
        "label": "3",
        "source": "nurse-17",
        "time": "2026-11-22T11:30:00Z",
    }

`stream_id`, `label` and `source` must be there. `time` is when the truth was established, not
when it was sent. A label that names no `detector` is about every one that knows it; one that names
no `episode` belongs to one of the stream's by its time (`store.truths`). There is no field for
free text: what people wrote about people does not belong here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID, uuid5

import msgspec
from msgspec import Meta, Struct

from store.labels import Fate, NewLabel
from streams.codec import EARLIEST, LATEST, without_values
from streams.records import Identifier

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LABEL_BYTES = 16_384
"""Every field at its longest fits, written with escapes only."""

Name128 = Annotated[str, Meta(min_length=1, max_length=128)]
_NAMES = UUID("6a1f0c1e-3f5e-5b0a-8f0e-2c7f1d9b4a60")
"""Namespace of the label ids that are made from a label's content."""


class LabelReason(StrEnum):
    """Why a label cannot be used; stable, for machines."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed_json"
    SCHEMA = "schema"
    NULL_BYTE = "null_byte"
    UNKNOWN_LABEL = "unknown_label"
    LABEL_ID_CONFLICT = "label_id_conflict"


class Label(Struct, forbid_unknown_fields=True, frozen=True):
    """A decoded label of schema 1."""

    stream_id: Identifier
    label: Name128
    source: Name128
    v: Literal[1] = 1
    label_id: Identifier | None = None
    detector: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    episode: Identifier | None = None
    time: Annotated[datetime, Meta(tz=True)] | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a label cannot be used; `detail` never holds any of what it said."""

    reason: LabelReason
    detail: str


_decoder = msgspec.json.Decoder(Label)


def decode_label(value: bytes | None) -> Label | Unusable:
    """Decode and check one label; never raises, whatever the bytes.

    >>> decode_label(b'{"stream_id": "pen-17", "label": "3", "source": "nurse-17"}').label
    '3'
    >>> decode_label(b'{"stream_id": "pen-17", "label": 3, "source": "nurse-17"}').detail
    'Expected `str`, got `int` - at `$.label`'
    """
    if not value:
        return Unusable(LabelReason.EMPTY, "the label has no value")
    if len(value) > MAX_LABEL_BYTES:
        return Unusable(
            LabelReason.TOO_LARGE, f"{len(value)} bytes; the limit is {MAX_LABEL_BYTES}"
        )
    try:
        label = _decoder.decode(value)
    except msgspec.ValidationError as error:
        return Unusable(LabelReason.SCHEMA, without_values(error))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Unusable(LabelReason.MALFORMED, "not a JSON document in UTF-8")
    texts = (label.stream_id, label.label, label.source, label.label_id, label.detector)
    if any(text is not None and "\x00" in text for text in (*texts, label.episode)):
        return Unusable(LabelReason.NULL_BYTE, "a text holds a null byte")
    if label.time is not None and not EARLIEST < label.time < LATEST:
        detail = f"a time before {EARLIEST:%Y} or after {LATEST:%Y}"
        return Unusable(LabelReason.SCHEMA, detail)
    return label


def to_keep(
    label: Label, via: str, new_id: Callable[[], str], *, key_prefix: str | None = None
) -> NewLabel:
    """Return what the store keeps of a label.

    One without a name of its own gets one: from its content if it has a time, so that the same
    statement sent again counts once; else from `new_id`, since a source may well say the same
    again after it has said something else.

    >>> said = Label("pen-17", "3", "nurse-17")
    >>> to_keep(said, "api", lambda: "made-1").label_id
    'made-1'
    """
    return NewLabel(
        source=label.source,
        label_id=label.label_id or _from_content(label) or new_id(),
        stream_id=label.stream_id,
        label=label.label,
        detector=label.detector,
        episode=label.episode,
        labelled_at=label.time,
        via=via,
        key_prefix=key_prefix,
    )


def refusal(fate: Fate) -> Unusable | None:
    """Return why the store refused a label; None if it keeps it.

    >>> refusal(Fate.REPEATED)
    >>> refusal(Fate.UNKNOWN_LABEL).reason.value
    'unknown_label'
    """
    match fate:
        case Fate.UNKNOWN_LABEL:
            detail = "the detector does not know this label; see its classes"
            return Unusable(LabelReason.UNKNOWN_LABEL, detail)
        case Fate.OTHER_CONTENT:
            detail = "the source has used this label_id for another label, which stays; give a new"
            return Unusable(LabelReason.LABEL_ID_CONFLICT, detail)
    return None


def _from_content(label: Label) -> str | None:
    if label.time is None:
        return None
    said = [label.source, label.stream_id, label.detector, label.episode, label.label]
    said.append(label.time.astimezone(UTC).isoformat())
    return str(uuid5(_NAMES, msgspec.json.encode(said).decode()))
