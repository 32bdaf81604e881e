"""The figures of the sepsis report, on answers that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.sepsis_measures import Answers, auroc, measures, sensitivity_at
from models.inputs import vitals_dtype
from models.protocol import LabelledStreams


def answers():
    """Four negatives, one of them raised; three positives: early, late, missed."""
    readiness = np.full((7, 24), 0.1)
    lengths = np.array([24, 24, 24, 12, 24, 24, 24])
    readiness[3, 12:] = np.nan
    readiness[0, 5] = readiness[4, 3] = readiness[5, 20] = 0.9
    return Answers(
        readiness=readiness,
        lengths=lengths,
        first_positive=np.array([-1, -1, -1, -1, 10, 16, 8]),
        raised=np.array([6, 0, 0, 0, 4, 21, 0]),
    )


def test_the_figures_are_the_counted_ones():
    found = measures(answers(), 0.1, 0.05, seed=0)
    shares = {
        "false_alarm_rate": (1, 4), "sensitivity": (2, 3), "raised_by_first_positive_row": (1, 3),
        "precision": (2, 3), "missed": (1, 3),
    }  # fmt: skip
    for name, (k, n) in shares.items():
        assert (found[name]["k"], found[name]["n"]) == (k, n)
        assert found[name]["low"] < k / n < found[name]["high"]
    leads = {hours: share["k"] for hours, share in found["lead_of_all_positives"].items()}
    assert leads == {">= -6 h": 2, ">= 0 h": 1, ">= 3 h": 1, ">= 6 h": 1, ">= 12 h": 0}
    assert found["lead_hours_of_raised"]["mean"] == 1.5  # 7 hours early, 4 hours late
    watched = (6 + 24 + 24 + 12 + 4 + 21 + 24) / 24
    assert found["false_alarms_per_stream_day"]["mean"] == pytest.approx(1 / watched)
    assert found["false_alarm_rate"]["p_value"] == pytest.approx(1 - 0.9**4)
    assert not found["false_alarm_rate"]["rejected"]


def test_sensitivity_at_a_share_of_false_alarms_is_interpolated_as_by_a_coin():
    highest = np.array([0.1, 0.2, 0.3, 0.4, 0.15, 0.35])
    given = Answers(
        highest[:, np.newaxis], np.ones(6, int), np.array([-1] * 4 + [0, 0]), np.zeros(6, int)
    )
    assert sensitivity_at(given, 0.0) == 0.0
    assert sensitivity_at(given, 0.25) == 0.5
    assert sensitivity_at(given, 0.5) == 0.5
    assert sensitivity_at(given, 0.75) == 1.0
    assert sensitivity_at(given, 0.125) == 0.25
    assert sensitivity_at(given, 1.0) == 1.0


def test_a_rule_is_compared_at_its_own_share_of_false_alarms():
    ours = answers()
    found = ours.ahead_of(ours, seed=0)
    assert found["mean"] == pytest.approx(0.0)
    blind = Answers(np.full((7, 24), 0.5), ours.lengths, ours.first_positive, ours.raised * 0)
    assert ours.ahead_of(blind, seed=0)["mean"] == pytest.approx(2 / 3 - 1 / 4)


def test_the_area_counts_every_hour_once():
    labels = np.array([0, 0, 1, 0, 1, 1, 1])
    streams = LabelledStreams(
        inputs=np.zeros(7, vitals_dtype(1)), offsets=np.array([0, 3, 5, 7]),
        labels=np.array([1, 1, 1]), classes=("no", "yes"), channels=("x",), step_labels=labels,
    )  # fmt: skip
    probability = np.array([0.1, 0.5, 0.4, 0.2, 0.9, 0.4, 0.3], np.float32)
    found = auroc(probability, streams, hours=2)
    # Of 4 * 3 pairs those with 0.5 against 0.4 twice and 0.3 are wrong.
    assert found["all rows"]["mean"] == pytest.approx(9 / 12)
    assert found["rows up to 2 h"]["n"] == 6
    assert found["rows up to 2 h, stays not positive from the start"]["mean"] == 1.0
