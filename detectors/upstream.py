"""From the files that others publish to the formats that are read here; one function a set.

Values and texts stay as they are. Where the publisher names no parts, a seeded division of ours
does: the same one as in every figure of the docs.
"""

from __future__ import annotations

import io
import re
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

Files = dict[str, bytes]
Arrays = dict[str, "NDArray[Any]"]
TextStreams = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Source:
    """Which files of a publication are wanted, and what becomes of them."""

    wanted: re.Pattern[str]
    convert: Callable[[Files], Arrays | TextStreams]


def sms_spam(files: Files) -> TextStreams:
    """Return the SMS Spam Collection: a word is an event; 30 % of each class is the test part."""
    text = _text(files, "SMSSpamCollection")
    messages = [line.partition("\t") for line in text.split("\n") if line]
    labels = [label for label, _, _ in messages]
    if set(labels) != {"ham", "spam"}:
        raise _unlike("SMSSpamCollection", "lines `ham<tab>text` and `spam<tab>text` only")
    split = held_out(labels, 0.3)
    return [
        _stream(f"sms-{i}", label, part, words.split())
        for i, ((label, _, words), part) in enumerate(zip(messages, split, strict=True), start=1)
    ]


_REVIEW = re.compile(r"^(neg|pos)/(cv(\d{3}))_\d+\.txt$")
_FIRST_TEST_REVIEW = 800


def movie_review_polarity(files: Files) -> TextStreams:
    """Return the reviews: a line is an event; cv800 to cv999 of each class are the test part."""
    streams = []
    for name in sorted(files):
        found = _REVIEW.match(name)
        if found is not None:
            label, review, number = found.groups()
            part = "test" if int(number) >= _FIRST_TEST_REVIEW else "train"
            lines = [line.strip() for line in _text(files, name).split("\n")]
            lines = [line for line in lines if line]
            streams.append(_stream(f"movie-{label}-{review}", label, part, lines))
    return streams


def pendigits(files: Files) -> Arrays:
    """Return PenDigits, padded: 8 points (x, y) a drawing, parts as published."""
    made: Arrays = {
        "classes": np.array([str(digit) for digit in range(10)]),
        "channels": np.array(["x", "y"]),
    }
    for part, name in (("train", "pendigits.tra"), ("test", "pendigits.tes")):
        try:
            rows = np.loadtxt(
                io.StringIO(_text(files, name)), delimiter=",", dtype=np.int64, ndmin=2
            )
        except ValueError as error:
            raise _unlike(name, "lines of 16 numbers and a digit") from error
        if rows.shape[1] != 17:
            raise _unlike(name, "lines of 16 numbers and a digit")
        points = rows[:, :16].reshape(-1, 8, 2).transpose(0, 2, 1)
        made[f"X_{part}"] = np.ascontiguousarray(points, dtype=np.float32)
        made[f"lengths_{part}"] = np.full(len(rows), 8, dtype=np.int32)
        made[f"y_{part}"] = rows[:, 16].copy()
    return made


_RECORDING = re.compile(r"^(\d)_([a-z]+)_(\d+)\.wav$")
_TEST_RECORDINGS = 5
_HZ = 8000


def fsdd(files: Files) -> Arrays:
    """Return the spoken digits, flat: recordings 0 to 4 of each speaker and digit are the test."""
    named = [(name, _RECORDING.match(name)) for name in sorted(files)]
    facts = [match.groups() for _, match in named if match is not None]
    sounds = [_samples(name, files[name]) for name, match in named if match is not None]
    index = np.array([int(number) for _, _, number in facts], dtype=np.int64)
    digits = [str(digit) for digit in range(10)]
    return {
        "audio": np.concatenate(sounds) if sounds else np.zeros(0, np.int16),
        "offsets": _offsets(sounds),
        "y": np.array([digits.index(digit) for digit, _, _ in facts], dtype=np.int64),
        "classes": np.array(digits),
        "speaker": np.array([speaker for _, speaker, _ in facts]),
        "index": index,
        "split": np.where(index < _TEST_RECORDINGS, "test", "train"),
        "sample_rate": np.array(_HZ, dtype=np.int32),
    }


