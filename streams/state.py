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
    """Its end marker came; the next record opens a new episode."""


STORED_PHASE = {
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
    """Return n rows of streams that nothing is known of."""
    return np.zeros(n, dtype=layout.dtype)


def part(rows: Rows, prefix: str, names: Sequence[str], at: NDArray[np.intp]) -> dict[str, Any]:
    """Copy the classifier's (``m``) or the signal's (``s``) arrays of the given rows."""
    return {name: rows[f"{prefix}.{name}"][at] for name in names}


def put(rows: Rows, prefix: str, state: Mapping[str, NDArray[Any]], at: NDArray[np.intp]) -> None:
    """Write such arrays back into `rows`."""
    for name, array in state.items():
        rows[f"{prefix}.{name}"][at] = array


def encode(layout: Layout, rows: Rows) -> list[bytes]:
    """Return each row as bytes, unfilled parts left out."""
    if not len(rows):
        return []
    matrix = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), layout.dtype.itemsize)
    used, stops = _used(layout, rows["n_records"], rows["n_points"])
    flat = matrix[used].tobytes()
    head, ends = _head(layout), stops.tolist()
    return [head + flat[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def decode(layout: Layout, blobs: Sequence[bytes], *, detector: str, version: str) -> Rows:
    """Return encoded states as rows.

    Raises
    ------
    StateFormatError
        If a state was written by another encoding or layout, or is cut.
    """
    rows = fresh(layout, len(blobs))
    if not blobs:
        return rows
    head = _head(layout)
    if alien := next((blob for blob in blobs if not blob.startswith(head)), None):
        raise StateFormatError(detector, version, alien[: len(head)].hex(), head.hex())
    lengths = np.array([len(blob) - len(head) for blob in blobs])
    if (lengths < MEMORY_BYTES).any():
        raise StateFormatError(detector, version, f"{lengths.min()} bytes", "more")
    flat = np.frombuffer(b"".join([blob[len(head) :] for blob in blobs]), dtype=np.uint8)
    first = flat[(np.cumsum(lengths) - lengths)[:, None] + np.arange(MEMORY_BYTES)]
    n_records = np.ascontiguousarray(first[:, :8]).view("<i8")[:, 0]
    used, stops = _used(layout, n_records, np.minimum(first[:, 8], layout.n_points))
    if not np.array_equal(stops, np.cumsum(lengths)):
        raise StateFormatError(detector, version, "a cut state", "a whole one")
    rows.view(np.uint8).reshape(len(blobs), layout.dtype.itemsize)[used] = flat
    return rows


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


def _used(
    layout: Layout, n_records: NDArray[Any], n_points: NDArray[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which bytes of each row are filled [n, itemsize], and where each row's end [n]."""
    recent_bytes = np.minimum(n_records.astype(np.int64), REMEMBERED_EVENTS) * 8
    point_bytes = n_points.astype(np.int64) * POINT.itemsize
    fixed_from = MEMORY_BYTES + REMEMBERED_EVENTS * 8
    points_from = fixed_from + layout.fixed_bytes
    used = np.ones((len(n_records), layout.dtype.itemsize), dtype=np.bool_)
    used[:, MEMORY_BYTES:fixed_from] = np.arange(REMEMBERED_EVENTS * 8) < recent_bytes[:, None]
    used[:, points_from:] = np.arange(layout.n_points * POINT.itemsize) < point_bytes[:, None]
    return used, np.cumsum(MEMORY_BYTES + layout.fixed_bytes + recent_bytes + point_bytes)
