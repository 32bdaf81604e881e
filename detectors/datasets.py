"""Finding and reading a data set of recorded streams.

DATASET is a folder ``NAME`` that holds ``NAME.npz``, such a file itself, or a bare name, which is
looked up in the user's data folder and then among the bundled sets. The format: ``X_<part>``
float (n, channels, T) with NaN past a series' end, ``y_<part>`` class indices, ``lengths_<part>``,
``classes`` and ``channels``; parts are train, test and, where there are any, val and calibration.
``subject_<part>`` says whose stream each is, in all parts or in none.
"""

from __future__ import annotations

import hashlib
import tomllib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.errors import DatasetError
from detectors.scoring import StreamSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

BUNDLED = Path(__file__).parent / "bundled"
PARTS = ("train", "val", "calibration", "test")
OTHER_FORMATS = (".jsonl", ".jsonl.gz", ".ts", ".csv", ".parquet")

Arrays = dict[str, "NDArray[Any]"]


@dataclass(frozen=True)
class Dataset:
    """A data set, checked: every value inside a stream is finite, every label has a class."""

    name: str
    parts: Mapping[str, StreamSet]
    """By name; ``train`` and ``test`` are always there."""
    sha256: str
    """Of the file."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Source, licence and what one stream stands for, where a file beside the data says so."""
    subjects_known: bool = False
    """Whether the set says whose stream each is."""


def find(dataset: str, data_dir: Path | None = None) -> Path:
    """Return the file that DATASET stands for.

    A path wins over a name, a set of the user over a bundled one. Raises DatasetError, which lists
    what was looked at and which sets are bundled.
    """
    given = Path(dataset)
    candidates = [given] if given.suffix else [given / f"{given.name}.npz"]
    if given.name == dataset and not given.suffix:
        if data_dir is not None:
            candidates.append(data_dir / dataset / f"{dataset}.npz")
        candidates.append(BUNDLED / f"{dataset}.npz")
    for path in candidates:
        if path.is_file():
            return _npz(path)
    for path in (path for candidate in candidates for path in _siblings(candidate)):
        if path.is_file():
            return _npz(path)
    message = (
        f"there is no data set {dataset!r}: no file {', '.join(map(str, candidates))}. Name a "
        f"folder NAME with NAME.npz in it, such a file, or a bundled set: {', '.join(bundled())}. "
        "Names are looked up in the folder that TOCSIN_DATA_DIR names, too."
    )
    raise DatasetError(message)


def bundled() -> tuple[str, ...]:
    """Return the names of the bundled sets.

    >>> bundled()
    ('pendigits-parts',)
    """
    return tuple(sorted(path.stem for path in BUNDLED.glob("*.npz")))


def load(dataset: str, data_dir: Path | None = None) -> Dataset:
    """Find and read DATASET; raises DatasetError, which says where the fault is."""
    path = find(dataset, data_dir)
    raw = path.read_bytes()
    arrays = _arrays(path)
    for key in ("classes", "channels", "X_train", "X_test"):
        if key not in arrays:
            raise _refusal(path, f"it has no array {key!r}", "see detectors/datasets.py")
    classes, channels = (_names(path, key, arrays[key]) for key in ("classes", "channels"))
    present = [part for part in PARTS if f"X_{part}" in arrays]
    subjects = _subjects(path, arrays, present)
    parts = {
        part: _part(path, part, arrays, subjects.get(part), classes, channels) for part in present
    }
    return Dataset(
        name=path.stem,
        parts=parts,
        sha256=hashlib.sha256(raw).hexdigest(),
        provenance=_provenance(path),
        subjects_known=bool(subjects),
    )


def _npz(path: Path) -> Path:
    if path.suffix != ".npz":
        message = (
            f"{path} is not in a format that this version reads. It reads time series as .npz "
            "(padded, see detectors/datasets.py); text, .ts, CSV and Parquet are not there yet."
        )
        raise DatasetError(message)
    return path


def _siblings(npz: Path) -> list[Path]:
    """Return the same set in the formats that are refused, so that the refusal can say so."""
    return [npz.with_name(npz.stem + suffix) for suffix in OTHER_FORMATS]


