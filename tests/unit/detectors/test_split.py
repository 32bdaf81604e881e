from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.datasets import Dataset
from detectors.errors import SplitError
from detectors.scoring import StreamSet
from detectors.split import divide, group
from models.inputs import vitals_dtype


def part(name, frames, subjects=None):
    """Return streams of one frame each, with one channel, named by their row."""
    n = len(frames)
    rows = np.arange(n)
    return StreamSet(
        name="d", split=name, modality="frames", ids=rows,
        inputs=np.asarray(frames, np.float32).reshape(n, 1), offsets=np.arange(n + 1),
        labels=np.zeros(n, np.int64),
        subjects=rows if subjects is None else np.asarray(subjects), classes=("a", "b"),
        channels=("x",),
    )  # fmt: skip


def whole(*, known=True, **parts):
    return Dataset("d", parts, sha256="", subjects_known=known)


def names(streams):
    return {streams.stream_id(i) for i in range(len(streams))}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=20, max_size=60),
    st.integers(0, 2**32),
    st.sampled_from([(), ("val",), ("calibration",), ("val", "calibration")]),
    st.integers(1, 30),
)
def test_no_subject_and_no_copy_is_in_the_calibration_part_and_learned_from(
    subjects, seed, own, n_frames
):
    random = np.random.default_rng(seed)
    if len(set(subjects)) < 5:
        subjects = [*subjects, *range(20, 25)]

    def drawn(name, them):
        return part(name, random.integers(0, n_frames * 20, len(them)), them)

    parts = {"train": drawn("train", subjects), "test": drawn("test", subjects[:5])}
    parts |= {name: drawn(name, random.permutation(40)[:25]) for name in own}
    dataset = whole(**parts)
    try:
        divided = divide(dataset, seed)
    except SplitError:
        return  # all frames of all subjects hang together
    keys = {}
    for name in ("fit", "tuning", "calibration"):
        streams = getattr(divided, name)
        keys[name] = (set(streams.subjects.tolist()), set(streams.inputs.ravel().tolist()))
    for learned in ("fit", "tuning"):
        assert not keys["calibration"][0] & keys[learned][0]
        assert not keys["calibration"][1] & keys[learned][1]
    if "val" not in own:
        assert not keys["fit"][0] & keys["tuning"][0]
        assert not keys["fit"][1] & keys["tuning"][1]
    calibration = divided.calibration
    assert len(set(calibration.subjects.tolist())) == len(calibration)
    assert divided.own_calibration == ("calibration" in own)


def test_each_stream_of_the_train_part_is_used_for_one_thing():
    dataset = whole(
        known=False, train=part("train", range(100)), test=part("test", range(100, 110))
    )
    divided = divide(dataset, 0)
    used = [names(getattr(divided, name)) for name in ("fit", "tuning", "calibration")]
    assert sum(map(len, used)) == 100
    assert set.union(*used) == {f"d/train/{i}" for i in range(100)}
    assert [len(them) for them in used] == [60, 15, 25]
    assert names(divided.test) == {f"d/test/{i}" for i in range(10)}


def test_a_set_with_all_parts_of_its_own_is_left_as_it_is():
    parts = {
        name: part(name, range(k * 50, k * 50 + 50))
        for k, name in enumerate(("train", "val", "calibration", "test"))
    }
    divided = divide(whole(known=False, **parts), 3)
    assert names(divided.fit) == {f"d/train/{i}" for i in range(50)}
    assert names(divided.tuning) == {f"d/val/{i}" for i in range(50)}
    assert names(divided.calibration) == {f"d/calibration/{i}" for i in range(50)}
    assert divided.own_calibration
    assert divided.repeated == 0


def test_the_same_seed_divides_alike_and_another_one_differently():
    dataset = whole(train=part("train", range(100)), test=part("test", range(100, 110)))
    once, again, other = (names(divide(dataset, seed).fit) for seed in (1, 1, 2))
    assert once == again != other


def test_one_stream_a_subject_is_calibrated_on_and_not_always_the_first():
    subjects = np.repeat(np.arange(50), 4)
    dataset = whole(
        train=part("train", range(1000, 1010)), test=part("test", range(2000, 2010)),
        calibration=part("calibration", range(200), subjects + 100),
    )  # fmt: skip
    chosen = divide(dataset, 0).calibration
    assert len(chosen) == 50
    assert (chosen.ids % 4 != 0).any()


def test_equal_streams_join_the_groups_of_their_subjects():
    one = part("train", [1, 2, 3, 4], [10, 10, 11, 12])
    two = part("calibration", [3, 9], [13, 12])
    ours, theirs = group([one, two], known=True)
    assert ours[0] == ours[1] != ours[2] != ours[3]
    assert theirs[0] == ours[2]
    assert theirs[1] == ours[3]


def worded(texts):
    inputs = np.array([word for text in texts for word in text], dtype=object)
    offsets = np.concatenate(([0], np.cumsum([len(text) for text in texts])))
    n = len(texts)
    return StreamSet(
        "d", "train", "text", np.arange(n), inputs, offsets, np.zeros(n, np.int64), np.arange(n),
        ("a",), ("text",),
    )  # fmt: skip


def test_equal_texts_are_one_group_and_a_step_ends_where_it_ends():
    groups = group([worded([["a", "b"], ["a", "b"], ["ab"], ["a"], ["", "a"]])], known=False)[0]
    assert groups[0] == groups[1]
    assert len(set(groups.tolist())) == 4


def test_equal_measurements_at_another_time_are_one_group():
    rows = np.zeros(2, vitals_dtype(2))
    rows["values"], rows["time_s"] = [[80, np.nan], [80, np.nan]], [0.0, 5.0]
    streams = StreamSet(
        "d", "train", "vitals", np.arange(2), rows, np.arange(3), np.zeros(2, np.int64),
        np.arange(2), ("a",), ("HR", "Temp"),
    )  # fmt: skip
    assert len(set(group([streams], known=False)[0].tolist())) == 1


def test_a_negative_zero_is_a_zero():
    assert len(set(group([part("train", [0.0, -0.0])], known=False)[0].tolist())) == 1


def test_rows_of_different_parts_are_not_taken_for_one_subject():
    ours, theirs = group([part("train", [1, 2]), part("test", [3, 4])], known=False)
    assert not set(ours.tolist()) & set(theirs.tolist())


def test_test_streams_with_a_relative_elsewhere_are_counted():
    dataset = whole(
        train=part("train", range(50)), test=part("test", [49, 1000, 1001], [900, 901, 3])
    )
    assert divide(dataset, 0).repeated == 2


def test_too_few_subjects_are_refused_with_their_number():
    dataset = whole(train=part("train", range(20), [1] * 10 + [2] * 10), test=part("test", [99]))
    with pytest.raises(SplitError, match="has 2 subjects"):
        divide(dataset, 0)
