"""Reading streams of measurements from a flat .npz, the rows of all streams one below the other.

``values`` float [rows, d], NaN where nothing was measured; ``columns`` (or ``channels``) their
names; ``offsets`` [n + 1], stream i being rows ``offsets[i]`` to ``offsets[i + 1]``; ``classes``
names and ``y`` class indices [n]; ``split`` the part of each stream (train, test, perhaps val and
calibration); ``times_s`` when each row was taken, seconds from 1970 UTC, not descending within a
stream; and, where there are any, ``step_labels``, the class that was true at each row, and
``patient`` (or ``subject``), whose stream each is.

A set with an hourly ``sepsis_label`` [rows] instead of ``step_labels`` and times is read as
`detectors.sepsis` says; ``y`` then is whether any row of the whole stay is positive.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors import sepsis
from detectors.datasets import PARTS, Dataset, arrays_of, provenance, refusal
from detectors.scoring import StreamSet, rows_of
from models.inputs import vitals_dtype

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

REQUIRED = ("values", "offsets", "classes", "y", "split")
PER_ROW = ("times_s", "step_labels", "sepsis_label")

Arrays = dict[str, "NDArray[Any]"]


@dataclass(frozen=True)
class _Streams:
    """All streams of a file, before they are told apart by part."""

    name: str
    kept: NDArray[np.int64]
    """Which of the file's streams they are, [n]."""
    inputs: NDArray[Any]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    step_labels: NDArray[np.int64] | None
    subjects: NDArray[np.int64] | None
    """Of all the file's streams."""
    classes: tuple[str, ...]
    channels: tuple[str, ...]

    def part(self, split: str, of_split: NDArray[np.int64]) -> StreamSet:
        """Return those of the file's streams `of_split` that were kept, numbered as in it."""
        ids = np.flatnonzero(np.isin(of_split, self.kept)).astype(np.int64)
        streams = of_split[ids]
        steps, offsets = rows_of(self.offsets, np.searchsorted(self.kept, streams))
        inputs = self.inputs[steps]
        return StreamSet(
            name=self.name, split=split, modality="vitals", ids=ids, inputs=inputs,
            offsets=offsets, labels=self.labels[np.searchsorted(self.kept, streams)],
            subjects=streams if self.subjects is None else self.subjects[streams],
            classes=self.classes, channels=self.channels,
            times_s=np.ascontiguousarray(inputs["time_s"]),
            step_labels=None if self.step_labels is None else self.step_labels[steps],
        )  # fmt: skip


def read(path: Path) -> Dataset:
    """Return the streams in `path`, by their part; raises DatasetError."""
    arrays, names = arrays_of(path)
    if "audio" in names:
        raise refusal(path, "it holds recordings of sound", "measurements in an array `values`")
    for key in REQUIRED:
        if key not in arrays:
            raise refusal(path, f"it has no array {key!r}", "see detectors/vitals.py")
    values = arrays["values"]
    channels = _names(path, arrays, "columns" if "columns" in arrays else "channels")
    if values.ndim != 2 or values.dtype.kind != "f" or values.shape[1] != len(channels):
        got = f"values is {values.dtype} {values.shape}"
        raise refusal(path, got, f"float (rows, {len(channels)} channels)")
    if np.isinf(values).any():
        raise refusal(path, "values holds an infinite value", "finite values, NaN for none")
    offsets = _offsets(path, arrays["offsets"], len(values))
    for key in PER_ROW:
        if key in arrays and arrays[key].shape != (len(values),):
            raise refusal(path, f"{key} is {arrays[key].shape}", f"one a row, ({len(values)},)")
    return _divided(path, arrays, offsets, channels)


def _divided(
    path: Path, arrays: Arrays, offsets: NDArray[np.int64], channels: tuple[str, ...]
) -> Dataset:
    n = len(offsets) - 1
    classes = _names(path, arrays, "classes")
    labels = _integers(path, arrays, "y", n, len(classes))
    split = _one_each(path, arrays, "split", n)
    if unknown := sorted(set(split) - set(PARTS)):
        raise refusal(path, f"split names {', '.join(unknown)}", f"{', '.join(PARTS)} only")
    subjects = _subjects(path, arrays, n)
    problem = _sepsis if "sepsis_label" in arrays else _recorded
    streams, left_out = problem(path, arrays, offsets, labels, classes, channels, subjects)
    of_split = {part: np.flatnonzero(split == part) for part in PARTS}
    parts = {part: streams.part(part, own) for part, own in of_split.items() if len(own)}
    for part in ("train", "test"):
        if part not in parts or not len(parts[part]):
            raise refusal(path, f"no stream is in the part {part!r}", "some of train and test")
    known: dict[str, Any] = {} if left_out is None else {
        "left_out": {part: int(left_out[own].sum()) for part, own in of_split.items() if len(own)}
    }  # fmt: skip
    return Dataset(
        name=path.stem,
        parts=parts,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        provenance={**known, **provenance(path)},
        subjects_known=subjects is not None,
    )


