"""From records to steps in every modality: what is taken, what is refused, and why."""

from datetime import UTC, datetime
from types import MappingProxyType

import msgspec
import numpy as np
import pytest

from streams.codec import decode, encode
from streams.inputs.measurements import stack_measurements
from streams.inputs.scores import stack_scores
from streams.inputs.stack import stack
from streams.inputs.texts import stack_texts
from streams.records import Event, Reason, Rejected

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
CHANNELS = ("HR", "Temp", "SBP")


class Reads:
    classes = ("no", "yes")

    def __init__(self, modality, channels):
        self.modality, self.channels = modality, channels


def record(**fields):
    return msgspec.json.encode({"stream_id": "a", **fields})


@pytest.mark.parametrize(
    ("fields", "modality"),
    [
        ({"frames": [[1.0]]}, "frames"),
        ({"text": "hi"}, "text"),
        ({"text": ""}, "text"),
        ({"measurements": {"HR": 80, "Temp": None}}, "vitals"),
        ({"measurements": {"HR": None}}, "vitals"),
        ({"scores": {"no": 0.5, "yes": 0.5}}, "scores"),
        ({"end": True}, None),
    ],
)
def test_a_record_is_of_the_modality_of_its_content(fields, modality):
    event = decode(record(**fields))
    assert event.modality == modality
    assert decode(encode(event)) == event


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"text": "hi", "frames": [[1.0]]}, Reason.SEVERAL_CONTENTS),
        ({"text": "", "measurements": {"HR": 80}}, Reason.SEVERAL_CONTENTS),
        ({"scores": {"a": 1.0}, "measurements": {"HR": 80}}, Reason.SEVERAL_CONTENTS),
        ({"text": 7}, Reason.SCHEMA),
        ({"measurements": {"HR": "80"}}, Reason.SCHEMA),
        ({"measurements": {}}, Reason.NO_CONTENT),
        ({"scores": {}}, Reason.NO_CONTENT),
        ({"text": None}, Reason.NO_CONTENT),
    ],
)
def test_contents_that_cannot_be_used_have_their_reason(fields, reason):
    answer = decode(record(**fields))
    assert isinstance(answer, Rejected)
    assert answer.reason is reason


@pytest.mark.parametrize(
    "text", ["", "\x00", "a\x00b", "\u202eabc", "שלום", "🙂" * 10, "x" * 10**6]
)
def test_any_text_is_one_step_unchanged(text):
    event = decode(encode(Event("a", text=text)))
    texts, n_steps, rejected = stack_texts([event, Event("a", end=True), event])
    assert texts.tolist() == [text, text]
    assert n_steps.tolist() == [1, 0, 1]
    assert not rejected


def test_measurements_come_into_their_columns_with_gaps():
    events = [
        Event("a", time=AT, measurements={"Temp": 36.6, "HR": 80.0}),
        Event("a", end=True),
        Event("b", time=AT, measurements={"SBP": None}),
        Event("b", time=AT, measurements={"SBP": 120.0}, end=True),
    ]
    rows, n_steps, rejected = stack_measurements(events, CHANNELS)
    assert not rejected
    assert n_steps.tolist() == [1, 0, 1, 1]
    np.testing.assert_array_equal(
        rows["values"],
        np.array([[80, 36.6, np.nan], [np.nan] * 3, [np.nan, np.nan, 120]], np.float32),
    )
    assert rows["time_s"].tolist() == [AT.timestamp()] * 3


@pytest.mark.parametrize(
    ("event", "reason", "said"),
    [
        (Event("a", measurements={"HR": 80.0}), Reason.NO_TIME, "time"),
        (Event("a", time=AT, measurements={"hr": 80.0}), Reason.UNKNOWN_CHANNEL, "HR, Temp"),
        (Event("a", time=AT, measurements={"HR": 1e39}), Reason.NOT_FINITE, "HR is beyond"),
    ],
)
def test_measurements_that_cannot_be_used_are_told_and_hurt_no_neighbour(event, reason, said):
    good = Event("b", time=AT, measurements={"HR": 80.0})
    rows, n_steps, rejected = stack_measurements([good, event, good], CHANNELS)
    assert list(rejected) == [1]
    assert rejected[1].reason is reason
    assert said in rejected[1].detail
    assert len(rows) == 2
    assert n_steps.tolist() == [1, 1]


def test_a_value_in_another_unit_is_remarked_upon_and_its_record_used():
    class Bedside(Reads):
        ranges = MappingProxyType({"Temp": (20.0, 45.0), "HR": (10.0, 400.0)})

    events = [
        Event("a", end=True),
        Event("a", time=AT, measurements={"Temp": 98.6, "HR": 80.0, "SBP": 1e9}),
        Event("a", measurements={"HR": 80.0}),
        Event("b", time=AT, measurements={"Temp": 36.6, "HR": 0.0}),
        Event("b", time=AT, measurements={"Temp": 45.0}),
    ]
    found = stack(Bedside("vitals", CHANNELS), events)
    assert list(found.rejected) == [2]
    assert found.n_steps.tolist() == [0, 1, 1, 1]
    assert {at: why.reason for at, why in found.remarks.items()} == dict.fromkeys(
        (1, 3), Reason.OUT_OF_RANGE
    )
    assert "Temp is not between 20 and 45" in found.remarks[1].detail
    assert "98.6" not in found.remarks[1].detail


def test_a_name_that_somebody_sent_is_not_repeated():
    event = Event("a", time=AT, measurements={"Jane Doe": 1.0})
    assert "Jane" not in stack_measurements([event], CHANNELS)[2][0].detail


@pytest.mark.parametrize(
    "scores",
    [
        {"no": 0.4, "yes": 0.5},
        {"no": -0.1, "yes": 1.1},
        {"no": 1.0},
        {"no": 0.5, "yes": 0.25, "maybe": 0.25},
        {"No": 0.5, "yes": 0.5},
    ],
)
def test_scores_that_are_no_probabilities_of_the_labels_are_refused(scores):
    _, _, rejected = stack_scores([Event("a", scores=scores)], ("no", "yes"))
    assert rejected[0].reason is Reason.WRONG_SCORES


def test_scores_rounded_for_transport_are_scaled_to_one():
    scores, n_steps, rejected = stack_scores(
        [Event("a", scores={"yes": 0.6669, "no": 0.3333}), Event("a", end=True)], ("no", "yes")
    )
    assert not rejected
    assert n_steps.tolist() == [1, 0]
    assert scores.dtype == np.float32
    assert scores.sum() == pytest.approx(1.0, abs=1e-6)
    assert scores[0, 1] > scores[0, 0]


@pytest.mark.parametrize(
    ("reader", "event", "dtype"),
    [
        (Reads("frames", ("x",)), Event("a", frames=[[1.0], [2.0]]), np.float32),
        (Reads("text", ("text",)), Event("a", text="hi"), object),
        (Reads("scores", ("no", "yes")), Event("a", scores={"no": 0, "yes": 1}), np.float32),
    ],
)
def test_steps_are_held_as_their_modality_is(reader, event, dtype):
    inputs, n_steps, rejected, remarks = stack(reader, [event])
    assert not rejected
    assert not remarks
    assert inputs.dtype == dtype
    assert len(inputs) == n_steps.sum()
