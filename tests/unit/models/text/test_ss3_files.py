from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from models import registry
from models.errors import ModelFileError
from models.text.ss3 import load
from tests.contract.walking import equal, everything, walk
from tests.unit.models.text.made_up import drawn, fitted

FILES = ("classifier.json", "words.json", "counts.safetensors")


@pytest.fixture(scope="module")
def classifier():
    return fitted(3, cv="norm_gv", sigma=0.3)


@pytest.fixture
def folder(classifier, tmp_path):
    classifier.save(tmp_path)
    return tmp_path


def describe(folder, **changes):
    path = folder / "classifier.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_was_saved_is_loaded_with_the_same_answers_to_the_last_bit(classifier, folder):
    loaded = registry.load("ss3", folder)
    inputs = drawn(100, 6, n_classes=3)
    ours, theirs = walk(classifier, inputs), walk(loaded, inputs)
    assert equal(everything(ours[0][-1], ours[1][-1]), everything(theirs[0][-1], theirs[1][-1]))
    assert loaded.description == classifier.description
    assert loaded.vocabulary.words == classifier.vocabulary.words
    assert registry.modality("ss3") == loaded.modality == "text"
    assert loaded.explain(ours[0][-1], 3, 1) == classifier.explain(ours[0][-1], 3, 1)


def test_saving_twice_writes_the_same_bytes_and_nothing_else(classifier, tmp_path):
    for place in ("one", "two"):
        classifier.save(tmp_path / place)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(FILES)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_words_that_nobody_said_twice_are_not_stored(folder):
    counts = load_tensors((folder / "counts.safetensors").read_bytes())["counts"]
    assert counts.max(axis=0).min() >= 2


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelFileError, match=name):
        load(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b'"x"', b"null", pickle.dumps([1]), b"\xff" * 64, b"\x00" * 4096],
    ids=range(8),
)
@pytest.mark.parametrize("name", FILES)
def test_rubbish_is_refused_by_name(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(ModelFileError, match=name):
        load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_refused(folder, name):
    whole = (folder / name).read_bytes()
    for stop in np.linspace(0, len(whole) - 3, 25).astype(int):
        (folder / name).write_bytes(whole[:stop])
        with pytest.raises(ModelFileError):
            load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "lstm"},
        {"schema": 2},
        {"tokens": 99},
        {"horizon": 0},
        {"classes": ["a"]},
        {"classes": ["a", "b", "b"]},
        {"classes": ["a", "b"]},
        {"more": 1},
        {"values": {"sigma": 0}},
        {"values": {"sigma": "x"}},
        {"values": {"lambda": -1.0}},
        {"values": {"sg": "other"}},
        {"answer": {"damping": "share", "scale": -1.0, "offsets": [0, 0, 0]}},
        {"answer": {"damping": "share", "scale": 1e999, "offsets": [0, 0, 0]}},
        {"answer": {"damping": "share", "scale": 1.0, "offsets": [0, 0]}},
        {"answer": {"damping": "share", "scale": 1.0, "offsets": [0, 0, 1e9]}},
        {"answer": {"damping": "twice", "scale": 1.0, "offsets": [0, 0, 0]}},
    ],
)
def test_a_description_that_cannot_be_is_refused(folder, changes):
    describe(folder, **changes)
    with pytest.raises(ModelFileError, match=r"classifier\.json|counts\.safetensors"):
        load(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda words: words[:-1],
        lambda words: [*words[:-1], words[0]],
        lambda words: [*words[:-1], ""],
        lambda words: [*words[:-1], "two words"],
        lambda words: [*words[:-1], "UPPER"],
        lambda words: [*words[:-1], "\x00"],
        lambda words: [*words[:-1], "x" * 65],
        lambda words: [*words[:-1], 7],
    ],
    ids=range(8),
)
def test_a_vocabulary_that_cannot_be_is_refused(folder, change):
    path = folder / "words.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ModelFileError):
        load(folder)


def test_a_refused_vocabulary_is_not_quoted(folder):
    words = json.loads((folder / "words.json").read_text())
    (folder / "words.json").write_text(json.dumps([*words[:-1], "Private Sentence"]))
    with pytest.raises(ModelFileError) as refusal:
        load(folder)
    assert "rivate" not in str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda counts: counts.astype(np.int32),
        lambda counts: counts.astype(np.float64),
        lambda counts: counts[:2],
        lambda counts: counts[:, :-1].copy(),
        lambda counts: counts * -1,
    ],
    ids=range(5),
)
def test_counts_that_cannot_be_are_refused(folder, change):
    path = folder / "counts.safetensors"
    counts = load_tensors(path.read_bytes())["counts"]
    path.write_bytes(save_tensors({"counts": np.ascontiguousarray(change(counts))}))
    with pytest.raises(ModelFileError, match=r"counts\.safetensors"):
        load(folder)


def test_other_arrays_beside_the_counts_are_refused(folder):
    path = folder / "counts.safetensors"
    arrays = dict(load_tensors(path.read_bytes()))
    path.write_bytes(save_tensors(arrays | {"more": np.zeros(1)}))
    with pytest.raises(ModelFileError, match="more"):
        load(folder)
