"""Finding and reading a data set of recorded streams.

DATASET is a folder ``NAME`` that holds ``NAME.npz`` or ``NAME.jsonl.gz``, such a file itself, or a
bare name, which is looked up in the user's data folder and then among the bundled sets. Padded
series are read here: ``X_<part>`` float (n, channels, T) with NaN past a series' end, ``y_<part>``
class indices, ``lengths_<part>``, ``classes`` and ``channels``; parts are train, test and, where
there are any, val and calibration. ``subject_<part>`` says whose stream each is, in all parts or
in none. With an array ``modality`` that says ``scores`` the series are answers of a model outside:
the channels are the classes then, and the values of a step add up to 1. `READERS` says who reads
the other formats.
"""

from __future__ import annotations

import hashlib
import tomllib
import zipfile
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.errors import DatasetError
from detectors.scoring import StreamSet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from models.inputs import Modality

BUNDLED = Path(__file__).parent / "bundled"
SLACK = 1e-3
"""How far from 1 the scores of a step may add up."""
PARTS = ("train", "val", "calibration", "test")
FORMATS = (".npz", ".jsonl.gz", ".jsonl")
OTHER_FORMATS = (".ts", ".csv", ".parquet")
READERS = {
    "text": "detectors.texts",
    "vitals": "detectors.vitals",
    "audio": "detectors.audio",
}
"""Module with ``read(path)`` by what a file holds: lines of text, flat ``values``, ``audio``."""
MADE = {"shop-talk": "detectors.corpus"}
"""Bundled sets that are made anew when they are asked for, and the module with ``make()``."""

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
    if given.suffix in (".npz", ".jsonl", ".gz", *OTHER_FORMATS):
        stems, exact = [], [given]
    else:
        stems, exact = [given / given.name], []
        if given.name == dataset:
            if data_dir is not None:
                stems.append(data_dir / dataset / dataset)
            stems.append(BUNDLED / dataset)
    candidates = exact + [_named(stem, suffix) for stem in stems for suffix in FORMATS]
    for path in candidates:
        if path.is_file():
            return _readable(path)
    for path in (_named(stem, suffix) for stem in stems for suffix in OTHER_FORMATS):
        if path.is_file():
            return _readable(path)
    message = (
        f"there is no data set {dataset!r}: no file {', '.join(map(str, candidates))}. Name a "
        "folder NAME with NAME.npz or NAME.jsonl.gz in it, such a file, or a bundled set: "
        f"{', '.join(bundled())}. Names are looked up in the folder that TOCSIN_DATA_DIR names, "
        "too; `tocsin datasets list` says what can be fetched."
    )
    raise DatasetError(message)


def bundled() -> tuple[str, ...]:
    """Return the names of the bundled sets.

    >>> "pendigits-parts" in bundled()
    True
    """
    return tuple(sorted({*MADE, *(path.stem for path in BUNDLED.glob("*.npz"))}))


def load(dataset: str, data_dir: Path | None = None) -> Dataset:
    """Find and read DATASET; raises DatasetError, which says where the fault is."""
    if dataset in MADE:
        made: Dataset = _module(MADE[dataset]).make()
        return made
    path = find(dataset, data_dir)
    kind = "text" if path.suffix != ".npz" else _flat_kind(path)
    if kind is None:
        return _padded(path)
    read: Dataset = _module(READERS[kind]).read(path)
    return read


