"""The files of an online classifier: only what was written is loaded."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from models import registry
from models.errors import ModelFileError
from models.online.classifier import load
from models.online.files import MOST
from models.online.lessons import Lessons, nothing
from tests.contract.walking import equal, everything, walk
from tests.unit.models.online.test_lessons import same, served
from tests.unit.models.text.made_up import drawn

FILES = ("classifier.json", "words.json", "counts.safetensors")


@pytest.fixture(scope="module")
def classifier():
    lessons = Lessons(nothing(("no", "yes")), alpha=1.0, least_streams=2)
    for n, said in enumerate(["pay the bike", "the bike is blue", "pay pay blue", "zebra bike"]):
        lessons.learn(said, ("no", "yes")[n % 2])
    return served(lessons.learned())


@pytest.fixture
def folder(classifier, tmp_path):
    classifier.save(tmp_path)
    return tmp_path


def describe(folder, **changes):
    path = folder / "classifier.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def retold(folder, **changes):
    path = folder / "counts.safetensors"
    arrays = load_tensors(path.read_bytes()) | changes
    path.write_bytes(save_tensors({k: v for k, v in arrays.items() if v is not None}))


def test_what_was_saved_is_loaded_with_the_same_answers_to_the_last_bit(classifier, folder):
    loaded = registry.load("river", folder)
    inputs = drawn(100, 6, n_classes=2)
    ours, theirs = walk(classifier, inputs), walk(loaded, inputs)
    assert equal(everything(ours[0][-1], ours[1][-1]), everything(theirs[0][-1], theirs[1][-1]))
    assert loaded.description == classifier.description
    assert same(loaded.learned, classifier.learned)


def test_saving_twice_writes_the_same_bytes_and_nothing_else(classifier, tmp_path):
    for place in ("one", "two"):
        classifier.save(tmp_path / place)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(FILES)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


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
    content = (folder / name).read_bytes().rstrip()
    for end in range(0, len(content), max(1, len(content) // 40)):
        (folder / name).write_bytes(content[:end])
        with pytest.raises(ModelFileError, match=name):
            load(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["no"]}, {"classes": ["no", "no"]}, {"classes": ["no", "yes", "so"]},
        {"kind": "ss3"}, {"schema": 2}, {"horizon": 0}, {"more": 1}, {"tokens": 99},
        {"options": {"alpha": 0.0}}, {"options": {"alpha": 1.0, "least_streams": 0}},
        {"answer": {"damping": "none", "scale": 1e9, "offsets": [0, 0]}},
        {"answer": {"damping": "none", "scale": 1.0, "offsets": [0]}},
        {"answer": {"damping": "none", "scale": 1.0, "offsets": [0, "nan"]}},
    ],
)  # fmt: skip
def test_a_description_that_does_not_fit_is_refused(folder, change):
    describe(folder, **change)
    with pytest.raises(ModelFileError, match=r"classifier\.json|counts\.safetensors"):
        load(folder)


@pytest.mark.parametrize(
    "words",
    [
        ["bike", "bike", "blue", "pay"], ["pay", "the", "blue", "bike"], ["bike", "blue", "pay"],
        ["bike", "blue", "pay", "The"], ["bike", "blue", "pay", "two words"],
        ["bike", "blue", "pay", ""], ["bike", "blue", "pay", "x" * 65],
        ["bike", "blue", "pay", "\x00"], ["bike", "blue", "pay", "a" + "\u0344" * 8],
    ],
)  # fmt: skip
def test_words_that_are_none_are_refused(folder, words):
    (folder / "words.json").write_text(json.dumps(words))
    with pytest.raises(ModelFileError, match=r"words\.json|counts\.safetensors"):
        load(folder)


def broken_arrays():
    whole = np.ones((2, 4), np.int64)
    yield "counts", {"counts": whole.astype(np.float64)}
    yield "counts", {"counts": whole.astype(np.int32)}
    yield "counts", {"counts": np.ones((4, 2), np.int64)}
    yield "counts", {"counts": -whole}
    yield "counts", {"counts": whole * (MOST + 1)}
    yield "streams", {"streams": np.array([-1, 2])}
    yield "streams", {"streams": np.array([2])}
    yield "waiting", {"waiting": np.array([3, 2], np.uint64)}
    yield "waiting", {"waiting": np.array([3], np.int64)}
    yield "waiting_counts", {"waiting_counts": np.ones((2, 7), np.int64)}
    yield "waiting_streams", {"waiting_streams": np.array([-5, 1])}
    yield "counts", {"counts": None}
    yield "more", {"more": np.zeros(1)}


@pytest.mark.parametrize(("what", "change"), list(broken_arrays()))
def test_counts_that_do_not_fit_are_refused(folder, what, change):
    retold(folder, **change)
    with pytest.raises(ModelFileError, match=what):
        load(folder)


def test_waiting_words_out_of_order_are_refused(folder):
    arrays = load_tensors((folder / "counts.safetensors").read_bytes())
    retold(folder, waiting=arrays["waiting"][::-1].copy())
    with pytest.raises(ModelFileError, match="in order"):
        load(folder)
    retold(folder, waiting=np.repeat(arrays["waiting"][:1], len(arrays["waiting"])))
    with pytest.raises(ModelFileError, match="in order"):
        load(folder)