def _sepsis(
    path: Path, arrays: Arrays, offsets: NDArray[np.int64], labels: NDArray[np.int64],
    classes: tuple[str, ...], channels: tuple[str, ...], subjects: NDArray[np.int64] | None,
) -> tuple[_Streams, NDArray[np.bool_]]:  # fmt: skip
    """Return hourly stays as streams, and which were left out."""
    hourly = arrays["sepsis_label"]
    if hourly.dtype.kind not in "iu" or not np.isin(hourly, (0, 1)).all() or len(classes) != 2:
        got = f"sepsis_label is {hourly.dtype}, of {len(classes)} classes"
        raise refusal(path, got, "integers 0 and 1, and two classes")
    first = sepsis.first_positive_rows(offsets, hourly)
    if not np.array_equal(labels == 1, first != sepsis.NEVER):
        stay = int(np.argmax((labels == 1) != (first != sepsis.NEVER)))
        got = f"y of stay {stay} (from 0) contradicts its hourly labels"
        raise refusal(path, got, "1 exactly where an hour of the stay is positive")
    found = sepsis.as_streams(offsets, hourly)
    streams = _Streams(
        path.stem, found.stays, _records(arrays["values"][found.rows], found.times_s),
        found.offsets, found.positive.astype(np.int64), found.step_labels, subjects, classes,
        channels,
    )  # fmt: skip
    return streams, first == 0


def _recorded(
    path: Path, arrays: Arrays, offsets: NDArray[np.int64], labels: NDArray[np.int64],
    classes: tuple[str, ...], channels: tuple[str, ...], subjects: NDArray[np.int64] | None,
) -> tuple[_Streams, None]:  # fmt: skip
    """Return the streams as they are in the file."""
    if "times_s" not in arrays:
        raise refusal(path, "it does not say when a row was taken", "an array `times_s`")
    times_s = arrays["times_s"].astype(np.float64)
    backwards = np.diff(times_s) < 0
    backwards[offsets[1:-1] - 1] = False
    if not np.isfinite(times_s).all() or backwards.any():
        raise refusal(path, "times_s is not finite, or runs backwards", "ascending times a stream")
    truth = None
    if "step_labels" in arrays:
        truth = _integers(path, arrays, "step_labels", len(times_s), len(classes))
    inputs = _records(arrays["values"], times_s)
    everything = np.arange(len(offsets) - 1)
    streams = _Streams(
        path.stem, everything, inputs, offsets, labels, truth, subjects, classes, channels
    )
    return streams, None


def _records(values: NDArray[Any], times_s: NDArray[np.float64]) -> NDArray[Any]:
    records = np.empty(len(values), vitals_dtype(values.shape[1]))
    records["time_s"], records["values"] = times_s, values
    return records


def _offsets(path: Path, offsets: NDArray[Any], n_rows: int) -> NDArray[np.int64]:
    ends = offsets.astype(np.int64) if offsets.ndim == 1 and offsets.dtype.kind in "iu" else None
    if ends is None or len(ends) < 2 or ends[0] or ends[-1] != n_rows or (np.diff(ends) < 1).any():
        got = f"offsets ({offsets.dtype} {offsets.shape}) do not divide the {n_rows} rows"
        raise refusal(path, got, "integers from 0 to the number of rows, ascending")
    return ends


def _names(path: Path, arrays: Arrays, key: str) -> tuple[str, ...]:
    array = arrays.get(key, np.empty(0))
    names = tuple(map(str, array.tolist())) if array.ndim == 1 else ()
    if not names or len(set(names)) != len(names) or not all(names):
        raise refusal(path, f"{key!r} is not a list of different names", "one name an entry")
    return names


def _one_each(path: Path, arrays: Arrays, key: str, n: int) -> NDArray[np.str_]:
    if arrays[key].shape != (n,):
        raise refusal(path, f"{key} is {arrays[key].shape}", f"one a stream, ({n},)")
    return arrays[key].astype(str)


def _integers(path: Path, arrays: Arrays, key: str, n: int, n_classes: int) -> NDArray[np.int64]:
    array = arrays[key]
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise refusal(path, f"{key} is {array.dtype} {array.shape}", f"integers ({n},)")
    if n and not (array.min() >= 0 and array.max() < n_classes):
        got = f"{key} holds values from {array.min()} to {array.max()}"
        raise refusal(path, got, f"values from 0 to {n_classes - 1}")
    return array.astype(np.int64)


def _subjects(path: Path, arrays: Arrays, n: int) -> NDArray[np.int64] | None:
    """Return a number for each stream's patient; None where the file does not say."""
    for key in ("patient", "subject"):
        if key in arrays:
            names = _one_each(path, arrays, key, n)
            return np.unique(names, return_inverse=True)[1].astype(np.int64)
    return None
