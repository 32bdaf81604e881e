from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from detectors import card as cards
from detectors import config as configs
from detectors import datasets
from detectors.evaluate import evaluation
from detectors.train import default_horizon, train
from detectors.train import report as made_report
from stopping.certificate import Certificate
from stopping.thresholds import halt_steps
from tests.unit.detectors.conftest import TOY, literal_scorer, silent


def run(data_dir, scorer=literal_scorer, **changes):
    table = {key: dict(x) if isinstance(x, dict) else x for key, x in TOY.items()}
    for key, value in changes.items():
        outer, _, inner = key.partition("__")
        if inner:
            table[outer][inner] = value
        else:
            table[outer] = value
    dataset = datasets.load("toy", data_dir)
    return train(configs.build(**table), dataset, scorer, made_on="2026-11-22", progress=silent)


def test_the_toy_detector_stops_early_and_keeps_its_level(toy_run):
    numbers = toy_run.evaluation
    assert toy_run.detector.card["guarantee"]["certifies"]
    assert numbers["time_used"] < 0.95
    assert numbers["gap"] <= 0.1
    assert numbers["late_accuracy"] > 0.9


def test_the_streams_halt_where_the_thresholds_say(toy_run):
    detector, test = toy_run.detector, toy_run.parts.test
    scored = literal_scorer(detector, test)
    steps = halt_steps(scored.readiness, detector.thresholds, scored.length)
    assert np.array_equal(steps, scored.halt_step)
    assert evaluation(scored, test) == toy_run.evaluation


def test_the_test_part_is_looked_at_only_after_the_thresholds_stand(data_dir):
    seen = []

    def watched(detector, streams, advance=None):
        seen.append(
            (streams.split, detector.version, bool(np.isfinite(detector.thresholds).any()))
        )
        return literal_scorer(detector, streams, advance)

    finished = run(data_dir, watched)
    assert seen == [
        ("calibration", "uncalibrated", False),
        ("test", finished.detector.version, True),
    ]


def test_the_same_configuration_gives_the_same_version_and_another_seed_another(data_dir, toy_run):
    assert run(data_dir).detector.version == toy_run.detector.version
    assert run(data_dir, seed=1).detector.version != toy_run.detector.version


def test_the_test_part_has_no_say_in_the_detector(data_dir, toy_run):
    dataset = datasets.load("toy", data_dir)
    test = dataset.parts["test"]
    turned = replace(test, labels=1 - test.labels, inputs=-test.inputs)
    other = replace(dataset, parts={**dataset.parts, "test": turned})
    again = train(
        configs.build(**TOY), other, literal_scorer, made_on="2026-11-22", progress=silent
    )
    assert again.detector.version == toy_run.detector.version
    assert again.evaluation != toy_run.evaluation


def test_auto_takes_the_correctness_head_and_the_artefact_says_so(toy_run):
    assert toy_run.detector.config.signal == "correctness"
    assert toy_run.detector.config.horizon == 6


def test_the_maximum_probability_can_be_chosen_instead(data_dir):
    finished = run(data_dir, signal="max_probability")
    scored = literal_scorer(finished.detector, finished.parts.test)
    inside = ~np.isnan(scored.readiness)
    assert np.allclose(scored.readiness[inside], scored.probability[inside], atol=2**-16)


def test_marginal_control_gives_one_threshold_for_all_steps(data_dir):
    finished = run(data_dir, rule__control="marginal")
    thresholds = finished.detector.thresholds[:-1]
    assert len(set(thresholds.tolist())) == 1
    assert finished.detector.thresholds[-1] == np.inf


def test_too_few_calibration_streams_wait_for_the_end_and_say_how_many_are_missing(data_dir):
    finished = run(data_dir, rule__alpha=0.01, rule__delta=0.01)
    promise = finished.detector.card["guarantee"]
    assert not promise["certifies"]
    assert promise["missing_streams"] == 2 * 459 - 1 - 200
    assert str(promise["missing_streams"]) in promise["statement"]
    assert np.isinf(finished.detector.thresholds).all()
    assert finished.evaluation["time_used"] == 1.0


