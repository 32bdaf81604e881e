"""Sepsis as a problem on streams, and the bundled set."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import numpy as np
import pytest

from bench.parts import array_sha256
from bench.sepsis_parts import SIZES, SOURCE, parts
from detectors import config, datasets, sepsis

FILE = datasets.BUNDLED / "sepsis-small.npz"


def stays(*hourly, **how):
    offsets = np.concatenate(([0], np.cumsum([len(stay) for stay in hourly])))
    return sepsis.as_streams(offsets, np.concatenate(hourly).astype(np.int8), **how)


def hours(n, first=None):
    labels = np.zeros(n, int)
    if first is not None:
        labels[first:] = 1
    return labels


def test_a_stream_ends_after_48_hours_or_with_the_stay():
    found = stays(hours(60), hours(48), hours(9))
    assert np.diff(found.offsets).tolist() == [48, 48, 9]
    assert found.rows.tolist() == [*range(48), *range(60, 108), *range(108, 117)]
    assert found.times_s[47] == sepsis.EPOCH_S + 47 * 3600
    assert found.times_s[48] == sepsis.EPOCH_S


def test_the_label_is_whether_any_row_within_48_hours_is_positive():
    found = stays(hours(60, 47), hours(60, 48), hours(20, 19), hours(20))
    assert found.positive.tolist() == [True, False, True, False]
    assert found.first_positive.tolist() == [47, sepsis.NEVER, 19, sepsis.NEVER]
    assert found.step_labels.sum() == 2


def test_stays_that_are_positive_from_the_first_row_are_left_out_unless_asked_for():
    given = hours(5, 0), hours(5, 1), hours(5)
    assert stays(*given).stays.tolist() == [1, 2]
    kept = stays(*given, from_the_start=True)
    assert kept.stays.tolist() == [0, 1, 2]
    assert kept.first_positive.tolist() == [0, 1, sepsis.NEVER]


def test_whole_stays_can_be_had():
    found = stays(hours(60, 50), hours(3), hours=None)
    assert np.diff(found.offsets).tolist() == [60, 3]
    assert found.first_positive.tolist() == [50, sepsis.NEVER]


def test_the_first_positive_row_is_the_first_even_if_the_label_goes_back():
    found = stays(np.array([0, 0, 1, 0, 1, 0]), np.array([1, 0]), from_the_start=True)
    assert found.first_positive.tolist() == [2, 0]


def test_every_bundled_array_is_the_one_whose_sum_was_recorded():
    recorded = tomllib.loads(FILE.with_suffix(".toml").read_text())["sha256"]
    with np.load(FILE, allow_pickle=False) as file:
        assert {key: array_sha256(file[key]) for key in file.files} == recorded
    assert FILE.stat().st_size < 6e6


def test_the_bundled_set_has_the_sizes_that_its_readme_gives():
    dataset = datasets.load("sepsis-small")
    found = {name: (len(part), int(part.labels.sum())) for name, part in dataset.parts.items()}
    assert found == {"train": (6914, 181), "calibration": (1979, 44), "test": (1983, 51)}
    left_out = dataset.provenance["left_out"]
    assert {name: n + left_out[name] for name, (n, _) in found.items()} == SIZES
    assert dataset.subjects_known
    patients = np.concatenate([part.subjects for part in dataset.parts.values()])
    assert len(np.unique(patients)) == len(patients)
    readme = (datasets.BUNDLED / "README.md").read_text()
    for n, positive in found.values():
        assert f"| {n} | {positive} |" in readme


def test_source_licence_and_limit_travel_with_the_data():
    provenance = datasets.load("sepsis-small").provenance
    assert "PhysioNet" in provenance["source"]
    assert "CC BY 4.0" in provenance["licence"]
    assert "from memory" in provenance["licence"]
    assert provenance["not_for"] == "clinical use"


def test_the_bundled_detector_is_one_sided_and_fits_the_set():
    found = config.read(datasets.BUNDLED / "sepsis.toml")
    part = datasets.load(found.dataset).parts["test"]
    assert found.rule.control == "one-sided"
    assert found.rule.alarm in part.classes
    assert (found.modality, found.horizon) == (part.modality, sepsis.HOURS)
    assert found.time.horizon_s == sepsis.HOURS * 3600
    assert part.lengths.max() == sepsis.HOURS


def large():
    folder = os.environ.get("TOCSIN_DATA_DIR")
    path = Path(folder or "") / SOURCE / f"{SOURCE}.npz"
    if folder is None or not path.is_file():
        pytest.skip(f"TOCSIN_DATA_DIR holds no {SOURCE}: the set that the small one is drawn from")
    return path


def test_making_the_bundled_set_again_gives_the_same_arrays():
    with np.load(large(), allow_pickle=False) as file:
        whole = {key: file[key] for key in file.files}
    again = parts(whole)
    with np.load(FILE, allow_pickle=False) as small:
        assert again.keys() == set(small.files)
        for key, array in again.items():
            assert array_sha256(array) == array_sha256(small[key])
        unseen = set(whole["patient"][whole["split"] == "test"])
        assert unseen.isdisjoint(small["patient"])
        first = int(np.flatnonzero(whole["patient"] == small["patient"][7])[0])
        ours, theirs = (
            x["values"][x["offsets"][i] : x["offsets"][i + 1]]
            for x, i in ((small, 7), (whole, first))
        )
        assert np.array_equal(ours, theirs, equal_nan=True)


def test_the_large_set_is_read_as_the_same_problem():
    dataset = datasets.load(str(large()))
    found = {name: (len(part), int(part.labels.sum())) for name, part in dataset.parts.items()}
    assert found == {"train": (15819, 409), "test": (3958, 111)}
    assert dataset.provenance["left_out"] == {"train": 181, "test": 42}
    small = datasets.load("sepsis-small").parts["train"]
    assert dataset.parts["train"].channels == small.channels
    assert dataset.parts["train"].classes == small.classes == ("no_sepsis", "sepsis")
