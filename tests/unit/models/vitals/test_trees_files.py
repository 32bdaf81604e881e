from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from models import registry
from models.errors import ModelFileError
from models.vitals.trees import load
from tests.contract.walking import equal, everything, walk
from tests.unit.models.vitals.made_up import fitted, records


@pytest.fixture
def folder(tmp_path):
    fitted().save(tmp_path)
    return tmp_path


def describe(folder, **changes):
    path = folder / "classifier.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def retouch(folder, change):
    path = folder / "trees.safetensors"
    arrays = {name: array.copy() for name, array in load_tensors(path.read_bytes()).items()}
    change(arrays)
    path.write_bytes(save_tensors(arrays))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("features", ["all", "values", "clock"])
def test_what_was_saved_answers_the_same_to_the_last_bit(tmp_path, n_classes, features):
    ours = fitted(n_classes, features)
    ours.save(tmp_path)
    loaded = registry.load("trees", tmp_path)
    inputs = records(np.random.default_rng(0), 40, 6)
    (states, outputs), (theirs, answers) = walk(ours, inputs), walk(loaded, inputs)
    assert equal(everything(states[-1], outputs[-1]), everything(theirs[-1], answers[-1]))
    assert loaded.explain(theirs[-1], 3, 1) == ours.explain(states[-1], 3, 1)
    assert loaded.ranges == ours.ranges
    assert (loaded.classes, loaded.channels) == (ours.classes, ours.channels)


def test_saving_twice_writes_the_same_bytes(folder, tmp_path):
    fitted().save(tmp_path / "again")
    for path in (tmp_path / "again").iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes()


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"kind": "lstm"}, "boosted trees"),
        ({"classes": ["a"]}, "boosted trees"),
        ({"classes": ["a", "a"]}, "twice"),
        ({"used": ["HR", "Puls"]}, "not among its channels"),
        ({"features": "everything"}, "boosted trees"),
        ({"features": "clock"}, "fill is"),
        ({"classes": ["a", "b", "c"]}, "baseline is"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder, changes, advice):
    describe(folder, **changes)
    with pytest.raises(ModelFileError, match=advice):
        load(folder)


def put(name, at, value):
    def change(arrays):
        arrays[name][at] = value

    return change


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (lambda arrays: arrays.pop("value"), "missing or unknown"),
        (lambda arrays: arrays.update(more=np.zeros(1)), "missing or unknown"),
        (lambda arrays: arrays.update(left=arrays["left"].astype(np.int16)), "left is int16"),
        (lambda arrays: arrays.update(output=arrays["output"][:-1]), "output is"),
        (put("feature", (0, 0), 999), "not among the"),
        (put("feature", (0, 0), -2), "not among the"),
        (put("output", 0, 1), "a score that there is not"),
        (put("threshold", (0, 0), np.nan), "not a number"),
        (put("value", (0, 0), np.nan), "whole multiple"),
        (put("value", (0, 0), 0.1), "whole multiple"),
        (put("baseline", 0, np.inf), "whole multiple"),
        (put("left", (0, 0), 0), "pre-order"),
        (put("right", (0, 0), 1), "pre-order"),
        (put("right", (0, 0), 10_000), "pre-order"),
        (put("ranges", (0, 0), np.nan), "plausible"),
        (put("fill", 0, np.inf), "plausible"),
    ],
)
def test_arrays_that_are_no_trees_are_refused(folder, change, advice):
    retouch(folder, change)
    with pytest.raises(ModelFileError, match=advice):
        load(folder)


def test_a_node_with_two_parents_is_refused(folder):
    def change(arrays):
        """Send two nodes of one tree to the same right child."""
        asking = np.flatnonzero(arrays["feature"][0] >= 0)
        parent, child = next((a, b) for a in asking for b in asking if arrays["left"][0, a] == b)
        arrays["right"][0, child] = arrays["right"][0, parent]

    retouch(folder, change)
    with pytest.raises(ModelFileError, match="two parents"):
        load(folder)


@pytest.mark.parametrize("name", ["classifier.json", "trees.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"{}", None])
def test_a_file_that_is_broken_or_missing_is_refused(folder, name, content):
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(ModelFileError, match=name):
        load(folder)
