"""One stream's state as a row of an array, and its one versioned binary encoding.

A detector version has a `Layout`: a packed numpy record type that holds the engine's own fields,
the classifier's (``m.*``), the signal's (``s.*``), and two parts that fill up as the stream goes
on: the hashes of the latest event ids and the trajectory. Encoded, a row is its detector's mark
(5 bytes) and what is filled of it, so that a short stream stays small.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streams.errors import StateFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.protocol import Classifier
    from stopping.signals.protocol import Signal

ENCODING = 1
"""First byte of every encoded state."""
REMEMBERED_EVENTS = 64
"""Latest event ids kept per stream, as 64-bit hashes."""
TRAJECTORY_POINTS = 64
MEMORY_BYTES = 9
"""`n_records` and `n_points`, which say how much of the rest is filled."""
FIXED_FROM = MEMORY_BYTES + 8 * REMEMBERED_EVENTS
"""Where the part of a row begins that is always filled."""
BEGINNING = np.dtype([("head", "V5"), ("n_records", "<i8"), ("n_points", "u1")])
"""The first bytes of every encoded state."""

Rows = NDArray[np.void]

POINT = np.dtype([("step", "<i4"), ("label", "<i2"), ("probability", "<f4"), ("readiness", "<f4")])


class Phase(IntEnum):
    """Where an episode stands."""

    UNKNOWN = 0
    """Nothing was ever scored."""
    OPEN = 1
    SHADOW = 2
    """Decided; still scored to its end, to measure the realised gap."""
    HALTED = 3
    """Decided; later records only count."""
    ENDED = 4
    """Its end marker came, or it was silent for too long; the next record opens a new episode."""


STORED_PHASE = {
    Phase.UNKNOWN: "ended",
    Phase.OPEN: "open",
    Phase.SHADOW: "halted",
    Phase.HALTED: "halted",
    Phase.ENDED: "ended",
}
"""What the store shows of a phase."""


@dataclass(frozen=True)
class Layout:
    """The record type of one detector version, and where its parts lie."""

    dtype: np.dtype[Any]
    fixed_bytes: int
    n_points: int
    model_fields: tuple[str, ...]
    signal_fields: tuple[str, ...]
    fingerprint: int
    """CRC-32 of the record type; a state of another layout is refused."""


def layout_for(classifier: Classifier, signal: Signal, horizon: int) -> Layout:
    """Return the layout of a classifier under a signal, for streams of at most `horizon` steps."""
    n_points = min(TRAJECTORY_POINTS, horizon)
    model, own = classifier.fields(), signal.fields()
    memory: list[Any] = [
        ("n_records", "<i8"),
        ("n_points", "u1"),
        ("recent", "<u8", (REMEMBERED_EVENTS,)),
    ]
    fixed: list[Any] = [
        ("phase", "u1"),
        ("shadow", "u1"),
        ("stride", "<i4"),
        ("t", "<i4"),
        ("unscored", "<i8"),
        ("first_s", "<f8"),
        ("last_s", "<f8"),
        ("readiness", "<f8"),
        ("probabilities", "<f4", (len(classifier.classes),)),
        *((f"m.{name}", *field) for name, field in model.items()),
        *((f"s.{name}", *field) for name, field in own.items()),
    ]
    dtype = np.dtype([*memory, *fixed, ("points", POINT, (n_points,))])
    return Layout(
        dtype=dtype,
        fixed_bytes=np.dtype(fixed).itemsize,
        n_points=n_points,
        model_fields=tuple(model),
        signal_fields=tuple(own),
        fingerprint=zlib.crc32(repr(dtype.descr).encode()),
    )


def fresh(layout: Layout, n: int) -> Rows:
    """Return n rows of streams that nothing is known of, their times neither (NaN)."""
    rows = np.zeros(n, dtype=layout.dtype)
    rows["first_s"] = rows["last_s"] = np.nan
    return rows


def part(rows: Rows, prefix: str, names: Sequence[str], at: NDArray[np.intp]) -> dict[str, Any]:
    """Copy the classifier's (``m``) or the signal's (``s``) arrays of the given rows."""
    return {name: rows[f"{prefix}.{name}"][at] for name in names}


def put(rows: Rows, prefix: str, state: Mapping[str, NDArray[Any]], at: NDArray[np.intp]) -> None:
    """Write such arrays back into `rows`."""
    for name, array in state.items():
        rows[f"{prefix}.{name}"][at] = array


def encode(layout: Layout, rows: Rows) -> list[bytes]:
    """Return each row as bytes, unfilled parts left out."""
    flat, head, size = rows.tobytes(), _head(layout), layout.dtype.itemsize
    memory, rest = _filled(layout, rows["n_records"], rows["n_points"])
    # Slices of bytes: measured, three times as fast as masks over a matrix of bytes.
    return [
        head + flat[at : at + n] + flat[at + FIXED_FROM : at + FIXED_FROM + m]
        for at, n, m in zip(range(0, len(flat), size), memory.tolist(), rest.tolist(), strict=True)
    ]


def decode(layout: Layout, blobs: Sequence[bytes], *, detector: str, version: str) -> Rows:
    """Return encoded states as rows.

    Raises
    ------
    StateFormatError
        If a state was written by another encoding or layout, or is cut.
    """
    if not blobs:
        return fresh(layout, 0)
    head, lengths = _head(layout), np.array([len(blob) for blob in blobs])
    if alien := next((blob for blob in blobs if not blob.startswith(head)), None):
        raise StateFormatError(detector, version, alien[: len(head)].hex(), head.hex())
    if lengths.min() < BEGINNING.itemsize:
        raise StateFormatError(detector, version, f"{lengths.min()} bytes", "more")
    first = np.frombuffer(b"".join([blob[: BEGINNING.itemsize] for blob in blobs]), BEGINNING)
    memory, rest = _filled(layout, first["n_records"], first["n_points"])
    if (lengths != len(head) + memory + rest).any() or first["n_points"].max() > layout.n_points:
        raise StateFormatError(detector, version, "a cut state", "a whole one")
    zeros = bytes(layout.dtype.itemsize)
    cuts, gaps = (len(head) + memory).tolist(), (FIXED_FROM - memory).tolist()
    tails = (layout.dtype.itemsize - FIXED_FROM - rest).tolist()
    parts: list[bytes] = []
    for blob, cut, gap, tail in zip(blobs, cuts, gaps, tails, strict=True):
        parts += (blob[len(head) : cut], zeros[:gap], blob[cut:], zeros[:tail])
    return np.frombuffer(bytearray().join(parts), layout.dtype)


def fits(layout: Layout, blob: bytes) -> bool:
    """Return whether a state was written by this layout."""
    return blob.startswith(_head(layout))


def remembered(blob: bytes) -> tuple[int, NDArray[np.uint64]]:
    """Return how many records a stream had and the ring of their latest hashes.

    Reads a state of any layout: what a stream remembers of event ids outlives the version that
    scored its last episode.
    """
    body = blob[5:]
    n_records = int.from_bytes(body[:8], "little")
    n_recent = min(n_records, REMEMBERED_EVENTS)
    return n_records, np.frombuffer(body[MEMORY_BYTES:], dtype="<u8", count=n_recent)


def _head(layout: Layout) -> bytes:
    return ENCODING.to_bytes(1, "little") + layout.fingerprint.to_bytes(4, "little")


def _filled(
    layout: Layout, n_records: NDArray[Any], n_points: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many bytes of each row are filled, up to `FIXED_FROM` and from there on."""
    # A number of records below zero can only come from a state that is not one.
    n_recent = np.clip(n_records.astype(np.int64), 0, REMEMBERED_EVENTS)
    rest = layout.fixed_bytes + n_points.astype(np.int64) * POINT.itemsize
    return MEMORY_BYTES + 8 * n_recent, rest
