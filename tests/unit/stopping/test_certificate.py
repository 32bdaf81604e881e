from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from stopping.certificate import Certificate
from stopping.check import check
from stopping.conditional import calibrate_conditional
from stopping.errors import CertificateError, ReadinessError
from stopping.losses import accuracy_gap_loss, majority_loss
from stopping.marginal import calibrate_marginal
from stopping.tallies import Tally


def scored(seed=4, n=400, horizon=5):
    """Readiness, predictions and labels of streams of unequal length."""
    rng = np.random.default_rng(seed)
    skill = rng.random((n, 1)) * np.linspace(0.6, 1, horizon)
    readiness = np.clip(skill + rng.normal(0, 0.1, (n, horizon)), 0, 1)
    label = rng.integers(0, 3, n)
    predicted = np.where(rng.random((n, horizon)) < 0.5 + skill / 2, label[:, None], 3)
    return readiness, predicted, label, rng.integers(2, horizon + 1, n)


def arrays_of(seed=4):
    readiness, predicted, label, lengths = scored(seed)
    return (
        (readiness, accuracy_gap_loss(predicted, label, lengths), lengths),
        {"baseline_loss": majority_loss(predicted, label, lengths), "label": label},
    )


@pytest.fixture(params=[calibrate_marginal, calibrate_conditional])
def certificate(request):
    arrays, options = arrays_of()
    made = request.param(*arrays, 0.2, 0.1, **options)
    assert made.certifies
    return made


def test_a_certificate_survives_json(certificate):
    text = json.dumps(certificate.to_json(), allow_nan=False)
    assert Certificate.from_json(json.loads(text)) == certificate


def test_a_certificate_of_float32_scores_survives_json_to_the_last_bit():
    (readiness, loss, lengths), _ = arrays_of()
    made = calibrate_marginal(readiness.astype(np.float32), loss, lengths, 0.2, 0.1)
    again = Certificate.from_json(json.loads(json.dumps(made.to_json())))
    assert again.dtype == "float32"
    assert [x for x in again.thresholds if x is not None]
    assert np.array_equal(
        again.threshold_array(), again.threshold_array().astype(np.float32).astype(float)
    )


def test_the_certificate_counts_both_sets_by_step():
    # Five stop early at step 1 and one of them at a loss; five end by themselves at step 1.
    readiness = np.array([[0.9, 1.0]] * 5 + [[0.0, np.nan]] * 5)
    loss = np.zeros((10, 2), bool)
    loss[0, 0] = True
    made = calibrate_marginal(readiness, loss, [2] * 5 + [1] * 5, 0.5, 0.1)
    assert made.halted == Tally((10, 10), (1, 1))
    assert made.stopped_early == Tally((5, 5), (1, 1))
    assert made.to_json()["halted"]["gaps"] == [0.1, 0.1]
    assert made.to_json()["stopped_early"]["gaps"] == [0.2, 0.2]
    assert made.p_values[0] == pytest.approx(11 / 1024)


def test_what_stands_behind_one_halt_is_told_in_plain_values(certificate):
    step = next(t for t, x in enumerate(certificate.thresholds, start=1) if x is not None)
    facts = certificate.at(step)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["threshold"] == certificate.thresholds[step - 1]
    assert facts["p_value"] <= certificate.delta
    if certificate.control == "marginal":
        assert facts["halted"] == certificate.n


def test_checking_against_the_same_scores_finds_nothing(certificate):
    arrays, options = arrays_of()
    assert check(certificate, *arrays, **options).agrees
    assert check(certificate, *arrays).agrees


def test_checking_finds_scores_of_other_streams(certificate):
    arrays, options = arrays_of(seed=5)
    assert not check(certificate, *arrays, **options).agrees


def test_checking_finds_one_changed_loss(certificate):
    (readiness, loss, lengths), _ = arrays_of()
    steps = certificate.halted.losses[-1]
    changed = np.zeros_like(loss) if steps else ~loss
    verdict = check(certificate, readiness, changed, lengths)
    assert any("losses among the streams halted" in sentence for sentence in verdict.differences)


