from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from models import registry
from models.errors import InputError, ModelFileError, UnknownKindError
from models.frames.lstm import LstmClassifier, load
from models.frames.lstm_weights import LstmDescription, LstmWeights, shapes


@pytest.fixture
def folder(tmp_path):
    """A saved classifier: 3 classes, 2 channels, 4 hidden units."""
    description = LstmDescription(("a", "b", "c"), ("x", "y"), hidden=4, horizon=8)
    random = np.random.default_rng(0)
    weights = LstmWeights(
        **{
            name: np.abs(random.normal(size=shape)).astype(dtype)
            for name, (dtype, shape) in shapes(description).items()
        }
    )
    LstmClassifier(description, weights).save(tmp_path)
    return tmp_path


def describe(folder, **changes):
    path = folder / "classifier.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def retouch(folder, change):
    path = folder / "weights.safetensors"
    arrays = {name: array.copy() for name, array in load_tensors(path.read_bytes()).items()}
    change(arrays)
    path.write_bytes(save_tensors(arrays))


def test_an_untouched_folder_is_loaded(folder):
    assert load(folder).classes == ("a", "b", "c")


@pytest.mark.parametrize("name", ["classifier.json", "weights.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelFileError, match=name):
        load(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\x80\x04\x95pickle", b"\xff" * 64, b"\x00" * 4096]
)
@pytest.mark.parametrize("name", ["classifier.json", "weights.safetensors"])
def test_rubbish_is_refused_by_name(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(ModelFileError, match=name):
        load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "gru"},
        {"schema": 2},
        {"hidden": 0},
        {"hidden": 10**9},
        {"horizon": 0},
        {"classes": ["a"]},
        {"classes": ["a", "b", "b"]},
        {"channels": []},
        {"more": 1},
    ],
)
def test_a_description_that_cannot_be_is_refused(folder, changes):
    describe(folder, **changes)
    with pytest.raises(ModelFileError):
        load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("head"), "missing or unknown: head"),
        (lambda a: a.update(more=np.zeros(1, np.float32)), "missing or unknown: more"),
        (lambda a: a.update(head=a["head"].T.copy()), r"head is float32 \(4, 4\)|head is"),
        (lambda a: a.update(head_bias=a["head_bias"].astype(np.float64)), "float64"),
        (lambda a: a["recurrent"].fill(np.nan), "recurrent holds a value that is not finite"),
        (lambda a: a["input_scale"].fill(0), "not positive"),
    ],
)
def test_weights_that_do_not_fit_the_description_are_refused(folder, change, message):
    describe(folder, classes=["a", "b", "c", "d"]) if "head is" in message else None
    retouch(folder, change)
    with pytest.raises(ModelFileError, match=message):
        load(folder)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((3, 2), np.float64),
        np.zeros((3, 1), np.float32),
        np.zeros((2, 2), np.float32),
        np.zeros(2, np.float32),
    ],
)
def test_frames_of_another_shape_or_type_are_refused(folder, frames):
    classifier = load(folder)
    with pytest.raises(InputError, match=r"wanted float32 \(3, 2\)"):
        classifier.step(classifier.start(3), frames)


def test_an_unknown_kind_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(UnknownKindError, match=r"'magic'.*has: .*lstm"):
        registry.load("magic", tmp_path)
    with pytest.raises(UnknownKindError):
        registry.options("magic")


def test_the_demo_sized_state_stays_below_seven_hundred_bytes():
    description = LstmDescription(tuple("0123456789"), ("x", "y"), hidden=32, horizon=8)
    weights = LstmWeights(
        **{name: np.ones(shape, dtype) for name, (dtype, shape) in shapes(description).items()}
    )
    state = LstmClassifier(description, weights).start(1)
    assert sum(array.nbytes for array in state.values()) <= 700
