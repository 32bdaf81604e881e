"""Numbers that were worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stopping.errors import ShapeError
from stopping.metrics.alarms import onsets
from stopping.metrics.bootstrap import bootstrap_interval, ratio, weighted_quantile
from stopping.metrics.lead_time import lead_time
from stopping.metrics.one_sided import report_one_sided
from stopping.metrics.proportions import Share

# Ten stays of hourly rows. Positives: raised 3 h before the event, at it, 2 h after it, missed
# twice; one more positive without a known event is raised. Negatives: one of four is raised.
RAISED = [2, 6, 8, 0, 0, 1, 4, 0, 0, 0]
POSITIVE = [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
LENGTHS = [12, 12, 12, 12, 12, 12, 12, 12, 6, 6]
EVENT = [5, 6, 6, 9, 4, 0, 0, 0, 0, 0]


def report(**changes):
    return report_one_sided(RAISED, POSITIVE, LENGTHS, EVENT, **changes)


def test_the_shares_are_counted_and_have_exact_intervals():
    numbers = report().to_json()
    assert (numbers["n"], numbers["n_positive"], numbers["n_negative"]) == (10, 6, 4)
    assert (numbers["n_raised"], numbers["n_false_alarms"]) == (5, 1)
    assert numbers["sensitivity"] == pytest.approx(4 / 6)
    assert numbers["precision"] == pytest.approx(4 / 5)
    assert numbers["false_alarm_rate"] == pytest.approx(1 / 4)
    assert numbers["raised_by_event"] == pytest.approx(2 / 5)
    assert numbers["intervals"] == "exact"
    # Clopper-Pearson for 1 of 4, from published tables.
    assert numbers["false_alarm_rate_interval"] == pytest.approx([0.0063, 0.8059], abs=1e-4)
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


def test_lead_times_are_told_with_the_missed():
    told = report().lead_time_h
    # Leads 3, 0, -2 h; two missed.
    assert (told.median, told.iqr) == (0.0, [-2.0, 3.0])
    assert (told.n_detected, told.n_missed) == (3, 2)
    assert told.median_with_missed == -2.0  # of (missed, missed, -2, 0, 3)


def test_where_half_are_missed_the_median_with_the_missed_does_not_exist():
    told = lead_time(np.array([1.0, np.nan]), np.array([4.0, 4.0]), np.arange(2), seed=0)
    assert told.median == 3.0
    assert told.median_with_missed is None


def test_false_alarms_are_counted_per_day_that_a_stream_was_watched():
    # Watched 2 + 6 + 8 + 12 + 12 + 1 + 4 + 12 + 6 + 6 = 69 hours.
    assert report().false_alarms_per_stream_day.value == pytest.approx(24 / 69)
    assert report(hours=2.0).false_alarms_per_stream_day.value == pytest.approx(12 / 69)


def test_unequal_times_are_taken_as_they_are():
    hours = np.tile(np.arange(12.0) ** 2, (10, 1))
    told = report(hours=hours).lead_time_h
    # Events at rows 5, 6, 6: 16, 25, 25 h; raised at rows 2, 6, 8: 1, 25, 49 h.
    assert told.iqr == [-24.0, 15.0]
    assert told.median == 0.0


def test_an_event_may_lie_beyond_the_streams_last_step():
    told = report_one_sided([2], [1], [3], [9], hours=0.5)
    assert told.lead_time_h.median == 3.5
    assert told.raised_by_event.value == 1.0


def test_an_event_of_a_stream_that_is_not_positive_does_not_count():
    told = report_one_sided([2, 1], [1, 0], [3, 3], [3, 3])
    assert (told.lead_time_h.n_detected, told.raised_by_event.value) == (1, 1.0)


def test_what_there_is_nothing_of_is_none_and_not_a_number():
    numbers = report_one_sided([0, 0], [0, 0], [3, 3]).to_json()
    for name in ("sensitivity", "precision", "raised_by_event"):
        assert numbers[name] is None
        assert numbers[f"{name}_interval"] is None
    assert numbers["false_alarm_rate"] == 0.0
    assert numbers["lead_time_h"]["median"] is None
    json.dumps(numbers, allow_nan=False)
    assert report_one_sided(*np.zeros((3, 0), int)).to_json()["n"] == 0


def test_alarms_that_sound_again_keep_silent_for_the_refractory_time():
    above = np.array([[1, 1, 1, 0, 1, 1], [0, 1, 0, 1, 0, 0]], bool)
    hours = np.tile(np.arange(6.0), (2, 1))
    assert onsets(above, hours, 2).astype(int).tolist() == [[1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 0]]
    assert onsets(above, hours, 0).tolist() == above.tolist()
    assert onsets(above, hours, 100).sum(axis=1).tolist() == [1, 1]


def test_repeated_false_alarms_are_those_of_negatives_watched_to_the_end():
    above = np.array([[1, 1, 1, 0, 1, 1], [0, 1, 0, 1, 0, 0], [1, 1, 1, 1, 1, 1]], bool)
    told = report_one_sided(
        [1, 2, 1], [0, 0, 1], [6, 6, 6], above=above, refractory_h=2
    ).to_json()["repeated_alarms"]  # fmt: skip
    assert told["refractory_h"] == 2
    assert told["false_alarms_per_stream_day"] == pytest.approx(5 / (18 / 24))


def test_streams_of_one_subject_are_drawn_together():
    rng = np.random.default_rng(1)
    raised, positive = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    lengths = np.full(200, 3)
    apart = report_one_sided(raised, positive, lengths)
    # The same 200 streams ten times over say no more than once: the interval stays as it was.
    tenfold = report_one_sided(
        np.tile(raised, 10), np.tile(positive, 10), np.tile(lengths, 10),
        subjects=np.tile(np.arange(200), 10),
    )  # fmt: skip
    assert tenfold.intervals == "by subject"
    assert tenfold.sensitivity.value == apart.sensitivity.value
    assert tenfold.sensitivity.interval == pytest.approx(apart.sensitivity.interval, abs=0.04)
    taken_apart = report_one_sided(
        np.tile(raised, 10), np.tile(positive, 10), np.tile(lengths, 10)
    )
    width = np.diff(tenfold.sensitivity.interval) / np.diff(taken_apart.sensitivity.interval)
    assert width > 2.5  # the square root of ten, about


def test_the_bootstrap_agrees_with_the_binomial_interval_where_both_hold():
    heads = np.arange(400) < 120
    found = bootstrap_interval(ratio(heads.astype(float), np.ones(400)), np.arange(400), seed=5)
    assert found == pytest.approx(Share(120, 400).interval, abs=0.012)


def test_the_bootstrap_is_the_same_for_the_same_seed_and_needs_something_to_draw():
    values = np.random.default_rng(0).normal(size=50)
    median = weighted_quantile(values, 0.5)
    one, same, other = (bootstrap_interval(median, np.arange(50), seed=seed) for seed in (1, 1, 2))
    assert one == same != other
    assert one[0] <= np.median(values) <= one[1]
    assert bootstrap_interval(median, np.zeros(0, int), seed=1) is None
    nothing = weighted_quantile(np.full(50, np.nan), 0.5)
    assert bootstrap_interval(nothing, np.arange(50), seed=1) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"raised_step": [13, *RAISED[1:]]}, "raised_step is outside 0..length"),
        ({"raised_step": [-1, *RAISED[1:]]}, "raised_step is outside 0..length"),
        ({"positive": POSITIVE[1:]}, "positive is"),
        ({"event_step": EVENT[1:]}, "event_step is"),
        ({"subjects": [1.5] * 10}, "subjects is float64"),
        ({"hours": np.zeros((10, 5))}, "as many columns as the latest step, 8"),
        ({"hours": np.zeros(10)}, "one number or"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(changes, message):
    arguments = {
        "raised_step": RAISED, "positive": POSITIVE, "lengths": LENGTHS, "event_step": EVENT,
    }  # fmt: skip
    with pytest.raises(ShapeError, match=message):
        report_one_sided(**arguments | changes)
