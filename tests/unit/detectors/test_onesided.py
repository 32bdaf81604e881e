from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from detectors.onesided import calibrate, elapsed_hours, evaluation_one_sided, event_steps
from detectors.scoring import Scored, StreamSet
from stopping.onesided import calibrate_one_sided

ALARM = 1


@dataclass(frozen=True)
class Rule:
    alpha: float = 0.2
    delta: float = 0.1
    precision: float | None = None
    mode: str = "reference"


def stream_set(lengths, labels, **changes):
    lengths = np.array(lengths)
    offsets = np.concatenate(([0], lengths.cumsum()))
    made = StreamSet(
        name="made-up",
        split="test",
        modality="frames",
        ids=np.arange(len(lengths)),
        inputs=np.zeros((offsets[-1], 1), np.float32),
        offsets=offsets,
        labels=np.array(labels),
        subjects=np.arange(len(lengths)),
        classes=("calm", "storm"),
        channels=("x",),
    )
    return replace(made, **changes)


def scored(halt_step, label, length, readiness=None):
    n, horizon = len(length), max(length)
    readiness = np.zeros((n, horizon)) if readiness is None else np.array(readiness)
    return Scored(
        readiness=readiness,
        predicted=np.zeros((n, horizon), np.int64),
        probability=np.ones((n, horizon)),
        halt_step=np.array(halt_step),
        label=np.array(label),
        late_label=np.array(label),
        late_probability=np.ones(n),
        length=np.array(length),
        reasons=["end"] * n,
        decisions=(),
    )


# Four streams of hourly steps. The first positive is raised two hours before its event, the second
# is missed; one negative is raised at its very end, the other never.
STREAMS = stream_set([4, 3, 2, 3], [1, 1, 0, 0])
STEP_LABELS = np.array([0, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0])
HOURLY = 1e9 + 3600.0 * np.concatenate([np.arange(n) for n in (4, 3, 2, 3)])
SCORED = scored([2, 3, 2, 3], [1, 0, 1, 0], [4, 3, 2, 3])


def test_an_event_is_the_first_step_that_is_labelled_with_the_alarm():
    streams = replace(STREAMS, step_labels=STEP_LABELS)
    assert event_steps(streams, ALARM).tolist() == [4, 2, 0, 0]
    assert event_steps(STREAMS, ALARM).tolist() == [0, 0, 0, 0]


def test_hours_run_from_a_streams_first_step():
    hours = elapsed_hours(replace(STREAMS, times_s=HOURLY))
    assert hours.shape == (4, 4)
    assert hours[0].tolist() == [0, 1, 2, 3]
    assert hours[2, :2].tolist() == [0, 1]
    assert np.isnan(hours[2, 2:]).all()


def test_the_numbers_are_those_of_the_raised_whether_early_or_at_the_end():
    streams = replace(STREAMS, step_labels=STEP_LABELS, times_s=HOURLY)
    numbers = evaluation_one_sided(SCORED, streams, ALARM)
    assert (numbers["n_positive"], numbers["n_negative"]) == (2, 2)
    assert (numbers["sensitivity"], numbers["false_alarm_rate"]) == (0.5, 0.5)
    assert numbers["raised_by_event"] == 0.5
    assert numbers["lead_time_h"]["median"] == 2.0
    assert numbers["lead_time_h"]["n_missed"] == 1
    assert numbers["lead_time_unit"] == "hours"
    # Watched 1 + 2 + 1 + 2 hours from each first step, one false alarm.
    assert numbers["false_alarms_per_stream_day"] == pytest.approx(24 / 6)
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


def test_without_a_clock_lead_times_are_steps_and_nothing_is_said_per_day():
    numbers = evaluation_one_sided(SCORED, replace(STREAMS, step_labels=STEP_LABELS), ALARM)
    assert (numbers["lead_time_unit"], numbers["lead_time_h"]["median"]) == ("steps", 2.0)
    assert numbers["false_alarms_per_stream_day"] is None


def test_with_thresholds_the_alarms_that_would_sound_again_are_told():
    readiness = [[0.1, 0.9, 0.9, 0.9], [0.1] * 3 + [np.nan], [0.1, 0.9, 0.99, 0.99], [0.9] * 4]
    streams = replace(STREAMS, times_s=HOURLY)
    answers = replace(SCORED, readiness=np.array(readiness))
    told = evaluation_one_sided(
        answers, streams, ALARM, thresholds=[0.5, 0.5, 0.5, np.inf], refractory_h=2
    )["repeated_alarms"]
    # One of the third stream, at its second step; of the fourth at hours 0 and 2. Watched 8 hours.
    assert told["false_alarms_per_stream_day"] == pytest.approx(3 / (8 / 24))


def test_streams_of_one_subject_make_the_intervals_go_by_subject():
    streams = replace(STREAMS, subjects=np.array([7, 7, 8, 9]))
    assert evaluation_one_sided(SCORED, streams, ALARM)["intervals"] == "by subject"
    assert evaluation_one_sided(SCORED, STREAMS, ALARM)["intervals"] == "exact"


@pytest.mark.parametrize("precision", [None, 0.4])
def test_calibration_asks_the_library_for_what_the_rule_says(precision):
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 300)
    readiness = np.clip(rng.beta(1, 6, (300, 3)) + (labels == 2)[:, None] * 0.3, 0, 1)
    length = rng.integers(1, 4, 300)
    answers = scored(length, labels, length, readiness)
    made = calibrate(answers, labels, Rule(precision=precision), 2, seed=5)
    assert made.certifies
    assert made == calibrate_one_sided(
        readiness, labels == 2, length, 0.2, 0.1, precision=precision, seed=5
    )
