"""The classifier as it serves. What every classifier promises stands in `tests/contract`."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import InputError
from models.protocol import take
from models.vitals.errors import RecordError
from models.vitals.trees import NOT_MEASURED
from models.vitals.trees_files import TreesWeights
from tests.contract.walking import equal, everything, walk
from tests.unit.models.vitals.made_up import CHANNELS, fitted, records


@pytest.fixture(params=[(2, "all"), (3, "all"), (2, "values"), (2, "clock")], ids=str)
def classifier(request):
    return fitted(*request.param)


def drawn(n, steps, seed=0, missing=0.5):
    return records(np.random.default_rng(seed), n, steps, missing=missing)


def test_the_answer_to_a_prefix_does_not_change_when_more_is_seen(classifier):
    inputs = drawn(30, 12)
    states, outputs = walk(classifier, inputs)
    for stop in (1, 5, 11):
        again, answers = walk(classifier, inputs[:, :stop])
        assert equal(
            everything(again[-1], answers[-1]), everything(states[stop], outputs[stop - 1])
        )


@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 511, 512, 513])
def test_what_a_stream_gets_does_not_depend_on_its_batch_to_the_last_bit(classifier, n):
    inputs = drawn(600, 4)
    states, outputs = walk(classifier, inputs)
    whole = everything(states[-1], outputs[-1])
    rows = np.random.default_rng(n).permutation(600)[:n]
    there, answers = walk(classifier, inputs[rows])
    assert equal(everything(there[-1], answers[-1]), take(whole, rows))


def test_a_step_changes_nothing_that_it_was_given(classifier):
    inputs = drawn(50, 4)
    state = walk(classifier, inputs[:, :3])[0][-1]
    record = inputs[:, 3].copy()
    for array in (*state.values(), record):
        array.flags.writeable = False
    first, second = (everything(*classifier.step(state, record)) for _ in range(2))
    assert equal(first, second)


def test_absurd_values_and_times_give_finite_answers(classifier):
    inputs = drawn(40, 6, missing=0.0)
    random = np.random.default_rng(4)
    inputs["values"] = random.choice(
        [np.inf, -np.inf, 3e38, -3e38, 0.0, 1e-38], inputs["values"].shape
    )
    inputs["time_s"] = random.choice([np.nan, np.inf, -1e308, 1e308, 0.0], inputs["time_s"].shape)
    for output in walk(classifier, inputs)[1]:
        assert np.isfinite(output.probabilities).all()
        np.testing.assert_allclose(output.probabilities.sum(axis=1), 1, atol=1e-6)


def test_values_in_another_unit_are_refused_and_the_answer_is_as_without_them():
    ours = fitted()
    inputs = drawn(20, 3)
    odd, without = inputs[:, 2].copy(), inputs[:, 2].copy()
    odd["values"][:, 1] = 16.0  # a systolic pressure in kPa
    without["values"][:, 1] = np.nan
    state = walk(ours, inputs[:, :2])[0][-1]
    (_, counted), (_, quiet) = ours.step(state, odd), ours.step(state, without)
    assert counted.probabilities.tobytes() == quiet.probabilities.tobytes()
    assert (counted.auxiliary["implausible"] - quiet.auxiliary["implausible"] == 1).all()
    low, high = ours.ranges["SBP"]
    assert 16.0 < low < 80 < 160 < high


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, len(CHANNELS)), np.float32),
        records(np.random.default_rng(0), 3, 1)[:, 0],
        records(np.random.default_rng(0), 4, 1, width=2)[:, 0],
    ],
    ids=["frames", "too few", "other channels"],
)
def test_anything_but_a_record_a_stream_is_refused(wrong):
    ours = fitted()
    with pytest.raises(RecordError, match="vitals_dtype") as raised:
        ours.step(ours.start(4), wrong)
    assert isinstance(raised.value, InputError)


def test_an_explanation_adds_up_to_the_log_odds_without_remainder():
    ours = fitted()
    states, outputs = walk(ours, drawn(30, 8))
    prior = float(ours.weights.trees.prior[0])
    for i in range(30):
        for label, sign in ((0, -1), (1, 1)):
            found = ours.explain(states[-1], i, label)
            total = sum(item.weight for item in found.contributions) + found.rest
            log_odds = ours.log_odds(states[-1])[i, label]
            assert total + sign * prior == log_odds
            p = float(outputs[-1].probabilities[i, label])
            assert np.log(p / (1 - p)) == pytest.approx(log_odds, abs=1e-4)


def test_with_many_classes_it_adds_up_to_the_score_beside_the_others():
    ours = fitted(3)
    states, _ = walk(ours, drawn(10, 8))
    prior = ours.weights.trees.prior
    for i in range(10):
        for label in range(3):
            found = ours.explain(states[-1], i, label)
            total = sum(item.weight for item in found.contributions) + found.rest
            expected = prior[label] - np.delete(prior, label).mean()
            assert total + expected == pytest.approx(ours.log_odds(states[-1])[i, label], abs=1e-9)


def test_an_explanation_names_channels_with_what_was_read_last_and_when():
    ours = fitted()
    inputs = drawn(20, 8)
    states, _ = walk(ours, inputs)
    named = set()
    for i in range(20):
        for item in ours.explain(states[-1], i, 1).contributions:
            channel = item.evidence["channel"]
            named.add(channel)
            if channel not in CHANNELS:
                continue
            read = inputs["values"][i, :, CHANNELS.index(channel)]
            if item.evidence["value"] == NOT_MEASURED:
                assert np.isnan(read).all()
                assert item.step == 8
                continue
            last = int(np.flatnonzero(~np.isnan(read))[-1])
            assert item.evidence["value"] == float(read[last])
            assert item.step == last + 1
            hours = (inputs["time_s"][i, -1] - inputs["time_s"][i, last]) / 3600
            assert item.evidence["hours_ago"] == pytest.approx(hours, abs=1e-5)
    assert {"HR", "HR/SBP"} <= named


def test_a_derived_figure_is_shown_with_its_own_value():
    ours = fitted()
    inputs = drawn(40, 3, missing=0.0)
    states, _ = walk(ours, inputs)
    shown = [
        (i, item.evidence["value"])
        for i in range(40)
        for item in ours.explain(states[-1], i, 1).contributions
        if item.evidence["channel"] == "HR/SBP"
    ]
    assert shown
    for i, value in shown:
        rate, pressure = inputs["values"][i, -1, :2]
        assert value == pytest.approx(float(rate / pressure))


def test_a_stream_that_has_seen_nothing_is_explained_by_nothing(classifier):
    found = classifier.explain(classifier.start(1), 0, 0)
    assert found.contributions == ()
    assert found.rest == 0


def test_a_baseline_sees_nothing_but_the_clock_and_last_values():
    ours = fitted(features="clock")
    kinds = {column.kind for column in ours._features.columns}
    assert kinds == {"clock", "last"}


def test_without_workflow_the_trees_never_meet_a_gap():
    ours = fitted(features="values")
    states, _ = walk(ours, drawn(20, 3, missing=0.9))
    assert np.isfinite(ours.matrix(states[-1])).all()
    assert isinstance(ours.weights, TreesWeights)
