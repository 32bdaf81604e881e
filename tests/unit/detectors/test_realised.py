"""The realised numbers are those of the very streams, and their tests are exact."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from detectors.realised import realised
from stopping.gap import report_gap


class Kind(NamedTuple):
    decided: str
    truth: str | None
    contradicted: bool = False
    late: str | None = None
    halt_step: int | None = None
    stopped_early: bool | None = None
    n: int = 1


def late(decided, truth, answer, step, *, early=True, n=1):
    return Kind(decided, truth, False, answer, step, early, n)


def counted(streams):
    return [kind._replace(n=n) for kind, n in Counter(streams).items()]


def test_over_labelled_shadows_it_is_the_report_that_evaluation_gives():
    rng = np.random.default_rng(5)
    n, horizon = 400, 6
    lengths = rng.integers(1, horizon + 1, n)
    steps = rng.integers(1, lengths + 1)
    predicted = rng.integers(0, 3, (n, horizon))
    truth = rng.integers(0, 3, n)
    rows = np.arange(n)
    early, last = predicted[rows, steps - 1], predicted[rows, lengths - 1]
    report = report_gap(steps, predicted, truth, lengths)
    found = realised(
        counted(
            late(str(e), str(y), str(a), int(t), early=bool(t < T))
            for e, y, a, t, T in zip(early, truth, last, steps, lengths, strict=True)
        ),
        alpha=0.1,
    )
    assert found["accuracy"]["share"] == report.accuracy
    assert found["late_accuracy"]["share"] == report.late_accuracy
    assert (found["gap"]["k"], found["gap"]["n"]) == (report.losses, n)
    for name, tally in (("halted", report.halted), ("stopped_early", report.stopped_early)):
        for row in found["by_step"][name]["steps"]:
            assert (row["k"], row["n"]) == (
                tally.losses[row["step"] - 1],
                tally.halted[row["step"] - 1],
            )


@given(st.integers(0, 40), st.integers(0, 40))
def test_interval_and_p_value_are_the_exact_ones(right, lost):
    found = realised([late("a", "a", "a", 1, n=right), late("a", "b", "b", 1, n=lost)], alpha=0.1)[
        "gap"
    ]
    assert (found["k"], found["n"]) == (lost, right + lost)
    if not right + lost:
        assert found["share"] is found["interval"] is found["p_value"] is None
        return
    test = binomtest(lost, right + lost, 0.1, alternative="greater")
    two = binomtest(lost, right + lost).proportion_ci(0.95, method="exact")
    assert found["p_value"] == pytest.approx(test.pvalue)
    assert found["interval"] == pytest.approx([two.low, two.high], abs=1e-9)


def test_the_worst_step_pays_for_having_been_picked():
    found = realised(
        [
            late("a", "a", "a", 1, n=20),
            late("a", "b", "b", 2, n=10),
            late("a", "a", "a", 3, n=70),
        ],
        alpha=0.1,
    )["by_step"]["halted"]
    assert [row["n"] for row in found["steps"]] == [20, 30, 100]
    assert found["worst"]["step"] == 2
    assert found["p_value"] == pytest.approx(3 * found["worst"]["p_value"])
    assert all(a["n"] < b["n"] for a, b in pairwise(found["steps"]))


def test_decisions_without_a_late_answer_count_for_accuracy_only():
    found = realised([Kind("a", "b", n=3), Kind("a", "a", n=7), Kind("a", None, n=10)], alpha=0.1)
    assert (found["decisions"], found["labelled"], found["late_known"]) == (20, 10, 0)
    assert found["accuracy"]["share"] == 0.7
    assert found["gap"]["share"] is None
    assert found["by_step"]["halted"] == {"steps": [], "worst": None, "p_value": None}


def test_alarms_are_counted_among_negatives_alarms_and_positives():
    found = realised(
        [
            Kind("alarm", "alarm", n=6),
            Kind("alarm", "quiet", n=4),
            Kind("alarm", "other", n=1),
            Kind("quiet", "alarm", n=2),
            Kind("quiet", "quiet", n=30),
            Kind("alarm", None, n=9),
        ],
        alpha=0.1,
        alarm="alarm",
        precision=0.8,
    )
    alarms = found["alarms"]
    rate, precision, sensitivity = (
        alarms[name] for name in ("false_alarm_rate", "precision", "sensitivity")
    )
    assert (rate["k"], rate["n"]) == (5, 35)
    assert rate["p_value"] == pytest.approx(binomtest(5, 35, 0.1, "greater").pvalue)
    assert (precision["k"], precision["n"], precision["level"]) == (6, 11, 0.8)
    assert precision["p_value"] == pytest.approx(binomtest(6, 11, 0.8, "less").pvalue)
    assert (sensitivity["k"], sensitivity["n"]) == (6, 8)
    assert found["gap"]["level"] is None  # a one-sided rule promises nothing of the gap


def test_nothing_to_count_gives_no_shares_and_no_error():
    for cells in ([], [Kind("a", None, n=3)]):
        found = realised(cells, alpha=0.1, alarm="a", precision=0.5)
        assert found["accuracy"]["share"] is None
        assert found["alarms"]["precision"]["p_value"] is None
        assert found["remarks"] == [f"0 of {3 if cells else 0} decisions are labelled."]


def test_labels_that_come_for_alarms_only_are_called_a_bias():
    remarks = realised(
        [Kind("alarm", "alarm", n=9), Kind("alarm", None), Kind("quiet", None, n=90)]
    )["remarks"]
    assert any("0.0% of the decisions for quiet and 90.0%" in remark for remark in remarks)
    even = realised([Kind("a", "a"), Kind("a", None), Kind("b", "b"), Kind("b", None)])["remarks"]
    assert not any("bias" in remark for remark in even)


def test_contradictions_are_told():
    found = realised([Kind("a", "a", contradicted=True, n=2), Kind("a", "a")])
    assert found["contradicted"] == 2
    assert any("On 2 decisions" in remark for remark in found["remarks"])


def test_a_promise_that_is_kept_is_seldom_refuted():
    """At a true gap of alpha, p <= .05 comes in at most 5 % of the draws (exact, so fewer)."""
    rng = np.random.default_rng(11)
    refuted = 0
    for lost in rng.binomial(200, 0.1, 400):
        cells = [late("a", "b", "b", 1, n=int(lost)), late("a", "a", "a", 1, n=200 - int(lost))]
        refuted += realised(cells, alpha=0.1)["gap"]["p_value"] <= 0.05
    assert refuted <= binom_limit(400, 0.05)


def binom_limit(n, p):
    """Return a count that is exceeded with a chance below 1 in 10 000."""
    from scipy.stats import binom

    return int(binom.ppf(1 - 1e-4, n, p))
