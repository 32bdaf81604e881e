"""The bundled set is what its provenance says."""

from __future__ import annotations

import tomllib

import numpy as np

from bench.parts import SEED, array_sha256, npz_bytes, parts
from detectors import datasets

FILE = datasets.BUNDLED / "pendigits-parts.npz"


def test_every_array_is_the_one_whose_sum_was_recorded():
    recorded = tomllib.loads(FILE.with_suffix(".toml").read_text())["sha256"]
    with np.load(FILE, allow_pickle=False) as file:
        assert {key: array_sha256(file[key]) for key in file.files} == recorded


def test_it_has_the_sizes_that_its_readme_gives():
    dataset = datasets.load("pendigits-parts")
    sizes = {name: len(part) for name, part in dataset.parts.items()}
    assert sizes == {"train": 7494, "calibration": 1749, "test": 1749}
    for part in dataset.parts.values():
        assert (part.lengths == 8).all()
        assert part.inputs.min() >= 0
        assert part.inputs.max() <= 100


def test_calibration_and_test_are_halves_of_one_part_and_no_drawing_stands_twice():
    with np.load(FILE) as file:
        rows = np.concatenate([file[f"archive_row_{part}"] for part in ("calibration", "test")])
        drawings = np.concatenate([file[f"X_{part}"] for part in ("train", "calibration", "test")])
    assert sorted(rows) == list(range(3498))
    assert len(np.unique(drawings.reshape(len(drawings), -1), axis=0)) == 10992


def test_making_it_again_from_the_archive_gives_the_same_arrays():
    with np.load(FILE) as file:
        bundled = {key: file[key] for key in file.files}
    order = np.argsort(
        np.concatenate([bundled[f"archive_row_{part}"] for part in ("calibration", "test")])
    )
    archive = {
        key: bundled[key] for key in ("classes", "channels", "X_train", "y_train", "lengths_train")
    }
    for key in ("X", "y", "lengths"):
        halves = [bundled[f"{key}_{part}"] for part in ("calibration", "test")]
        archive[f"{key}_test"] = np.concatenate(halves)[order]
    again = parts(archive)
    assert again.keys() == bundled.keys()
    for key, array in again.items():
        assert array_sha256(array) == array_sha256(bundled[key])
    test = {key: array for key, array in again.items() if key.endswith("_test")}
    assert npz_bytes(test) == npz_bytes(dict(reversed(test.items())))
    assert SEED == 20_261_122


def test_source_licence_and_limit_travel_with_the_data():
    provenance = datasets.load("pendigits-parts").provenance
    assert "Alpaydin" in provenance["source"]
    assert "CC BY 4.0" in provenance["licence"]
    assert "from memory" in provenance["licence"]
    assert "14 writers" in provenance["promise_covers"]
    assert provenance["unit"] == "drawing"
