from __future__ import annotations

import numpy as np
import pytest

from detectors import datasets
from detectors.errors import DatasetError
from tests.unit.detectors.conftest import everything


def stored(folder, **changes):
    """Write the set ``toy`` with some arrays changed; None takes one out."""
    made = everything() | changes
    path = folder / "toy.npz"
    np.savez(path, **{key: array for key, array in made.items() if array is not None})
    return path


def test_a_set_is_found_as_folder_file_and_name(data_dir, monkeypatch):
    file = data_dir / "toy" / "toy.npz"
    assert datasets.find(str(data_dir / "toy")) == file
    assert datasets.find(str(data_dir / "toy") + "/") == file
    assert datasets.find(str(file)) == file
    assert datasets.find("toy", data_dir) == file
    monkeypatch.chdir(data_dir)
    assert datasets.find("toy").resolve() == file.resolve()


def test_a_bundled_set_is_found_by_its_name_wherever_one_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert datasets.find("pendigits-parts", tmp_path).parent == datasets.BUNDLED


def test_a_set_of_the_users_wins_over_a_bundled_one_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "data" / "pendigits-parts"
    mine.mkdir(parents=True)
    (mine / "pendigits-parts.npz").write_bytes(b"")
    found = datasets.find("pendigits-parts", tmp_path / "data")
    assert found == mine / "pendigits-parts.npz"


def test_a_name_that_is_nowhere_is_answered_with_where_was_looked(data_dir):
    with pytest.raises(DatasetError) as refusal:
        datasets.find("PenDigitz", data_dir)
    message = str(refusal.value)
    assert str(data_dir / "PenDigitz" / "PenDigitz.npz") in message
    assert "pendigits-parts" in message
    assert "TOCSIN_DATA_DIR" in message


@pytest.mark.parametrize("suffix", [".ts", ".csv", ".parquet"])
def test_other_formats_are_refused_as_such(tmp_path, suffix):
    folder = tmp_path / "talk"
    folder.mkdir()
    (folder / f"talk{suffix}").write_bytes(b"x")
    for dataset in (str(folder), str(folder / f"talk{suffix}")):
        with pytest.raises(DatasetError, match="format that this version reads"):
            datasets.load(dataset)
    with pytest.raises(DatasetError, match="format that this version reads"):
        datasets.load("talk", tmp_path)


def test_frames_come_out_time_first_with_nothing_past_the_end(tmp_path):
    made = everything()
    path = stored(tmp_path)
    train = datasets.load(str(path)).parts["train"]
    assert train.inputs.shape == (made["lengths_train"].sum(), 1)
    assert train.inputs.dtype == np.float32
    for i in range(20):
        length = made["lengths_train"][i]
        steps = train.inputs[train.offsets[i] : train.offsets[i + 1], 0]
        assert np.array_equal(steps, made["X_train"][i, 0, :length])


def test_numbers_past_the_end_are_not_taken_for_frames(tmp_path):
    filled = np.nan_to_num(everything()["X_train"], nan=5.0)
    train = datasets.load(str(stored(tmp_path, X_train=filled))).parts["train"]
    plain = datasets.load(str(stored(tmp_path))).parts["train"]
    assert np.array_equal(train.inputs, plain.inputs)


def test_streams_and_events_are_named_by_set_part_row_and_step(tmp_path):
    test = datasets.load(str(stored(tmp_path))).parts["test"]
    assert test.stream_id(7) == "toy/test/7"
    assert test.event_id(7, 1) == "toy/test/7/1"
    subset = test.subset(np.array([9, 7]))
    assert [subset.stream_id(i) for i in range(2)] == ["toy/test/9", "toy/test/7"]


def gap(array, row=3, step=1):
    changed = array.copy()
    changed[row, 0, step] = np.nan
    return changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X_test": None}, "no array 'X_test'"),
        ({"classes": None}, "no array 'classes'"),
        ({"y_train": None}, "y_train is missing"),
        ({"lengths_test": None}, "lengths_test is missing"),
        ({"y_train": np.zeros(3, int)}, r"y_train is int64 \(3,\)"),
        ({"y_train": np.full(400, 2)}, "values from 0 to 1"),
        ({"y_train": np.full(400, -1)}, "values from 0 to 1"),
        ({"y_train": np.zeros(400)}, "y_train is float64"),
        ({"lengths_train": np.zeros(400, int)}, "values from 1 to 6"),
        ({"lengths_train": np.full(400, 7)}, "values from 1 to 6"),
        ({"X_train": np.zeros((400, 6), np.float32)}, r"\(n, 1 channels, T\)"),
        ({"X_train": np.zeros((400, 2, 6), np.float32)}, r"\(n, 1 channels, T\)"),
        ({"X_train": np.zeros((400, 1, 6), int)}, "X_train is int64"),
        ({"X_train": gap(everything()["X_train"])}, "row 3 .*, step 2 is missing"),
        ({"X_test": np.full((100, 1, 6), np.inf, np.float32)}, "X_test, row 0"),
        ({"classes": np.array(["a", "a"])}, "different names"),
        ({"classes": np.array([["a", "b"]])}, "different names"),
        ({"channels": np.array([""])}, "different names"),
        ({"classes": np.array(["a", None], dtype=object)}, "cannot be read"),
        ({"subject_train": np.arange(400)}, "no subject_calibration and no subject_test; wanted"),
        (
            {"subject_train": np.arange(400), "subject_test": np.arange(100)},
            "no subject_calibration; wanted: .* take all out only if no subject has two streams",
        ),
        (
            {f"subject_{part}": np.arange(2) for part in ("train", "calibration", "test")},
            "one subject a stream",
        ),
    ],
)
def test_a_set_that_cannot_be_used_is_refused_with_the_array_at_fault(tmp_path, changes, message):
    path = stored(tmp_path, **changes)
    with pytest.raises(DatasetError, match=message) as refusal:
        datasets.load(str(path))
    assert str(refusal.value).startswith(str(path))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"no archive at all"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "toy.npz").write_bytes(content)
    with pytest.raises(DatasetError, match=r"toy\.npz"):
        datasets.load(str(tmp_path / "toy.npz"))


def test_half_an_archive_is_refused(tmp_path):
    path = stored(tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DatasetError, match="cannot be read"):
        datasets.load(str(path))


def test_subjects_are_told_apart_across_parts(tmp_path):
    names = {"train": 400, "calibration": 200, "test": 100}
    subjects = {
        f"subject_{p}": np.array([f"{p[0]}{i % 5}" for i in range(n)]) for p, n in names.items()
    }
    subjects["subject_test"][0] = "t3"
    subjects["subject_test"][1] = subjects["subject_train"][0]
    found = datasets.load(str(stored(tmp_path, **subjects)))
    assert found.subjects_known
    assert found.parts["test"].subjects[1] == found.parts["train"].subjects[0]
    assert found.parts["test"].subjects[2] not in found.parts["calibration"].subjects


def test_a_part_without_subjects_does_not_make_the_set_one_without(tmp_path):
    subjects = {"subject_calibration": np.arange(200), "subject_test": np.arange(100)}
    with pytest.raises(DatasetError, match="Add what is missing"):
        datasets.load(str(stored(tmp_path, **subjects)))
    whole = datasets.load(str(stored(tmp_path, **subjects, subject_train=np.arange(400))))
    assert whole.subjects_known
    assert not datasets.load(str(stored(tmp_path))).subjects_known
