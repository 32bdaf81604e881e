"""Reading flat files of measurements."""

from __future__ import annotations

import numpy as np
import pytest

from detectors import datasets
from detectors.errors import DatasetError
from detectors.vitals import read
from models.inputs import vitals_dtype


def written(tmp_path, **changes):
    """Six streams of 1 to 3 rows, two channels; `changes` replace arrays, None leaves one out."""
    lengths = np.array([3, 1, 2, 2, 3, 1])
    rows = int(lengths.sum())
    values = np.arange(2.0 * rows).reshape(rows, 2)
    values[::3, 1] = np.nan
    arrays = {
        "values": values,
        "offsets": np.concatenate(([0], np.cumsum(lengths))),
        "columns": np.array(["HR", "Temp"]),
        "classes": np.array(["well", "ill"]),
        "y": np.array([0, 1, 0, 1, 1, 0]),
        "split": np.array(["train", "train", "test", "train", "calibration", "test"]),
        "patient": np.array(["p3", "p1", "p2", "p1", "p4", "p5"]),
        "times_s": np.arange(float(rows)) * 60,
    }
    arrays |= changes
    path = tmp_path / "ward.npz"
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    return path


def test_streams_come_by_part_with_their_times_and_gaps(tmp_path):
    path = written(tmp_path)
    dataset = read(path)
    train = dataset.parts["train"]
    assert {name: len(part) for name, part in dataset.parts.items()} == {
        "train": 3, "calibration": 1, "test": 2,
    }  # fmt: skip
    assert train.modality == "vitals"
    assert train.inputs.dtype == vitals_dtype(2)
    assert train.offsets.tolist() == [0, 3, 4, 6]
    assert train.times_s.tolist() == [0, 60, 120, 180, 360, 420]
    assert train.inputs["time_s"].tolist() == train.times_s.tolist()
    assert np.isnan(train.inputs["values"][0, 1])
    assert (
        train.inputs["values"][4].tolist() == [12.0, np.nan] or train.inputs["values"][4, 0] == 12
    )
    assert train.labels.tolist() == [0, 1, 1]
    assert train.step_labels is None
    assert (train.classes, train.channels) == (("well", "ill"), ("HR", "Temp"))
    assert train.stream_id(2) == "ward/train/2"
    assert datasets.load(str(path)).sha256 == dataset.sha256


def test_one_patient_keeps_one_number_in_all_streams(tmp_path):
    dataset = read(written(tmp_path))
    assert dataset.subjects_known
    subjects = dataset.parts["train"].subjects
    assert subjects[1] == subjects[2] != subjects[0]
    unknown = read(written(tmp_path, patient=None))
    assert not unknown.subjects_known
    numbers = np.concatenate([part.subjects for part in unknown.parts.values()])
    assert len(np.unique(numbers)) == 6


def test_the_class_of_each_step_is_kept_where_it_is_known(tmp_path):
    truth = np.array([0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 0])
    dataset = read(written(tmp_path, step_labels=truth))
    assert dataset.parts["train"].step_labels.tolist() == [0, 0, 0, 1, 0, 1]


def test_hourly_sepsis_labels_make_it_the_sepsis_problem(tmp_path):
    hourly = np.array([0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 0], np.int8)
    dataset = read(written(tmp_path, sepsis_label=hourly, times_s=None))
    assert dataset.provenance["left_out"] == {"train": 1, "calibration": 0, "test": 0}
    train = dataset.parts["train"]
    assert train.ids.tolist() == [0, 2]
    assert train.labels.tolist() == [0, 1]
    assert train.step_labels.tolist() == [0, 0, 0, 0, 1]
    assert np.diff(train.times_s).tolist() == [3600, 3600, -7200, 3600]


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"values": None}, "no array 'values'"),
        ({"split": None}, "no array 'split'"),
        ({"columns": None}, "'channels' is not a list"),
        ({"columns": np.array(["HR", "HR"])}, "'columns' is not a list of different"),
        ({"values": np.zeros((12, 3))}, "values is float64"),
        ({"values": np.full((12, 2), np.inf)}, "infinite"),
        ({"offsets": np.array([0, 3, 4, 6, 8, 11, 13])}, "do not divide the 12 rows"),
        ({"offsets": np.array([0, 3, 3, 6, 8, 11, 12])}, "do not divide"),
        ({"offsets": np.array([[0, 12]])}, "do not divide"),
        ({"y": np.array([0, 1, 0, 1, 2, 0])}, "from 0 to 2; wanted: values from 0 to 1"),
        ({"y": np.zeros(5, int)}, "y is int64"),
        ({"split": np.array(["train", "test", "dev", "dev", "test", "test"])}, "names dev"),
        ({"split": np.array(["train"] * 6)}, "no stream is in the part 'test'"),
        ({"patient": np.array(["a"])}, "patient is"),
        ({"times_s": None}, "when a row was taken"),
        ({"times_s": -np.arange(12.0)}, "runs backwards"),
        ({"times_s": np.full(12, np.nan)}, "not finite"),
        ({"times_s": np.zeros(3)}, "times_s is"),
        ({"step_labels": np.full(12, 7)}, "step_labels holds"),
        ({"sepsis_label": np.full(12, 2)}, "sepsis_label is"),
        ({"sepsis_label": np.zeros(12, int)}, "stay 1 .*contradicts its hourly labels"),
        ({"audio": np.zeros(12, np.int16)}, "recordings of sound"),
        ({"classes": np.array([["a"], ["b"]])}, "'classes' is not a list"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_and_says_why(tmp_path, changes, advice):
    with pytest.raises(DatasetError, match=advice):
        read(written(tmp_path, **changes))


def test_nothing_is_ever_unpickled(tmp_path):
    with pytest.raises(DatasetError, match="cannot be read"):
        read(written(tmp_path, patient=np.array([{}] * 6, dtype=object)))
