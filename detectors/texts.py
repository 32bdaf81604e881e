"""Reading a text set: ``NAME.jsonl`` or ``NAME.jsonl.gz``, UTF-8, one stream a line.

A line is ``{"stream_id", "label", "split", "events": [{"t", "text"}, ...]}``, events in time
order; other keys are passed over. ``split`` is train, val, calibration or test. Streams whose
words are equal, whatever their case, punctuation and digits, count as one subject's: a copied
message must not be learned from in one part and tested in another.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from detectors.datasets import PARTS, Dataset, provenance, refusal
from detectors.scoring import StreamSet
from models.text.ss3 import CHANNELS
from models.text.tokens import SEPARATOR, split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

WANTED = 'one JSON object with "label", "split" and "events" a line, in UTF-8'

Times = Literal["index", "seconds"]


class _Event(Struct):
    text: str
    t: float | None = None


class _Stream(Struct):
    label: Annotated[str, Meta(min_length=1)]
    split: Literal["train", "val", "calibration", "test"]
    events: Annotated[list[_Event], Meta(min_length=1)]
    line: int = 0
    """Where it stands in the file, from 1; set by the reader."""


def read(path: Path, times: Times = "index") -> Dataset:
    """Return the text set in `path`; one event is one step.

    Parameters
    ----------
    path
        Ends in .jsonl or .jsonl.gz; a TOML beside it may say where it comes from.
    times
        What ``t`` is: a mere ``index``, or ``seconds`` since the stream's first event, which then
        lie in `StreamSet.times_s` (counted from 1970, for want of a date).

    Returns
    -------
    Dataset
        Its `classes` are sorted, rows are numbered within a part in the file's order, and
        `subjects` are equal where the words of two streams are.

    Raises
    ------
    DatasetError
        If the file or a line of it cannot be used; the message says which, and nothing of what
        people wrote there.
    """
    streams = list(_streams(path))
    for part in ("train", "test"):
        if not any(stream.split == part for stream in streams):
            raise refusal(path, f"it has no stream in the {part} part", "one at least")
    if times == "seconds":
        _check_times(path, streams)
    name = path.name.removesuffix(".gz").removesuffix(".jsonl")
    classes = tuple(sorted({stream.label for stream in streams}))
    subjects = _subjects(streams)
    parts = {}
    for part in PARTS:
        chosen = [i for i, stream in enumerate(streams) if stream.split == part]
        if chosen:
            theirs = [streams[i] for i in chosen]
            parts[part] = _part(name, part, theirs, subjects[chosen], classes, times)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Dataset(name, parts, digest, provenance(path), subjects_known=True)


def _streams(path: Path) -> Iterator[_Stream]:
    """Yield the streams, line by line; empty lines are passed over."""
    decoder = msgspec.json.Decoder(_Stream)
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                number += 1
                if line.strip():
                    stream = decoder.decode(line)
                    stream.line = number
                    yield stream
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        # A decoding error of text quotes it; nothing is to be seen of that.
        detail = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise refusal(path, f"line {number}: {detail}", WANTED) from None
    except (OSError, EOFError, zlib.error) as error:
        got = f"it cannot be read beyond line {number} ({error})"
        raise refusal(path, got, "an intact copy") from error


def _check_times(path: Path, streams: Sequence[_Stream]) -> None:
    for stream in streams:
        times = np.array([np.nan if event.t is None else event.t for event in stream.events])
        if not np.isfinite(times).all() or (np.diff(times) < 0).any():
            got = f'line {stream.line}: a "t" is missing, infinite or goes back'
            raise refusal(path, got, "seconds that do not decrease")


def _subjects(streams: Sequence[_Stream]) -> NDArray[np.int64]:
    """Return a number for each stream, the same where the words are the same."""
    numbers: dict[str, int] = {}
    found = [numbers.setdefault(_words(stream), len(numbers)) for stream in streams]
    return np.array(found, dtype=np.int64)


def _words(stream: _Stream) -> str:
    """Return what two streams must share to count as one text; the texts if no word is there."""
    texts = [event.text for event in stream.events]
    words = [word for word in split(texts) if word != SEPARATOR]
    return " ".join(words) if words else SEPARATOR.join(texts)


def _part(
    name: str,
    part: str,
    streams: Sequence[_Stream],
    subjects: NDArray[np.int64],
    classes: tuple[str, ...],
    times: Times,
) -> StreamSet:
    events = [event for stream in streams for event in stream.events]
    inputs = np.empty(len(events), dtype=object)
    inputs[:] = [event.text for event in events]
    ends = np.cumsum([len(stream.events) for stream in streams])
    index = {label: k for k, label in enumerate(classes)}
    return StreamSet(
        name=name, split=part, modality="text", ids=np.arange(len(streams), dtype=np.int64),
        inputs=inputs, offsets=np.concatenate(([0], ends)).astype(np.int64),
        labels=np.array([index[stream.label] for stream in streams], dtype=np.int64),
        subjects=subjects, classes=classes, channels=CHANNELS,
        times_s=(
            np.array([event.t for event in events], dtype=np.float64)
            if times == "seconds" else None
        ),
    )  # fmt: skip
