from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from detectors import datasets, texts
from detectors.errors import DatasetError
from detectors.split import divide

TOLD = "meet me at the old mill"


def stream(label="ham", split="train", posts=("hello there",), **more):
    events = [{"t": t, "text": text} for t, text in enumerate(posts)]
    return {"stream_id": "s", "label": label, "split": split, "events": events, **more}


BOTH = [stream(), stream(split="test")]


def stored(folder, streams, name="talk.jsonl"):
    path = folder / name
    lines = [line if isinstance(line, str) else json.dumps(line) for line in streams]
    raw = "\n".join(lines).encode() + b"\n"
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


@pytest.mark.parametrize("name", ["talk.jsonl", "talk.jsonl.gz"])
def test_one_event_is_one_step_and_one_line_is_one_stream(tmp_path, name):
    path = stored(
        tmp_path,
        [
            stream("spam", posts=["Win!", "", "call\x00 now"], extra=[1]),
            stream("ham", "test", ["שלום"]),
            "",
            stream("ham", "train", ["fine"]),
            stream("alien", "val", ["zzz"]),
            stream("ham", "calibration", ["quite fine"]),
        ],
        name,
    )
    found = texts.read(path)
    train = found.parts["train"]
    assert found.name == "talk"
    assert list(found.parts) == ["train", "val", "calibration", "test"]
    assert train.modality == "text"
    assert train.inputs.dtype == object
    assert train.inputs.tolist() == ["Win!", "", "call\x00 now", "fine"]
    assert train.offsets.tolist() == [0, 3, 4]
    assert train.classes == ("alien", "ham", "spam")
    assert train.labels.tolist() == [2, 1]
    assert train.channels == ("text",)
    assert train.times_s is None
    assert [train.stream_id(i) for i in range(2)] == ["talk/train/0", "talk/train/1"]
    assert found.parts["test"].event_id(0, 1) == "talk/test/0/1"
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_loader_of_all_sets_finds_it_by_name(tmp_path):
    (tmp_path / "talk").mkdir()
    stored(tmp_path / "talk", BOTH, "talk.jsonl.gz")
    found = datasets.load("talk", tmp_path)
    assert found.parts["train"].modality == "text"
    assert found.subjects_known


def test_what_stands_beside_the_file_is_its_provenance(tmp_path):
    path = stored(tmp_path, BOTH)
    (tmp_path / "talk.toml").write_text('licence = "CC0"\n')
    assert texts.read(path).provenance == {"licence": "CC0"}


def test_equal_words_make_one_subject_in_whichever_part(tmp_path):
    path = stored(
        tmp_path,
        [
            stream(posts=["Call 0800-111 NOW", "please"]),
            stream(posts=["call 0900 222"]),
            stream(posts=["call 0700-333", "now, please!"]),
            stream(posts=["..."]),
            stream(posts=["?"]),
            stream(split="test", posts=["CALL 0800 999 now PLEASE"]),
            stream(split="test", posts=["?"]),
        ],
    )
    found = texts.read(path).parts
    train, test = found["train"].subjects.tolist(), found["test"].subjects.tolist()
    assert train[0] == train[2] == test[0]
    assert train[4] == test[1]
    assert len({train[0], train[1], train[3], train[4]}) == 4


def test_copies_stay_together_when_the_set_is_divided(tmp_path):
    streams = [stream(posts=[f"text {chr(97 + k % 20)}{'!' * k}"]) for k in range(100)]
    parts = divide(texts.read(stored(tmp_path, [*streams, stream(split="test")])), seed=3)
    learned = set(parts.fit.subjects) | set(parts.tuning.subjects)
    assert learned.isdisjoint(parts.calibration.subjects)
    assert set(parts.fit.subjects).isdisjoint(parts.tuning.subjects)
    assert len(set(parts.calibration.subjects)) == len(parts.calibration)


def test_streams_of_the_test_part_that_stand_in_train_are_counted(tmp_path):
    streams = [stream(posts=[f"{word} word"]) for word in ("a", "b", "c", "d", "e", "f", "g", "h")]
    tests = [stream(split="test", posts=[post]) for post in ("A, word", "b word.", "new words")]
    assert divide(texts.read(stored(tmp_path, [*streams, *tests])), seed=0).repeated == 2