def _arrays(path: Path) -> Arrays:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if "offsets" in file.files:
                raise _refusal(path, "its streams are stored flat, with offsets", "a padded set")
            return {key: file[key] for key in file.files}
    except DatasetError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _refusal(path, f"it cannot be read as .npz ({error})", "an intact copy") from error


def _names(path: Path, key: str, array: NDArray[Any]) -> tuple[str, ...]:
    names = tuple(map(str, array.tolist())) if array.ndim == 1 else ()
    if not names or len(set(names)) != len(names) or not all(names):
        raise _refusal(path, f"{key!r} is not a list of different names", "one name an entry")
    return names


def _subjects(path: Path, arrays: Arrays, present: list[str]) -> dict[str, NDArray[np.int64]]:
    """Return numbers for the subjects' names, the same in all parts; empty if no part has any."""
    keys = [f"subject_{part}" for part in present]
    lacking = [key for key in keys if key not in arrays]
    if lacking == keys:
        return {}
    if lacking:
        # To go on without subjects would put one subject's streams into several parts.
        got = f"it names subjects, but has no {' and no '.join(lacking)}"
        wanted = f"all of {', '.join(keys)}. Add what is missing; take all out only if no subject "
        raise _refusal(path, got, wanted + "has two streams")
    for key, part in zip(keys, present, strict=True):
        if arrays[key].shape != arrays[f"X_{part}"].shape[:1]:
            raise _refusal(path, f"{key} is {arrays[key].shape}", "one subject a stream")
    names = np.concatenate([arrays[key].astype(str) for key in keys])
    numbers = np.unique(names, return_inverse=True)[1].astype(np.int64)
    bounds = np.cumsum([len(arrays[key]) for key in keys])[:-1]
    return dict(zip(present, np.split(numbers, bounds), strict=True))


def _part(
    path: Path,
    part: str,
    arrays: Arrays,
    subjects: NDArray[np.int64] | None,
    classes: tuple[str, ...],
    channels: tuple[str, ...],
) -> StreamSet:
    series = arrays[f"X_{part}"]
    if series.ndim != 3 or series.dtype.kind != "f" or series.shape[1] != len(channels):
        got = f"X_{part} is {series.dtype} {series.shape}"
        raise _refusal(path, got, f"float (n, {len(channels)} channels, T)")
    n, _, n_steps = series.shape
    lengths = _integers(path, f"lengths_{part}", arrays, n, 1, n_steps)
    labels = _integers(path, f"y_{part}", arrays, n, 0, len(classes) - 1)
    frames = np.ascontiguousarray(series.transpose(0, 2, 1), dtype=np.float32)
    past = np.arange(n_steps) >= lengths[:, np.newaxis]
    wrong = ~np.isfinite(frames).all(axis=2) & ~past
    if wrong.any():
        row, step = (int(k) for k in np.unravel_index(int(wrong.argmax()), wrong.shape))
        got = f"X_{part}, row {row} (from 0), step {step + 1} is missing or infinite"
        raise _refusal(path, got, "finite numbers inside every stream; fill the gap, or cut there")
    frames[past] = np.nan
    rows = np.arange(n, dtype=np.int64)
    return StreamSet(
        name=path.stem, split=part, ids=rows, frames=frames, lengths=lengths, labels=labels,
        subjects=rows if subjects is None else subjects, classes=classes, channels=channels,
    )  # fmt: skip


def _integers(
    path: Path, key: str, arrays: Arrays, n: int, least: int, most: int
) -> NDArray[np.int64]:
    array = arrays.get(key)
    if array is None or array.shape != (n,) or array.dtype.kind not in "iu":
        got = "missing" if array is None else f"{array.dtype} {array.shape}"
        raise _refusal(path, f"{key} is {got}", f"integers ({n},)")
    if n and not (array.min() >= least and array.max() <= most):
        got = f"{key} holds values from {array.min()} to {array.max()}"
        raise _refusal(path, got, f"values from {least} to {most}")
    return array.astype(np.int64)


def _provenance(path: Path) -> dict[str, Any]:
    beside = path.with_suffix(".toml")
    if not beside.is_file():
        return {}
    try:
        return tomllib.loads(beside.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _refusal(beside, f"it is not TOML ({error})", "TOML, or no such file") from error


def _refusal(path: Path, got: str, wanted: str) -> DatasetError:
    return DatasetError(f"{path}: {got}; wanted: {wanted}.")
