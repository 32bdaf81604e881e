from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from detectors import datasets
from detectors.audio import read
from detectors.errors import DatasetError

LENGTHS = (100, 85, 243, 160, 80, 399)


def arrays(**changes):
    n = len(LENGTHS)
    whole = {
        "audio": np.arange(sum(LENGTHS)).astype(np.int16),
        "offsets": np.append(0, np.cumsum(LENGTHS)),
        "y": np.array([0, 1, 0, 1, 1, 0]),
        "classes": np.array(["no", "yes"]),
        "split": np.array(["train", "test", "train", "train", "test", "train"]),
        "speaker": np.array(list("ababab"))[:n],
        "sample_rate": np.array(8000),
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


@pytest.fixture
def written(tmp_path):
    def write(**changes):
        path = tmp_path / "words.npz"
        np.savez(path, **arrays(**changes))
        return path

    return write


def test_each_recording_becomes_frames_of_ten_milliseconds(written):
    found = read(written()).parts["train"]
    assert found.modality == "frames"
    assert found.lengths.tolist() == [1, 3, 2, 4]
    assert found.channels == tuple(f"s{k}" for k in range(80))
    assert found.inputs.dtype == np.float32
    offsets = np.append(0, np.cumsum(LENGTHS))
    for i, recording in enumerate([0, 2, 3, 5]):
        own = found.inputs[found.offsets[i] : found.offsets[i + 1]].reshape(-1)
        assert own.tolist() == list(range(offsets[recording], offsets[recording] + len(own)))
    assert found.labels.tolist() == [0, 0, 1, 0]
    assert found.stream_id(1) == "words/train/1"


def test_another_rate_gives_frames_of_the_same_time(written):
    found = read(written(sample_rate=np.array(4000))).parts["test"]
    assert found.inputs.shape[1] == 40
    assert found.lengths.tolist() == [2, 2]


def test_speakers_heard_in_several_parts_are_no_subjects_and_the_set_says_so(written):
    found = read(written(speaker=np.array(["a", "a", "b", "c", "b", "c"])))
    assert not found.subjects_known
    assert found.parts["train"].subjects.tolist() == [0, 1, 2, 3]
    assert "the same 3 speakers" in found.provenance["promise_covers"]
    assert "nothing is promised for new speakers" in found.provenance["promise_covers"]
    assert found.provenance["unit"] == "recording"


def test_speakers_kept_apart_by_the_split_are_the_subjects(written):
    found = read(written(speaker=np.array(["a", "b", "c", "c", "b", "a"])))
    assert found.subjects_known
    assert found.parts["train"].subjects.tolist() == [0, 2, 2, 0]
    assert found.parts["test"].subjects.tolist() == [1, 1]
    assert "promise_covers" not in found.provenance


def test_a_set_that_names_no_speakers_promises_less(written):
    found = read(written(speaker=None))
    assert not found.subjects_known
    assert found.provenance["promise_covers"] == "new recordings made as these were"


def test_what_stands_beside_the_data_wins(written):
    path = written()
    path.with_name("words.toml").write_text('title = "Two words"\nunit = "call"\n')
    found = read(path)
    assert found.provenance["title"] == "Two words"
    assert found.provenance["unit"] == "call"


def test_the_set_is_found_as_any_other(written):
    path = written()
    found = datasets.load(str(path))
    assert found.sha256 == read(path).sha256
    assert found.name == "words"


def test_a_part_of_its_own_for_calibration_is_used(written):
    split = np.array(["train", "test", "calibration", "train", "test", "val"])
    assert set(read(written(split=split)).parts) == {"train", "val", "calibration", "test"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": None}, "no array 'y'"),
        ({"sample_rate": None}, "no array 'sample_rate'"),
        ({"audio": np.zeros(sum(LENGTHS))}, "audio is float64"),
        ({"audio": np.zeros(5, np.int16)}, "samples there are"),
        ({"offsets": np.array([0, 100, 50, 200, 300, 400, sum(LENGTHS)])}, "or fall"),
        ({"offsets": np.zeros(0, np.int64)}, r"wanted: integers \(n \+ 1,\)"),
        ({"y": np.array([0, 1, 2, 0, 1, 0])}, "values from 0 to 2"),
        ({"y": np.array([0.0] * 6)}, "y is float64"),
        ({"classes": np.array(["no", "no"])}, "different names"),
        ({"split": np.array(["train", "dev"] * 3)}, "in the part 'dev'"),
        ({"split": np.array(["train"] * 6)}, "no recording is in the part 'test'"),
        ({"split": np.array(["train"] * 5)}, r"split is <U5 \(5,\)"),
        ({"speaker": np.array([1, 2, 3, 4, 5, 6])}, "speaker is int64"),
        ({"sample_rate": np.array(0)}, "no usable number"),
        ({"sample_rate": np.array([8000, 8000])}, "no usable number"),
        ({"sample_rate": np.array(np.nan)}, "no usable number"),
        ({"sample_rate": np.array("loud")}, "no usable number"),
        ({"sample_rate": np.array(16000)}, "recording 0 .* is shorter than a frame"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_and_what_is_wanted(written, changes, message):
    with pytest.raises(DatasetError, match=message) as caught:
        read(written(**changes))
    assert "wanted: " in str(caught.value)


@pytest.mark.skipif("TOCSIN_DATA_DIR" not in os.environ, reason="TOCSIN_DATA_DIR is not set")
def test_the_spoken_digits_are_read_whole():
    found = datasets.load("fsdd", Path(os.environ["TOCSIN_DATA_DIR"]))
    assert {name: len(part) for name, part in found.parts.items()} == {"train": 2700, "test": 300}
    assert not found.subjects_known
    assert "6 speakers" in found.provenance["promise_covers"]
    assert found.parts["test"].inputs.shape == (12783, 80)
    assert np.bincount(found.parts["test"].labels).tolist() == [30] * 10
