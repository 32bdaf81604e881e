"""Records of an existing topic, read by a detector's own mapping to our fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from streams.codec import refusal
from streams.errors import MappingError
from streams.paths import MISSING, compiled
from streams.records import MAX_RECORD_BYTES, Event, Reason, Rejected

if TYPE_CHECKING:
    from detectors.config import SourceConfig

FIELDS = ("stream_id", "event_id", "time", "text", "frames", "end")
CONTENTS = "text, frames, measurements, scores"
MILLISECONDS_FROM = 1e11
"""A time given as a number from here on counts milliseconds from 1970, below it seconds."""

_document = msgspec.json.Decoder()


class Source:
    """Reads foreign records as `Event`; equal configurations make equal sources.

    Parameters
    ----------
    config
        With at least a path for ``stream_id``.

    Raises
    ------
    MappingError
        If a field is not one of ours, a path is none, or nothing but the stream is mapped.

    Examples
    --------
    >>> from detectors.config import SourceConfig
    >>> source = Source(SourceConfig(fields={"stream_id": "$.chat.id", "text": "$.body"}))
    >>> source.decode(b'{"chat": {"id": 7}, "body": "hi", "lang": "en"}').text
    'hi'
    >>> source.decode(b'{"type": "heartbeat"}').detail
    'nothing stands at $.chat.id, where the mapping finds `stream_id`'
    """

    def __init__(self, config: SourceConfig) -> None:
        self.config = config
        for field in config.fields:
            if field not in FIELDS:
                known = f"fields of ours are {', '.join(FIELDS)}"
                raise MappingError(field, known)
        contents = [config.fields.get("text"), config.fields.get("frames")]
        if "stream_id" not in config.fields:
            raise MappingError("stream_id", "a mapping must say where it stands")
        if not (any(contents) or config.measurements or config.scores):
            raise MappingError(CONTENTS, "one of them must be mapped")
        self._fields = {name: compiled(path) for name, path in config.fields.items()}
        self._measurements = {name: compiled(path) for name, path in config.measurements.items()}
        self._scores = {name: compiled(path) for name, path in config.scores.items()}

    def decode(self, value: bytes | None) -> Event | Rejected:
        """Read one record; never raises, whatever the bytes, and repeats nothing of them."""
        if not value:
            return Rejected(Reason.EMPTY, "the record has no value")
        if len(value) > MAX_RECORD_BYTES:
            detail = f"{len(value)} bytes; the limit is {MAX_RECORD_BYTES}"
            return Rejected(Reason.TOO_LARGE, detail)
        try:
            document = _document.decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return Rejected(Reason.MALFORMED, "not a JSON document in UTF-8")
        found = self._found(document)
        if "stream_id" not in found:
            return self._nothing("stream_id")
        if not found.keys() - {"stream_id", "event_id", "time"}:
            return Rejected(Reason.MAPPING, "none of the mapped contents is in the record")
        try:
            event = msgspec.convert(found, Event)
        except msgspec.ValidationError as error:
            where = str(error).rpartition(" - at `$")[2].strip("`.") or "the record"
            return Rejected(Reason.MAPPING, f"what the mapping finds for {where} cannot be used")
        return refusal(event) or event

    def _found(self, document: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
        """Return our fields as far as the document has them."""
        found = {name: find(document) for name, find in self._fields.items()}
        found = {name: v for name, v in found.items() if v is not MISSING and v is not None}
        for name in ("stream_id", "event_id"):
            if isinstance(found.get(name), int) and not isinstance(found[name], bool):
                found[name] = str(found[name])
        if isinstance(found.get("time"), int | float) and not isinstance(found["time"], bool):
            found["time"] = _moment(found["time"])
        frames = found.get("frames")
        if isinstance(frames, list) and frames and not isinstance(frames[0], list):
            found["frames"] = [frames]
        for name, finders in (("measurements", self._measurements), ("scores", self._scores)):
            values = {key: find(document) for key, find in finders.items()}
            values = {key: v for key, v in values.items() if v is not MISSING}
            if values:
                found[name] = values
        return found

    def _nothing(self, field: str) -> Rejected:
        path = self.config.fields[field]
        detail = f"nothing stands at {path}, where the mapping finds `{field}`"
        return Rejected(Reason.MAPPING, detail)


def _moment(number: float) -> datetime | None:
    seconds = number / 1000 if abs(number) >= MILLISECONDS_FROM else number
    try:
        return datetime.fromtimestamp(seconds, tz=UTC)
    except (OverflowError, OSError, ValueError):
        return datetime.max.replace(tzinfo=UTC)  # refused as out of range