def test_a_promise_that_the_majority_class_would_keep_is_called_vacuous(data_dir):
    finished = run(data_dir, rule__alpha=0.6)
    assert finished.detector.card["guarantee"]["vacuous"]
    assert "Vacuous here" in cards.markdown(finished.detector.card)


def test_a_shorter_horizon_cuts_the_streams(data_dir):
    finished = run(data_dir, horizon=4)
    scored = literal_scorer(finished.detector, finished.parts.test)
    assert finished.detector.horizon == 4
    assert scored.length.max() == 4
    assert scored.readiness.shape[1] == 4


def test_the_default_horizon_is_a_length_that_hardly_any_training_stream_exceeds(toy_run):
    fit = toy_run.parts.fit
    for lengths in (np.arange(1, 101), np.full(20, 7), np.r_[np.full(99, 3), 50]):
        streams = replace(
            fit.subset(np.arange(len(lengths))), offsets=np.concatenate(([0], np.cumsum(lengths)))
        )
        horizon = default_horizon(streams)
        assert horizon in lengths
        assert (lengths > horizon).mean() <= 0.05


def test_what_train_prints_has_what_the_contract_names(toy_run):
    report = made_report(toy_run.detector)
    assert report.keys() >= {
        "detector", "version", "n_train", "n_calibration", "n_test", "metrics", "guarantee",
    }  # fmt: skip
    assert (report["n_train"], report["n_calibration"], report["n_test"]) == (400, 200, 100)
    assert report["metrics"].keys() >= {"accuracy", "late_accuracy", "gap", "time_used", "auroc"}
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_the_certificate_on_the_detector_is_one_that_can_be_read_back(toy_run):
    certificate = Certificate.from_json(toy_run.detector.certificate)
    assert certificate.n == 200
    assert np.array_equal(certificate.threshold_array(), toy_run.detector.thresholds)


def test_the_card_says_what_it_must(toy_run):
    card = toy_run.detector.card
    assert card["made_on"] == "2026-11-22"
    assert card["version"] == toy_run.detector.version
    assert card["data"]["licence"].startswith("not stated")
    assert len(card["data"]["sha256"]) == 64
    assert card["split"]["n_calibration"] == 200
    assert card["software"].keys() >= {"python", "numpy", "torch"}
    limits = " ".join(card["guarantee"]["limits"])
    for limit in ("not an error rate", "drifts", "versions are mixed", "exceeds the share"):
        assert limit in limits
    assert json.loads(json.dumps(card, allow_nan=False)) == card


def test_the_card_reads_as_a_page(toy_run):
    page = cards.markdown(toy_run.detector.card)
    for part in ("# toy, version", "## What is promised", "not an error rate", "| accuracy gap |"):
        assert part in page
    assert "No training run" in cards.markdown({})


def test_the_demo_card_limits_the_promise_to_the_fourteen_writers():
    from detectors.split import divide
    from stopping.conditional import calibrate_conditional

    dataset = datasets.load("pendigits-parts")
    parts = divide(dataset, 0)
    readiness, loss = np.full((200, 2), 0.9), np.zeros((200, 2), bool)
    card = cards.write(
        configs.build(**{**TOY, "horizon": 2}), "0" * 12, dataset, parts,
        calibrate_conditional(readiness, loss, None, 0.1, 0.05), {}, "2026-11-22",
    )  # fmt: skip
    assert card["guarantee"]["unit"] == "drawing"
    assert "14 writers" in card["guarantee"]["promise_covers"]
    assert "nothing is promised for new writers" in card["guarantee"]["promise_covers"]
    assert card["split"]["n_calibration"] == 1749


def test_a_missing_input_of_the_signal_is_refused(toy_run):
    from detectors import signals
    from detectors.config import RuleConfig
    from stopping.errors import MissingInputError

    class WithoutHead:
        auxiliary = frozenset()

    assert signals.resolve("auto", WithoutHead(), RuleConfig()) == "max_probability"
    with pytest.raises(MissingInputError):
        signals.create("correctness", WithoutHead())