def bump(values):
    """The first entry that is a number, changed."""
    k = next(k for k, value in enumerate(values) if value is not None)
    return (
        *values[:k],
        values[k] + (0.01 if isinstance(values[k], float) else 1),
        *values[k + 1 :],
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: {"thresholds": bump(c.thresholds)}, "threshold of step"),
        (lambda c: {"thresholds": (None,) * c.horizon}, "threshold of step"),
        (lambda c: {"p_values": bump(c.p_values)}, "p-value at step"),
        (lambda c: {"halted": Tally(bump(c.halted.halted), c.halted.losses)}, "streams halted by"),
        (
            lambda c: {
                "stopped_early": Tally(c.stopped_early.halted, bump(c.stopped_early.losses))
            },
            "losses among the streams stopped early",
        ),
        (lambda c: {"delta": 1e-9}, "above delta"),
        (lambda c: {"alpha": c.alpha / 2}, "p-value at step"),
        (lambda c: {"n": c.n + 1}, "number of streams is 400 in the scores, 401"),
        (lambda c: {"n_testing": c.n_testing - 1}, "by the screening indices"),
        (lambda c: {"screening_indices": (0, 0)}, "not distinct rows"),
        (lambda c: {"screening_indices": (c.n,)}, "not distinct rows"),
        (lambda c: {"grid": c.grid[1:]}, "grid is not"),
        (lambda c: {"dtype": "float32"}, "type of readiness is float64"),
        (lambda c: {"thresholds": c.thresholds[1:]}, "number of steps T is 5"),
        (lambda c: {"baseline": replace(c.baseline, losses=0)}, "majority answer"),
        (lambda c: {"baseline": None}, "majority answer"),
    ],
)  # fmt: skip
def test_checking_finds_a_certificate_that_was_tampered_with(certificate, change, sentence):
    arrays, options = arrays_of()
    verdict = check(replace(certificate, **change(certificate)), *arrays, **options)
    assert not verdict.agrees
    assert any(sentence in difference for difference in verdict.differences)


def test_checking_finds_another_split():
    arrays, _ = arrays_of()
    made = calibrate_conditional(*arrays, 0.2, 0.1, seed=1)
    verdict = check(replace(made, seed=2), *arrays)
    assert any("screening_indices is not" in difference for difference in verdict.differences)


def test_checking_refuses_arrays_that_are_no_scores(certificate):
    (readiness, loss, lengths), _ = arrays_of()
    with pytest.raises(ReadinessError):
        check(certificate, readiness * 2, loss, lengths)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", 2, "format is 2, but must be one of: 1"),
        ("format", True, "format is True"),
        ("mode", "improved", "mode is 'improved', but must be one of: reference"),
        ("control", "both", "one of: marginal, conditional"),
        ("control", ["marginal"], "control is"),
        ("dtype", "float16", "float32, float64"),
        ("loss", 3, "loss is 3, but must be text"),
        ("alpha", 1.0, "alpha is 1.0"),
        ("alpha", "0.1", "alpha is '0.1'"),
        ("delta", float("nan"), "delta is nan"),
        ("n", -1, "n is -1, but must be an integer of 0 or more"),
        ("n", 4.0, "n is 4.0"),
        ("seed", "0", "seed is '0'"),
        ("screening_indices", [0, -1], r"screening_indices\[1\] is -1"),
        ("grid", {"0": 1}, "grid is .* a list"),
        ("grid", [None], r"grid\[0\] is None"),
        ("thresholds", [0.5, float("inf"), None], r"thresholds\[1\] is inf"),
        ("p_values", [0.5], "p_values is a list of 1, but must be of 5"),
        ("halted", [], "halted. is list, but must be an object"),
        ("halted", {"halted": [1] * 5}, "halted.losses is missing"),
        ("stopped_early", {"halted": [1], "losses": [1] * 5}, "a list of 1, but must be of 5"),
        ("baseline", {"label": 0, "losses": 0}, "baseline.n is missing"),
        ("shortfall", {"needed": "all", "available": 0}, "shortfall.needed is 'all'"),
    ],
)
def test_a_document_that_is_no_certificate_is_refused_by_field(certificate, field, value, message):
    document = certificate.to_json() | {field: value}
    with pytest.raises(CertificateError, match=message):
        Certificate.from_json(document)


def test_every_field_of_the_document_is_needed_or_derived(certificate):
    document = certificate.to_json()
    derived = {"vacuous"}
    for field in document:
        rest = {name: value for name, value in document.items() if name != field}
        if field in derived:
            assert Certificate.from_json(rest) == certificate
        else:
            with pytest.raises(CertificateError, match=f"{field}.* is missing"):
                Certificate.from_json(rest)


@pytest.mark.parametrize("document", [None, [], "certificate", 3])
def test_what_is_no_object_is_no_certificate(document):
    with pytest.raises(CertificateError, match="must be an object"):
        Certificate.from_json(document)
