"""Small one-sided calibration sets whose answer can be worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from stopping.certificate import Certificate
from stopping.check import check
from stopping.errors import (
    CertificateError,
    ControlError,
    LabelError,
    LevelError,
    ModeError,
    ReadinessError,
    ShapeError,
    ThresholdsError,
)
from stopping.issue import statement
from stopping.onesided import calibrate_one_sided, walk_down
from stopping.onesided_check import check_one_sided
from stopping.precision import find_path
from stopping.raising import alarm_grid, checked_alarms, raise_steps
from stopping.tallies import Tally

UNIT = 2.0**-16


def streams(*groups):
    """(how many, is it positive, readiness by step), one group after the other."""
    readiness = np.concatenate([np.tile([row], (n, 1)) for n, _, row in groups]).astype(float)
    return readiness, np.repeat([positive for _, positive, _ in groups], [n for n, _, _ in groups])


# ---------------------------------------------------------------- who is raised


def test_a_stream_is_raised_at_its_last_step_too_and_never_by_force():
    readiness = np.array([[0.1, 0.2, 0.9], [0.1, 0.2, 0.3]])
    assert raise_steps(readiness, 0.9, np.array([3, 3])).tolist() == [3, 0]


def test_what_stands_past_a_streams_end_raises_nobody():
    readiness = np.array([[0.1, 0.9, np.nan], [0.1, np.inf, 1.0]])
    assert raise_steps(readiness, 0.5, np.array([1, 1])).tolist() == [0, 0]


def test_a_step_that_is_not_eligible_raises_nobody_even_at_threshold_0():
    readiness = np.array([[-np.inf, 0.0], [-np.inf, -np.inf]])
    assert raise_steps(readiness, [0.0, 0.0], np.array([2, 2])).tolist() == [2, 0]


def test_as_many_thresholds_as_steps_are_needed():
    with pytest.raises(ThresholdsError):
        raise_steps(np.zeros((1, 3)), [0.5, 0.5], np.array([3]))


# ---------------------------------------------------------------- the false-alarm rate


def test_the_threshold_is_just_above_the_first_negative_that_is_one_too_many():
    # Of 29 negatives none may be raised at alpha = .1, delta = .05: .9^29 = .047.
    readiness, positive = streams((28, 0, [0.1, 0.2]), (1, 0, [0.25, 0.0]), (5, 1, [0.1, 0.5]))
    certificate = calibrate_one_sided(readiness, positive, None, 0.1, 0.05)
    assert certificate.thresholds == (0.25 + UNIT, 0.25 + UNIT)
    assert certificate.halted == Tally((0, 5), (0, 0))
    assert certificate.stopped_early == Tally((0, 0), (0, 0))
    assert certificate.p_values == pytest.approx([0.9**29] * 2)


def test_a_false_alarm_is_allowed_once_there_are_negatives_enough():
    # 46 negatives allow one: P(Bin(46, .1) <= 1) = .0480.
    readiness, positive = streams((44, 0, [0.1]), (1, 0, [0.25]), (1, 0, [0.75]), (5, 1, [0.5]))
    certificate = calibrate_one_sided(readiness, positive, None, 0.1, 0.05)
    assert certificate.thresholds == (0.25 + UNIT,)
    assert certificate.halted == Tally((6,), (1,))
    assert certificate.p_values[0] == pytest.approx(0.9**46 + 46 * 0.1 * 0.9**45)


def test_negatives_that_are_never_eligible_let_the_threshold_fall_to_0():
    readiness, positive = streams((50, 0, [-np.inf, -np.inf]), (5, 1, [-np.inf, 0.0]))
    certificate = calibrate_one_sided(readiness, positive, None, 0.1, 0.05)
    assert certificate.thresholds == (0.0, 0.0)
    assert certificate.halted == Tally((0, 5), (0, 0))


def test_negatives_that_are_all_sure_to_be_raised_leave_nothing_to_certify():
    readiness, positive = streams((60, 0, [1.0]), (60, 1, [1.0]))
    certificate = calibrate_one_sided(readiness, positive, None, 0.1, 0.05)
    assert certificate.thresholds == (None,)
    assert certificate.shortfall is None
    assert "even at threshold 1 too many of the 60 negatives are raised" in statement(certificate)


def test_rare_events_whose_probabilities_crowd_near_0_are_told_apart():
    readiness, positive = streams((100, 0, [2 * UNIT]), (5, 1, [3 * UNIT]))
    certificate = calibrate_one_sided(readiness, positive, None, 0.1, 0.05)
    assert certificate.thresholds == (3 * UNIT,)
    assert certificate.positives_raised == (5,)


def test_the_first_failure_ends_the_walk_down():
    grid = np.array([0.75, 0.5, 0.25])
    assert walk_down(np.array([0.6] * 3 + [0.3] * 47), grid, 0.1, 0.05) == 0.75
    assert walk_down(np.array([0.1] * 50), grid, 0.1, 0.05) == 0.25
    assert walk_down(np.array([0.8] * 50), grid, 0.1, 0.05) == np.inf
    assert walk_down(np.zeros(0), grid, 0.1, 0.05) == np.inf


def test_the_grid_has_every_value_that_a_signal_can_give_in_both_types():
    for dtype in (np.float32, np.float64):
        grid = alarm_grid(np.dtype(dtype))
        assert grid.dtype == dtype
        assert np.array_equal(grid.astype(float) * 65536, np.arange(65536, -1, -1))


def test_positives_do_not_move_the_threshold():
    readiness, positive = streams((100, 0, [0.1, 0.3]), (50, 1, [0.2, 0.6]))
    one = calibrate_one_sided(readiness, positive, None, 0.1, 0.05)
    other = calibrate_one_sided(readiness[:110], positive[:110], None, 0.1, 0.05)
    assert one.thresholds == other.thresholds


@pytest.mark.parametrize("n_negative", [0, 28])
def test_below_the_sample_size_the_missing_negatives_are_named(n_negative):
    readiness, positive = streams((n_negative, 0, [0.1]), (500, 1, [0.9]))
    certificate = calibrate_one_sided(readiness, positive, None, 0.1, 0.05)
    assert not certificate.certifies
    assert (certificate.shortfall.needed, certificate.shortfall.available) == (29, n_negative)
    assert certificate.p_values == ((None,) if n_negative == 0 else (pytest.approx(0.9**28),))
    text = statement(certificate)
    assert f"needs 29 negatives to test on, {n_negative} are there" in text


def test_no_streams_at_all_are_a_certificate_that_certifies_nothing():
    for precision in (None, 0.5):
        certificate = calibrate_one_sided(
            np.zeros((0, 2)), np.zeros(0, bool), None, 0.1, 0.05, precision=precision
        )
        assert certificate.thresholds == (None, None)
        assert certificate.vacuous is None


# ---------------------------------------------------------------- precision


def parts(*groups):
    """The same streams once to screen on and then twice to test on."""
    readiness, positive = streams(*groups)
    return np.tile(readiness, (3, 1)), np.tile(positive, 3)


def test_the_rule_opens_at_the_first_step_by_which_enough_are_raised():
    # 60 negatives; at step 1 two positives are ready, at step 2 all twenty. Precision .5 needs
    # five raised without a false alarm at delta = .05, so step 1 cannot be shown to keep it.
    readiness, positive = parts(
        (60, 0, [0.1, 0.1, 0.1]), (2, 1, [0.8] * 3), (18, 1, [0.1, 0.8, 0.8])
    )
    certificate = calibrate_one_sided(
        readiness, positive, None, 0.1, 0.05, precision=0.5, shuffle=False
    )
    assert certificate.thresholds == (None, 0.8, 0.8)
    assert certificate.halted == Tally((0, 40, 40), (0, 0, 0))
    precision = certificate.one_sided.precision
    assert precision.needed_raised == 5
    assert precision.p_values == (None, *[pytest.approx(0.5**40)] * 2)
    # All three openings raise the twenty. The surest two are a draw: the later one goes first.
    assert [(rule.opening, rule.threshold) for rule in precision.tried] == [
        (3, 0.8),
        (2, 0.8),
        (1, 0.8),
    ]
    assert precision.accepted == 2
    assert precision.tried[2].p_testing == 0.0625


def test_more_positives_are_preferred_and_then_sooner_ones():
    readiness, positive = parts((60, 0, [0.1, 0.1]), (20, 1, [0.2, 0.9]), (20, 1, [0.8, 0.8]))
    scores = checked_alarms(readiness[:100], positive[:100])
    rules = [(rule.opening, rule.threshold) for rule in find_path(scores, 0.1, 0.5)]
    # All have the p-value of the false-alarm rate, .9^60, so the higher threshold goes first and
    # then the later opening; .9 from step 1 on raises nobody there and is left out.
    assert rules == [(2, 0.9), (2, 0.8), (1, 0.8)]
    certificate = calibrate_one_sided(
        readiness, positive, None, 0.1, 0.05, precision=0.5, shuffle=False
    )
    assert certificate.thresholds == (0.8, 0.8)
    assert certificate.one_sided.precision.accepted == 3


def test_the_walk_ends_at_the_first_rule_that_the_testing_part_refuses():
    good = streams((60, 0, [0.1, 0.1]), (20, 1, [0.2, 0.9]), (20, 1, [0.8, 0.8]))
    bad = streams(
        (40, 0, [0.1, 0.1]), (20, 0, [0.8, 0.1]), (20, 1, [0.2, 0.9]), (20, 1, [0.8, 0.8])
    )
    readiness = np.concatenate([good[0], bad[0], bad[0]])
    positive = np.concatenate([good[1], bad[1], bad[1]])
    certificate = calibrate_one_sided(
        readiness, positive, None, 0.1, 0.05, precision=0.5, shuffle=False
    )
    assert certificate.thresholds == (None, 0.8)
    tried = certificate.one_sided.precision.tried
    assert [(rule.opening, rule.raised, rule.false_alarms) for rule in tried] == [
        (2, 40, 0), (2, 80, 0), (1, 120, 40),
    ]  # fmt: skip
    assert tried[1].p_testing <= 0.05 < tried[2].p_testing
    assert certificate.one_sided.precision.accepted == 2


def test_the_false_alarm_rate_binds_too_where_precision_alone_would_do():
    # All 20 positives and 30 of 60 negatives: a precision of .4 is fine, a rate of .5 is not.
    readiness, positive = parts((30, 0, [0.1]), (30, 0, [0.9]), (20, 1, [0.9]))
    options = {"precision": 0.1, "shuffle": False}
    assert not calibrate_one_sided(readiness, positive, None, 0.1, 0.05, **options).certifies
    assert calibrate_one_sided(readiness, positive, None, 0.8, 0.05, **options).certifies


def test_a_precision_out_of_reach_is_told_with_numbers_and_nothing_is_raised():
    readiness, positive = parts((100, 0, [0.1, 0.5]), (5, 0, [0.9, 0.9]), (6, 1, [0.9, 0.9]))
    certificate = calibrate_one_sided(
        readiness, positive, None, 0.2, 0.05, precision=0.9, shuffle=False
    )
    assert certificate.thresholds == (None, None)
    text = statement(certificate)
    assert "to be right with at least 0.9" in text
    assert "raises 22 streams of the testing part, 10 of them negative" in text
    assert "must raise 29 streams of the testing part even if all are positive" in text
    assert certificate.one_sided.precision.accepted == 0
    assert check_one_sided(certificate, readiness, positive).agrees


def test_without_a_positive_to_screen_on_no_rule_is_tried():
    readiness, positive = parts((100, 0, [0.1, 0.5]))
    certificate = calibrate_one_sided(
        readiness, positive, None, 0.2, 0.05, precision=0.9, shuffle=False
    )
    assert certificate.one_sided.precision.tried == ()
    assert "no rule at all raises a positive of the screening part" in statement(certificate)


def test_the_parts_are_those_of_the_seeded_permutation_and_none_without_precision():
    readiness, positive = parts((60, 0, [0.1]), (20, 1, [0.9]))
    seeded = calibrate_one_sided(readiness, positive, None, 0.2, 0.05, precision=0.5, seed=3)
    assert seeded.screening_indices == tuple(np.random.default_rng(3).permutation(240)[:80])
    assert (seeded.seed, seeded.n_screening, seeded.n_testing) == (3, 80, 160)
    alone = calibrate_one_sided(readiness, positive, None, 0.2, 0.05, seed=3)
    assert (alone.seed, alone.n_screening, alone.n_testing) == (None, 0, 240)


# ---------------------------------------------------------------- what is said


@pytest.fixture(params=[None, 0.5], ids=["rate", "precision"])
def certificate(request):
    made = calibrate_one_sided(*scored(), 0.2, 0.1, precision=request.param)
    assert made.certifies
    return made


def scored(seed=6, n=500, horizon=4):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    risk = rng.beta(1, 6, (n, horizon)) + positive[:, None] * rng.random((n, horizon)) * 0.6
    return np.clip(risk, 0, 1), positive, rng.integers(1, horizon + 1, n)


def test_the_statement_says_both_promises_and_what_was_measured(certificate):
    text = statement(certificate)
    assert "confidence 0.9" in text
    assert "a negative stream is raised, early or at its end, is at most 0.2" in text
    right = certificate.positives_raised[-1]
    assert f"raised {right} of {certificate.one_sided.n_positive} positives" in text
    promised = "at least 0.5 of the streams raised by step t are positive" in text
    assert promised == (certificate.one_sided.precision is not None)


def test_a_rule_that_raises_no_more_positives_than_a_blind_draw_is_vacuous():
    rng = np.random.default_rng(0)
    blind = calibrate_one_sided(rng.random((400, 1)), rng.random(400) < 0.3, None, 0.2, 0.05)
    assert blind.certifies
    assert blind.vacuous is True
    assert "vacuous: raising a share alpha" in statement(blind)
    readiness, positive = streams((100, 0, [0.1]), (20, 1, [0.9]))
    assert calibrate_one_sided(readiness, positive, None, 0.2, 0.05).vacuous is False
    none = calibrate_one_sided(readiness[:100], positive[:100], None, 0.2, 0.05)
    assert none.vacuous is None


def test_a_one_sided_certificate_survives_json(certificate):
    document = json.loads(json.dumps(certificate.to_json(), allow_nan=False))
    assert Certificate.from_json(document) == certificate
    part = document["one_sided"]
    assert part["negatives_raised"] == list(certificate.halted.losses)
    assert part["positives_raised"] == list(certificate.positives_raised)
    assert part["n_negative"] + part["n_positive"] == certificate.n_testing


def test_what_stands_behind_one_alarm_is_told_in_plain_values(certificate):
    step = next(t for t, x in enumerate(certificate.thresholds, start=1) if x is not None)
    facts = certificate.at(step)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["p_value"] == certificate.p_values[-1] <= certificate.delta
    assert facts["false_alarms"] == certificate.halted.losses[-1]
    precision = certificate.one_sided.precision
    if precision is None:
        assert facts["halted"] == certificate.halted.halted[-1]
        assert facts["precision"] is facts["precision_p_value"] is None
    else:
        assert facts["halted"] == certificate.halted.halted[step - 1]
        assert facts["precision"] == 0.5
        assert facts["precision_p_value"] == precision.p_values[step - 1] <= certificate.delta


def test_certificates_of_other_controls_have_no_one_sided_part():
    from stopping.marginal import calibrate_marginal

    readiness, _, lengths = scored()
    made = calibrate_marginal(readiness, np.zeros(readiness.shape, bool), lengths, 0.2, 0.1)
    assert "one_sided" not in made.to_json()
    assert "n_negative" not in made.at(1)
    with pytest.raises(ControlError, match=r"marginal control is not .* stopping\.check\.check"):
        check_one_sided(made, readiness, np.zeros(len(lengths), bool), lengths)


def test_the_other_check_refuses_a_one_sided_certificate(certificate):
    readiness, _, lengths = scored()
    with pytest.raises(ControlError, match="check_one_sided"):
        check(certificate, readiness, np.zeros(readiness.shape, bool), lengths)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("one_sided"), "one_sided is missing"),
        (lambda d: d["one_sided"].pop("n_negative"), r"one_sided\.n_negative is missing"),
        (lambda d: d["one_sided"]["precision"].update(level=2), r"precision\.level is 2"),
        (lambda d: d["one_sided"]["precision"].update(p_values=[]), "must be of 4"),
        (lambda d: d["one_sided"]["precision"]["tried"].append(3), "must be an object"),
        (
            lambda d: d["one_sided"]["precision"]["tried"][0].update(threshold=None),
            r"tried\[0\]\.threshold is None, but must be a finite number",
        ),
    ],
)
def test_a_damaged_one_sided_part_is_refused_by_field(change, message):
    document = calibrate_one_sided(*scored(), 0.2, 0.1, precision=0.5).to_json()
    document = json.loads(json.dumps(document))
    change(document)
    with pytest.raises(CertificateError, match=message):
        Certificate.from_json(document)


# ---------------------------------------------------------------- checking again


def test_checking_against_the_same_scores_finds_nothing(certificate):
    assert check_one_sided(certificate, *scored()).agrees


def test_checking_finds_scores_of_other_streams(certificate):
    assert not check_one_sided(certificate, *scored(seed=7)).agrees


def test_checking_finds_one_changed_label(certificate):
    readiness, positive, lengths = scored()
    changed = positive.copy()
    tested = next(i for i in range(500) if i not in certificate.screening_indices)
    changed[tested] = ~changed[tested]
    verdict = check_one_sided(certificate, readiness, changed, lengths)
    assert any("negatives and" in sentence for sentence in verdict.differences)


def bumped(tally):
    return Tally((*tally.halted[:-1], tally.halted[-1] + 1), tally.losses)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: {"thresholds": (*c.thresholds[:-1], 0.01)}, "threshold of step 4"),
        (lambda c: {"halted": bumped(c.halted)}, "streams raised by step 4"),
        (lambda c: {"stopped_early": bumped(c.stopped_early)}, "raised before their last step"),
        (lambda c: {"p_values": (*c.p_values[:-1], 0.0001)}, "p-value at step 4"),
        (lambda c: {"delta": 1e-12}, "do not refute a rate above alpha"),
        (lambda c: {"n": c.n + 1}, "number of streams is 500"),
        (lambda c: {"one_sided": replace(c.one_sided, n_negative=1)}, "negatives and"),
        (lambda c: {"grid": (0.5,)}, "grid is not"),
    ],
)  # fmt: skip
def test_checking_finds_a_certificate_that_was_tampered_with(certificate, change, sentence):
    verdict = check_one_sided(replace(certificate, **change(certificate)), *scored())
    assert any(sentence in difference for difference in verdict.differences)


def test_checking_finds_a_path_that_was_tampered_with():
    made = calibrate_one_sided(*scored(), 0.2, 0.1, precision=0.5)
    precision = made.one_sided.precision
    for change in (
        {"accepted": precision.accepted + 1},
        {"tried": precision.tried[1:]},
        {"tried": (replace(precision.tried[0], raised=0), *precision.tried[1:])},
        {"tried": (replace(precision.tried[0], p_testing=0.9), *precision.tried[1:])},
    ):
        part = replace(made.one_sided, precision=replace(precision, **change))
        verdict = check_one_sided(replace(made, one_sided=part), *scored())
        assert any("rules tried" in sentence for sentence in verdict.differences)


def test_checking_finds_a_precision_that_the_counts_do_not_show():
    made = calibrate_one_sided(*scored(), 0.2, 0.1, precision=0.5)
    part = replace(made.one_sided, precision=replace(made.one_sided.precision, level=0.95))
    verdict = check_one_sided(replace(made, one_sided=part), *scored())
    assert any("a precision below 0.95 is not refuted" in text for text in verdict.differences)


# ---------------------------------------------------------------- wrong use


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"alpha": 1.0}, LevelError, "alpha"),
        ({"delta": 0.0}, LevelError, "delta"),
        ({"precision": 1.0}, LevelError, "precision is 1.0"),
        ({"mode": "improved"}, ModeError, "improved"),
        ({"positive": np.full(500, 2)}, LabelError, "positive holds 2"),
        ({"positive": np.full(500, 0.5)}, ShapeError, "positive is float64"),
        ({"positive": np.zeros(3, bool)}, ShapeError, r"positive is bool \[3\]"),
        ({"lengths": np.full(500, 5)}, ShapeError, "lengths"),
        ({"readiness": np.full((500, 4), 1.5)}, ReadinessError, "reference mode"),
        ({"readiness": np.full((500, 4), np.nan)}, ReadinessError, "step 1 of stream 0"),
        ({"readiness": np.zeros((500, 4), int)}, ShapeError, "readiness is int64"),
    ],
)
def test_wrong_use_is_refused_before_any_work(changes, kind, message):
    readiness, positive, lengths = scored()
    arguments = {"readiness": readiness, "positive": positive, "lengths": lengths}
    with pytest.raises(kind, match=message):
        calibrate_one_sided(**arguments | {"alpha": 0.1, "delta": 0.1} | changes)


def test_calibration_changes_none_of_its_arguments():
    arrays = scored()
    copies = [array.copy() for array in arrays]
    calibrate_one_sided(*arrays, 0.2, 0.2, precision=0.4)
    for array, copy in zip(arrays, copies, strict=True):
        assert np.array_equal(array, copy)