def provenance(path: Path) -> dict[str, Any]:
    """Return what the TOML beside a data file says of it; empty if there is none."""
    beside = path.with_name(path.name.split(".")[0] + ".toml")
    if not beside.is_file():
        return {}
    try:
        return tomllib.loads(beside.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise refusal(beside, f"it is not TOML ({error})", "TOML, or no such file") from error


def refusal(path: Path, got: str, wanted: str) -> DatasetError:
    """Return the error for a file that cannot be used."""
    return DatasetError(f"{path}: {got}; wanted: {wanted}.")


def _module(name: str) -> Any:  # noqa: ANN401  # a module, by name
    return import_module(name)


def _named(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)


def _readable(path: Path) -> Path:
    if path.suffix in OTHER_FORMATS:
        message = (
            f"{path} is not in a format that this version reads. It reads time series as .npz and "
            "text as .jsonl or .jsonl.gz; .ts, CSV and Parquet are not there yet."
        )
        raise DatasetError(message)
    return path


def _flat_kind(path: Path) -> str | None:
    """Return what a file of streams one below the other holds; None for padded series."""
    names = arrays_of(path, only=())[1]
    if "offsets" not in names:
        return None
    return "audio" if "audio" in names else "vitals"


def _padded(path: Path) -> Dataset:
    arrays = arrays_of(path)[0]
    for key in ("classes", "channels", "X_train", "X_test"):
        if key not in arrays:
            raise refusal(path, f"it has no array {key!r}", "see detectors/datasets.py")
    classes, channels = (_names(path, key, arrays[key]) for key in ("classes", "channels"))
    modality = str(arrays.get("modality", "frames"))
    if modality not in ("frames", "scores") or (modality == "scores" and channels != classes):
        got = f"its modality is {modality!r}, its channels are {', '.join(channels)}"
        raise refusal(path, got, "`frames`, or `scores` with the classes as channels")
    present = [part for part in PARTS if f"X_{part}" in arrays]
    subjects = _subjects(path, arrays, present)
    parts = {
        part: _part(path, part, arrays, subjects.get(part), classes, channels) for part in present
    }
    return Dataset(
        name=path.stem,
        parts=parts,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        provenance=provenance(path),
        subjects_known=bool(subjects),
    )


def arrays_of(path: Path, only: Sequence[str] | None = None) -> tuple[Arrays, tuple[str, ...]]:
    """Return the arrays of an .npz file, or `only` some of them, and the names of all.

    Nothing in it is ever unpickled. Raises DatasetError if it is no such file.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            names = tuple(file.files)
            return {key: file[key] for key in names if only is None or key in only}, names
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise refusal(path, f"it cannot be read as .npz ({error})", "an intact copy") from error


def _names(path: Path, key: str, array: NDArray[Any]) -> tuple[str, ...]:
    names = tuple(map(str, array.tolist())) if array.ndim == 1 else ()
    if not names or len(set(names)) != len(names) or not all(names):
        raise refusal(path, f"{key!r} is not a list of different names", "one name an entry")
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
        raise refusal(path, got, wanted + "has two streams")
    for key, part in zip(keys, present, strict=True):
        if arrays[key].shape != arrays[f"X_{part}"].shape[:1]:
            raise refusal(path, f"{key} is {arrays[key].shape}", "one subject a stream")
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
        raise refusal(path, got, f"float (n, {len(channels)} channels, T)")
    n, _, n_steps = series.shape
    lengths = _integers(path, f"lengths_{part}", arrays, n, 1, n_steps)
    labels = _integers(path, f"y_{part}", arrays, n, 0, len(classes) - 1)
    modality: Modality = (
        "scores" if str(arrays.get("modality", "frames")) == "scores" else "frames"
    )
    frames = series.transpose(0, 2, 1).astype(np.float32)
    inside = np.arange(n_steps) < lengths[:, np.newaxis]
    wrong = ~np.isfinite(frames).all(axis=2) & inside
    if wrong.any():
        row, step = (int(k) for k in np.unravel_index(int(wrong.argmax()), wrong.shape))
        got = f"X_{part}, row {row} (from 0), step {step + 1} is missing or infinite"
        raise refusal(path, got, "finite numbers inside every stream; fill the gap, or cut there")
    if modality == "scores" and not _are_probabilities(frames[inside]):
        got = f"X_{part} holds steps that are no probabilities"
        raise refusal(path, got, "values from 0 to 1 that add up to 1 in every step")
    rows = np.arange(n, dtype=np.int64)
    return StreamSet(
        name=path.stem, split=part, modality=modality, ids=rows, inputs=frames[inside],
        offsets=np.concatenate(([0], np.cumsum(lengths))), labels=labels,
        subjects=rows if subjects is None else subjects, classes=classes, channels=channels,
    )  # fmt: skip


def _are_probabilities(steps: NDArray[np.float32]) -> bool:
    total = steps.astype(np.float64).sum(axis=1)
    return bool((steps >= 0).all() and (np.abs(total - 1.0) <= SLACK).all())


def _integers(
    path: Path, key: str, arrays: Arrays, n: int, least: int, most: int
) -> NDArray[np.int64]:
    array = arrays.get(key)
    if array is None or array.shape != (n,) or array.dtype.kind not in "iu":
        got = "missing" if array is None else f"{array.dtype} {array.shape}"
        raise refusal(path, f"{key} is {got}", f"integers ({n},)")
    if n and not (array.min() >= least and array.max() <= most):
        got = f"{key} holds values from {array.min()} to {array.max()}"
        raise refusal(path, got, f"values from {least} to {most}")
    return array.astype(np.int64)