def cinc2019_sepsis(files: Files) -> Arrays:
    """Return the stays, flat: a row an hour; a fifth of the patients of each class is the test."""
    names = sorted(files)
    head = files[names[0]].partition(b"\n")[0]
    header = head.decode("ascii", "replace").strip().split("|")
    if header[-1] != "SepsisLabel":
        raise _unlike(names[0], "columns that end with SepsisLabel")
    stays = [_stay(name, files[name], head) for name in names]
    positive = [np.flatnonzero(stay[:, -1] == 1) for stay in stays]
    first = [int(rows[0]) if len(rows) else -1 for rows in positive]
    label = np.array([row >= 0 for row in first], dtype=np.int64)
    rows = np.concatenate(stays)
    return {
        "values": np.ascontiguousarray(rows[:, :-1], dtype=np.float32),
        "columns": np.array(header[:-1]),
        "offsets": _offsets(stays),
        "sepsis_label": rows[:, -1].astype(np.int8),
        "y": label,
        "first_positive_row": np.array(first, dtype=np.int32),
        "classes": np.array(["no_sepsis", "sepsis"]),
        "patient": np.array([name.removesuffix(".psv") for name in names]),
        "split": np.array(held_out(label.tolist(), 0.2)),
    }


SOURCES: Mapping[str, Source] = {
    "sms_spam": Source(re.compile(r"(^|/)SMSSpamCollection$"), sms_spam),
    "movie_review_polarity": Source(
        re.compile(r"(^|/)(neg|pos)/cv\d{3}_\d+\.txt$"), movie_review_polarity
    ),
    "PenDigits": Source(re.compile(r"(^|/)pendigits\.t(ra|es)$"), pendigits),
    "fsdd": Source(re.compile(r"(^|/)\d_[a-z]+_\d+\.wav$"), fsdd),
    "cinc2019_sepsis_setB": Source(re.compile(r"(^|/)p1\d{5}\.psv$"), cinc2019_sepsis),
}


def held_out(labels: Sequence[Any], share: float) -> list[str]:
    """Return ``train`` or ``test`` for each stream: `share` of each class is test, seed 0.

    >>> held_out(["a"] * 4 + ["b"] * 2, 0.5).count("test")
    3
    """
    # NumPy's legacy generator: its sequence is promised never to change.
    random = np.random.RandomState(0)
    classes = np.array(labels)
    parts = np.full(len(classes), "train")
    for each in sorted(set(labels)):
        rows = random.permutation(np.flatnonzero(classes == each))
        parts[rows[: round(share * len(rows))]] = "test"
    return [str(part) for part in parts]


def _stream(name: str, label: str, part: str, texts: list[str]) -> dict[str, Any]:
    events = [{"t": t, "text": text} for t, text in enumerate(texts)]
    return {"stream_id": name, "label": label, "split": part, "events": events}


def _stay(name: str, content: bytes, header: bytes) -> NDArray[np.float64]:
    head, _, body = content.partition(b"\n")
    wanted = "the same columns in every stay, and numbers or NaN in them"
    if head != header or not body.strip():
        raise _unlike(name, wanted)
    try:
        return np.loadtxt(io.BytesIO(body), delimiter="|", ndmin=2)
    except ValueError as error:
        raise _unlike(name, wanted) from error


def _samples(name: str, content: bytes) -> NDArray[np.int16]:
    try:
        with wave.open(io.BytesIO(content)) as sound:
            form = (sound.getnchannels(), sound.getsampwidth(), sound.getframerate())
            frames = sound.readframes(sound.getnframes())
    except (wave.Error, EOFError) as error:
        raise _unlike(name, "a .wav recording") from error
    if form != (1, 2, _HZ):
        raise _unlike(name, "one channel of 16 bits at 8000 Hz")
    return np.frombuffer(frames, dtype="<i2").astype(np.int16)


def _offsets(pieces: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum([len(piece) for piece in pieces]))).astype(np.int64)


def _text(files: Files, name: str) -> str:
    if name not in files:
        raise _unlike(name, "that file in the archive")
    try:
        return files[name].decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise _unlike(name, "UTF-8 text") from error


def _unlike(name: str, wanted: str) -> DatasetError:
    return DatasetError(
        f"{name} is not as published; wanted: {wanted}. Get the archive again from its publisher."
    )