def test_times_are_read_when_they_are_said_to_be_times(tmp_path):
    timed = stream(posts=["a", "b", "c"])
    timed["events"][2]["t"] = 90.5
    found = texts.read(stored(tmp_path, [timed, stream(split="test")]), times="seconds")
    assert found.parts["train"].times_s.tolist() == [0.0, 1.0, 90.5]


@pytest.mark.parametrize("times", [(0, -1), (1, None), (0, 1e999)])
def test_times_that_are_none_are_refused_with_their_line(tmp_path, times):
    bad = stream(posts=["a", "b"])
    for event, t in zip(bad["events"], times, strict=True):
        event["t"] = t
    line = json.dumps(bad).replace("Infinity", "1e999")
    path = stored(tmp_path, [stream(), "", stream(split="test"), line])
    with pytest.raises(DatasetError, match="line 4"):
        texts.read(path, times="seconds")


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "null",
        '"' + TOLD + '"',
        json.dumps({"label": TOLD, "events": []}),
        json.dumps(stream(posts=[])),
        json.dumps(stream() | {"events": [{"t": 0}]}),
        json.dumps(stream() | {"events": [TOLD]}),
        json.dumps(stream() | {"events": [{"t": TOLD, "text": TOLD}]}),
        json.dumps(stream() | {"events": [{"t": 0, "text": 7}]}),
        json.dumps(stream() | {"label": ""}),
        json.dumps(stream() | {"label": 1}),
        json.dumps(stream() | {"split": "other"}),
        json.dumps(stream(posts=[TOLD]))[:-5],
        json.dumps(stream(posts=["\ud800 " + TOLD])),
    ],
    ids=range(15),
)
def test_a_line_that_cannot_be_used_is_named_and_not_quoted(tmp_path, line):
    path = stored(tmp_path, [*BOTH, line])
    with pytest.raises(DatasetError, match="line 3: ") as refusal:
        texts.read(path)
    assert str(refusal.value).startswith(str(path))
    assert "mill" not in str(refusal.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "talk.jsonl"
    path.write_bytes(json.dumps(stream()).encode() + b"\n" + b'{"label": "\xff\xfe"}\n')
    with pytest.raises(DatasetError, match="line 2"):
        texts.read(path)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_set_without_train_or_test_is_refused(tmp_path, part):
    streams = [found for found in BOTH if found["split"] != part]
    with pytest.raises(DatasetError, match=f"no stream in the {part} part"):
        texts.read(stored(tmp_path, streams))


def test_an_empty_file_and_a_missing_one_are_refused(tmp_path):
    for path in (stored(tmp_path, []), tmp_path / "none.jsonl", tmp_path / "none.jsonl.gz"):
        with pytest.raises(DatasetError):
            texts.read(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_half_an_archive_is_refused(tmp_path, share):
    random = np.random.default_rng(0)
    posts = ["".join(map(chr, random.integers(97, 123, 30))) for _ in range(300)]
    path = stored(tmp_path, [*BOTH, stream(posts=posts)], "talk.jsonl.gz")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DatasetError, match="cannot be read beyond line"):
        texts.read(path)


@pytest.mark.parametrize("content", [b"no archive", b"\x1f\x8b", b"\x1f\x8b" + b"\x00" * 40])
def test_what_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "talk.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(DatasetError):
        texts.read(path)


@pytest.fixture
def sms():
    folder = os.environ.get("TOCSIN_DATA_DIR")
    if not folder or not (Path(folder) / "sms_spam").is_dir():
        pytest.skip("TOCSIN_DATA_DIR is not set, or holds no sms_spam")
    return datasets.load("sms_spam", Path(folder))


def test_the_real_messages_are_all_there_and_their_copies_known(sms):
    assert {name: len(part) for name, part in sms.parts.items()} == {"train": 3902, "test": 1672}
    assert sms.parts["train"].classes == ("ham", "spam")
    assert sms.parts["train"].lengths.max() == 171
    # 153 texts of the test part stand in the train part letter for letter (as its makers say).
    assert divide(sms, seed=0).repeated > 153
