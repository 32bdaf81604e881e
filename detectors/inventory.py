"""Which data sets there are: bundled, in the user's folder, or to be fetched."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detectors import datasets
from detectors.errors import DatasetError
from detectors.fetch import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNSTATED = "not stated here"
BUNDLED = "bundled"


@dataclass(frozen=True, slots=True)
class Listed:
    """One data set in the list."""

    name: str
    modality: str
    """``frames``, ``text``, ``vitals``, ``scores``, or ``?`` if the file cannot be read."""
    streams: int | None
    """In all parts; None if the file cannot be read."""
    licence: str
    where: str
    """``bundled``, the file, or the command that brings it."""


def listed(data_dir: Path | None) -> list[Listed]:
    """Return all sets: bundled, then the user's, then what can be fetched and is not there yet."""
    rows = [_bundled(name) for name in datasets.bundled()]
    mine = [] if data_dir is None else list(_mine(data_dir))
    have = {row.name for row in mine}
    fetchable = [
        Listed(
            name, entry.modality, entry.streams, entry.licence,
            f"tocsin datasets fetch {name}" + (" --from FOLDER" if entry.url is None else ""),
        )
        for name, entry in catalogue().items()
        if name not in have
    ]  # fmt: skip
    return rows + mine + fetchable


def _bundled(name: str) -> Listed:
    if name in datasets.MADE:
        made = datasets.load(name)
        first = next(iter(made.parts.values()))
        n = sum(len(part) for part in made.parts.values())
        licence = str(made.provenance.get("licence", UNSTATED))
        return Listed(name, first.modality, n, licence, BUNDLED)
    return _of_file(name, datasets.BUNDLED / f"{name}.npz", BUNDLED)


def _mine(data_dir: Path) -> Iterator[Listed]:
    if not data_dir.is_dir():
        message = (
            f"{data_dir} is not a folder; let TOCSIN_DATA_DIR name the one of your data sets."
        )
        raise DatasetError(message)
    for folder in sorted(data_dir.iterdir()):
        for suffix in datasets.FORMATS:
            file = folder / f"{folder.name}{suffix}"
            if file.is_file():
                yield _of_file(folder.name, file, str(file))
                break


def _of_file(name: str, file: Path, where: str) -> Listed:
    try:
        modality, n = _series(file) if file.suffix == ".npz" else ("text", _lines(file))
        licence = datasets.provenance(file).get("licence")
    except DatasetError:
        return Listed(name, "?", None, UNSTATED, where)
    if licence is None and name in catalogue():
        licence = catalogue()[name].licence
    return Listed(name, modality, n, str(licence or UNSTATED), where)


def _series(file: Path) -> tuple[str, int]:
    labels = [f"y_{part}" for part in datasets.PARTS]
    arrays, names = datasets.arrays_of(file, only=("modality", "offsets", *labels))
    if "offsets" in names:
        return "frames" if "audio" in names else "vitals", len(arrays["offsets"]) - 1
    n = sum(len(arrays[key]) for key in labels if key in arrays)
    return str(arrays.get("modality", "frames")), n


def _lines(file: Path) -> int:
    """Return the number of lines that hold something."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    except (OSError, EOFError, zlib.error) as error:
        raise datasets.refusal(file, f"it cannot be read ({error})", "an intact copy") from error
