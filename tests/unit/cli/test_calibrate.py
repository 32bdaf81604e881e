from __future__ import annotations

import json
import re

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cli.calibrate import register
from cli.errors import CommandError
from cli.scores import one_row_a_group
from stopping.certificate import Certificate
from stopping.conditional import calibrate_conditional
from stopping.errors import CertificateError, LabelError, ReadinessError, ShapeError
from stopping.losses import accuracy_gap_loss
from stopping.onesided import calibrate_one_sided

LEVELS = ("--alpha", "0.2", "--delta", "0.1")
CONDITIONAL = (*LEVELS, "--control", "conditional")
MARGINAL = (*LEVELS, "--control", "marginal")
ONE_SIDED = (*LEVELS, "--control", "one-sided")


def make_app():
    app = typer.Typer()

    @app.callback()
    def root() -> None:
        """Stand in for the real command line."""

    register(app)
    return app


def run(*arguments):
    return CliRunner().invoke(make_app(), ["calibrate", *map(str, arguments)])


def scores(n=300, horizon=5):
    rng = np.random.default_rng(11)
    skill = rng.random((n, 1)) * np.linspace(0.6, 1, horizon)
    label = rng.integers(0, 3, n)
    return {
        "readiness": np.clip(skill + rng.normal(0, 0.1, (n, horizon)), 0, 1),
        "predicted": np.where(rng.random((n, horizon)) < 0.5 + skill / 2, label[:, None], 3),
        "label": label,
        "lengths": rng.integers(2, horizon + 1, n),
    }


@pytest.fixture
def file(tmp_path):
    def write(**changes):
        path = tmp_path / "scores.npz"
        arrays = {k: v for k, v in (scores() | changes).items() if v is not None}
        np.savez(path, **arrays)
        return path

    return write


def refusal(result):
    """The whole usage message on one line, as typer wraps it in a box."""
    assert result.exit_code == 2
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.output).split())


def test_json_has_what_the_contract_names_and_the_thresholds_of_the_library(file):
    result = run("--scores", file(), *CONDITIONAL, "--mode", "reference", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    arrays = scores()
    loss = accuracy_gap_loss(arrays["predicted"], arrays["label"], arrays["lengths"])
    expected = calibrate_conditional(arrays["readiness"], loss, arrays["lengths"], 0.2, 0.1)
    assert expected.certifies
    assert document["thresholds"] == list(expected.thresholds)
    assert document["certificate"]["screening_indices"] == list(expected.screening_indices)
    named = {name: document[name] for name in ("mode", "control", "loss", "alpha", "delta", "n")}
    assert named == {
        "mode": "reference", "control": "conditional", "loss": "gap",
        "alpha": 0.2, "delta": 0.1, "n": 300,
    }  # fmt: skip
    assert document["vacuous"] is False
    assert Certificate.from_json(document["certificate"]).thresholds == expected.thresholds


def test_marginal_control_screens_on_nothing(file):
    document = json.loads(run("--scores", file(), *MARGINAL, "--json").stdout)
    assert document["certificate"]["screening_indices"] == []
    assert len(set(document["thresholds"][:-1])) == 1


def test_seed_and_order_choose_the_screening_half(file):
    def half(*options):
        result = run("--scores", file(), *CONDITIONAL, *options, "--json")
        return json.loads(result.stdout)["certificate"]["screening_indices"]

    assert half("--no-shuffle") == list(range(150))
    assert half() == half("--seed", "0")
    assert half("--seed", "5") == np.random.default_rng(5).permutation(300)[:150].tolist()


def test_without_json_a_person_reads_counts_and_what_is_promised(file):
    result = run("--scores", file(), *CONDITIONAL)
    assert result.exit_code == 0
    assert "With confidence 0.9 over the calibration draw" in result.stderr
    assert "threshold" in result.stdout


def test_too_few_streams_are_an_answer_and_no_failure(file):
    few = {name: array[:20] for name, array in scores().items()}
    result = run("--scores", file(**few), *CONDITIONAL, "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["thresholds"] == [None] * 5
    assert document["shortfall"] == {"needed": 21, "available": 20, "missing": 1}
    assert "1 are missing" in document["statement"]


def test_a_written_document_verifies_against_its_scores(file, tmp_path):
    out = tmp_path / "certificate.json"
    made = run("--scores", file(), *CONDITIONAL, "--seed", "3", "--out", out, "--json")
    assert json.loads(out.read_text()) == json.loads(made.stdout)
    result = run("--verify", out, "--scores", file(), "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"agrees": True, "differences": []}
    assert (
        "agrees with the scores of these 300 streams"
        in run("--verify", out, "--scores", file()).stderr
    )


def test_a_bare_certificate_verifies_too(file, tmp_path):
    out = tmp_path / "certificate.json"
    made = json.loads(run("--scores", file(), *MARGINAL, "--json").stdout)
    out.write_text(json.dumps(made["certificate"]))
    assert run("--verify", out, "--scores", file()).exit_code == 0


def test_a_changed_threshold_does_not_verify(file, tmp_path):
    out = tmp_path / "certificate.json"
    document = json.loads(run("--scores", file(), *MARGINAL, "--json").stdout)
    document["certificate"]["thresholds"][0] = 0.005
    out.write_text(json.dumps(document))
    result = run("--verify", out, "--scores", file(), "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert not found["agrees"]
    assert any("threshold of step 1" in sentence for sentence in found["differences"])
    spoken = run("--verify", out, "--scores", file())
    assert spoken.exit_code == 1
    assert "differs: the threshold of step 1" in spoken.stderr


def test_other_scores_do_not_verify(file, tmp_path):
    out = tmp_path / "certificate.json"
    run("--scores", file(), *CONDITIONAL, "--out", out)
    other = file(label=np.roll(scores()["label"], 1))
    assert run("--verify", out, "--scores", other).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--delta", "0.1", "--control", "marginal"), "--alpha: is needed"),
        (("--alpha", "0.1", "--control", "marginal"), "--delta: is needed"),
        (LEVELS, "--control: is needed; choose one of: marginal, conditional, one-sided"),
        (("--alpha", "1", *MARGINAL[2:]), "--alpha: 1.0 is not above 0 and below 1"),
        (("--alpha", "nan", *MARGINAL[2:]), "--alpha: nan is not above 0 and below 1"),
        (("--alpha", "0.1", "--delta", "0", "--control", "marginal"), "--delta: 0.0 is not above"),
        (
            (*ONE_SIDED, "--loss", "gap"),
            "--loss: gap is not available yet; choose one of: false_alarm",
        ),
        ((*MARGINAL, "--loss", "false_alarm"), "--loss: false_alarm is not available"),
        ((*MARGINAL, "--alarm", "1"), "--alarm: is for --control one-sided only"),
        ((*CONDITIONAL, "--precision", "0.3"), "--precision: is for --control one-sided only"),
        ((*ONE_SIDED, "--precision", "1"), "--precision: 1.0 is not above 0 and below 1"),
        ((*ONE_SIDED, "--alarm", "-1"), "Invalid value for '--alarm'"),
        (
            (*MARGINAL, "--mode", "improved"),
            "--mode: improved is not available yet; choose one of: reference",
        ),
        ((*MARGINAL, "--loss", "miss"), "--loss: miss is not available yet; choose one of: gap"),
        ((*MARGINAL, "--control", "both"), "'both' is not one of"),
        ((*CONDITIONAL, "--seed", "-1"), "Invalid value for '--seed'"),
        ((*CONDITIONAL, "--seed", "1", "--no-shuffle"), "give one of them"),
    ],
)
def test_wrong_use_is_refused_with_what_there_is(file, arguments, message):
    assert message in refusal(run("--scores", file(), *arguments))


def test_verifying_takes_its_levels_from_the_certificate_only(file, tmp_path):
    out = tmp_path / "certificate.json"
    run("--scores", file(), *MARGINAL, "--out", out)
    for option in (("--alpha", "0.1"), ("--no-shuffle",), ("--out", out)):
        message = refusal(run("--verify", out, "--scores", file(), *option))
        assert "takes --scores and --json only" in message


def test_a_file_that_is_not_there_is_wrong_use(tmp_path):
    assert "does not exist" in refusal(run("--scores", tmp_path / "none.npz", *MARGINAL))


def failure(result, kind):
    """The message of an error that the command line shows to people, exit code 1."""
    assert result.exit_code == 1
    assert isinstance(result.exception, kind), result.exception
    assert type(result.exception).__module__.endswith(".errors")
    return str(result.exception)


@pytest.mark.parametrize("content", [b"", b"readiness\n1,2,3\n", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_npz_is_refused_with_advice(tmp_path, content):
    path = tmp_path / "scores.npz"
    path.write_bytes(content)
    message = failure(run("--scores", path, *MARGINAL), CommandError)
    assert "cannot be read as an NPZ file" in message
    assert "numpy.savez" in message


def test_a_truncated_or_damaged_npz_is_refused(file):
    path = file()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    failure(run("--scores", path, *MARGINAL), CommandError)
    path.write_bytes(whole[:500] + b"\xff" * 64 + whole[564:])
    failure(run("--scores", path, *MARGINAL), CommandError)


def test_a_single_array_is_refused(tmp_path):
    path = tmp_path / "scores.npz"
    with path.open("wb") as stream:
        np.save(stream, np.zeros((3, 2)))
    assert "one bare array" in failure(run("--scores", path, *MARGINAL), CommandError)


def test_pickled_arrays_are_never_loaded(file, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    path = file(label=np.array([Bomb()], dtype=object))
    assert "without object arrays" in failure(run("--scores", path, *MARGINAL), CommandError)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["readiness", "predicted", "label"])
def test_a_missing_array_is_named(file, name):
    message = failure(run("--scores", file(**{name: None}), *MARGINAL), CommandError)
    assert f"has no array {name}" in message


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"readiness": np.zeros((300, 5), int)}, ShapeError, "readiness is int64"),
        ({"readiness": np.zeros((300, 4))}, ShapeError, "readiness|loss"),
        ({"readiness": np.full((300, 5), np.nan)}, ReadinessError, "step 1 of stream 0"),
        ({"readiness": np.full((300, 5), 1.5)}, ReadinessError, "reference mode"),
        ({"label": np.zeros(299, int)}, ShapeError, r"label is int64 \[299\]"),
        ({"label": np.full(300, "yes")}, ShapeError, "label is <U3"),
        ({"label": np.full(300, -1)}, LabelError, "label holds -1"),
        ({"lengths": np.full(300, 9)}, ShapeError, "between 1 and 5"),
    ],
)
def test_arrays_that_are_no_scores_are_refused_by_name(file, changes, kind, message):
    assert re.search(message, failure(run("--scores", file(**changes), *MARGINAL), kind))


def grouped():
    """Three rows of each of 100 groups."""
    return np.repeat([f"patient {k}" for k in range(100)], 3)


@pytest.mark.parametrize("options", [MARGINAL, CONDITIONAL, ONE_SIDED])
def test_of_each_group_one_row_is_drawn_at_random_by_the_seed(file, tmp_path, options):
    out = tmp_path / "certificate.json"
    path = file(group=grouped())
    result = run("--scores", path, *options, "--seed", "4", "--out", out, "--json")
    assert result.exit_code == 0
    assert "300 rows of 100 groups: one row of each, drawn at random with seed 4" in result.stderr
    document = json.loads(result.stdout)
    assert document["n"] == 100
    assert document["group"] == {"n_rows": 300, "n_groups": 100, "seed": 4}
    assert run("--verify", out, "--scores", path).exit_code == 0
    out.write_text(json.dumps(document | {"group": document["group"] | {"seed": 5}}))
    assert run("--verify", out, "--scores", path).exit_code == 1


def test_every_row_of_a_group_may_be_the_one_and_other_groups_do_not_matter():
    arrays = {"readiness": np.arange(12.0)[:, None], "group": np.repeat([7, 3, 5], [6, 2, 4])}
    drawn = [one_row_a_group(arrays, seed)[0]["readiness"][:, 0] for seed in range(200)]
    assert all(len(rows) == 3 and (np.diff(rows) > 0).all() for rows in drawn)
    firsts = np.bincount([int(rows[0]) for rows in drawn], minlength=6)
    assert firsts.min() >= 15  # a sixth of 200 is 33
    assert {int(rows[1]) for rows in drawn} == {6, 7}


def test_groups_can_be_left_out_of_account_and_it_is_said(file, tmp_path):
    out = tmp_path / "certificate.json"
    path = file(group=grouped())
    result = run("--scores", path, *MARGINAL, "--no-group", "--out", out, "--json")
    assert "group is not used: every row is taken as a subject of its own" in result.stderr
    assert json.loads(result.stdout)["n"] == 300
    assert json.loads(result.stdout)["group"] is None
    assert run("--verify", out, "--scores", path).exit_code == 0


@pytest.mark.parametrize("group", [np.arange(299), np.zeros((300, 2), int), np.zeros(300)])
def test_a_group_array_that_names_no_groups_is_refused(file, group):
    message = failure(run("--scores", file(group=group), *MARGINAL), CommandError)
    assert "group is" in message
    assert "--no-group" in message


def test_groups_that_are_asked_for_must_be_there(file):
    message = failure(run("--scores", file(), *MARGINAL, "--group"), CommandError)
    assert "has no array group" in message


def test_a_seed_that_was_tampered_with_is_refused(file, tmp_path):
    out = tmp_path / "certificate.json"
    path = file(group=grouped())
    document = json.loads(run("--scores", path, *MARGINAL, "--json").stdout)
    out.write_text(json.dumps(document | {"group": {"seed": "1"}}))
    message = failure(run("--verify", out, "--scores", path), CommandError)
    assert "group.seed is '1'" in message


# ---------------------------------------------------------------- one-sided


def alarms(n=600, horizon=4):
    rng = np.random.default_rng(12)
    label = rng.choice([0, 1, 2], n, p=[0.6, 0.2, 0.2])
    risk = rng.beta(1, 6, (n, horizon)) + (label == 2)[:, None] * rng.random((n, horizon)) * 0.6
    return {
        "readiness": np.clip(risk, 0, 1),
        "label": label,
        "lengths": rng.integers(1, horizon + 1, n),
        "predicted": None,
    }


def test_one_sided_thresholds_are_those_of_the_library(file):
    result = run("--scores", file(**alarms()), *ONE_SIDED, "--alarm", "2", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    arrays = alarms()
    expected = calibrate_one_sided(
        arrays["readiness"], arrays["label"] == 2, arrays["lengths"], 0.2, 0.1
    )
    assert Certificate.from_json(document["certificate"]) == expected
    assert document["thresholds"][-1] is not None
    assert (document["loss"], document["alarm"], document["vacuous"]) == ("false_alarm", 2, False)


def test_one_sided_precision_is_asked_for_and_split_by_the_seed(file):
    options = (*ONE_SIDED, "--alarm", "2", "--precision", "0.4", "--seed", "3", "--json")
    document = json.loads(run("--scores", file(**alarms()), *options).stdout)
    arrays = alarms()
    expected = calibrate_one_sided(
        arrays["readiness"], arrays["label"] == 2, arrays["lengths"], 0.2, 0.1,
        precision=0.4, seed=3,
    )  # fmt: skip
    assert expected.certifies
    assert Certificate.from_json(document["certificate"]) == expected
    assert "at least 0.4 of the streams raised by step t are positive" in document["statement"]


@pytest.mark.parametrize(
    "options", [(), ("--precision", "0.4"), ("--precision", "0.4", "--no-shuffle")]
)
def test_a_one_sided_document_verifies_against_its_scores(file, tmp_path, options):
    out = tmp_path / "certificate.json"
    path = file(**alarms())
    made = run("--scores", path, *ONE_SIDED, "--alarm", "2", *options, "--out", out, "--json")
    assert run("--verify", out, "--scores", path).exit_code == 0
    certificate = json.loads(made.stdout)["certificate"]
    out.write_text(json.dumps(certificate))  # alone it does not say which label is raised
    assert run("--verify", out, "--scores", path).exit_code == 1
    assert run("--verify", out, "--scores", path, "--alarm", "2").exit_code == 0
    certificate["thresholds"][-1] = 0.99
    out.write_text(json.dumps(certificate))
    changed = run("--verify", out, "--scores", path, "--alarm", "2", "--json")
    assert changed.exit_code == 1
    assert any("threshold of step 4" in text for text in json.loads(changed.stdout)["differences"])


def test_labels_of_0_and_1_need_no_alarm_and_no_predictions(file):
    arrays = alarms()
    positive = arrays["label"] == 2
    results = [
        json.loads(run("--scores", file(**arrays | {"label": label}), *ONE_SIDED, "--json").stdout)
        for label in (positive, positive.astype(int))
    ]
    assert results[0]["thresholds"] == results[1]["thresholds"]
    assert results[0]["alarm"] == 1


def test_a_person_reads_who_was_raised_by_each_step(file):
    options = (*ONE_SIDED, "--alarm", "2", "--precision", "0.4")
    result = run("--scores", file(**alarms()), *options)
    assert "the probability that a negative stream is raised" in result.stderr
    for column in ("raised", "positives", "share right", "p (precision)"):
        assert column in result.stdout


def test_too_few_negatives_are_an_answer_and_no_failure(file):
    few = {k: None if v is None else v[:10] for k, v in alarms().items()}
    document = json.loads(
        run("--scores", file(**few), *ONE_SIDED, "--alarm", "2", "--json").stdout
    )
    assert document["thresholds"] == [None] * 4
    assert document["shortfall"]["needed"] == 11
    assert "negatives to test on" in document["statement"]


def test_one_sided_labels_below_0_are_refused(file):
    path = file(**alarms() | {"label": np.full(600, -1)})
    assert "label holds -1" in failure(run("--scores", path, *ONE_SIDED), LabelError)


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ("", CommandError, "cannot be read as JSON"),
        ("\x00\xff", CommandError, "cannot be read as JSON"),
        ("[1]", CertificateError, "must be an object"),
        ('{"certificate": {}}', CertificateError, "format is missing"),
    ],
)
def test_what_is_no_certificate_cannot_be_verified(file, tmp_path, content, kind, message):
    path = tmp_path / "certificate.json"
    path.write_bytes(content.encode("latin-1"))
    assert message in failure(run("--verify", path, "--scores", file()), kind)


def test_a_certificate_of_a_loss_not_known_here_cannot_be_verified(file, tmp_path):
    path = tmp_path / "certificate.json"
    document = json.loads(run("--scores", file(), *MARGINAL, "--json").stdout)["certificate"]
    path.write_text(json.dumps(document | {"loss": "miss"}))
    message = failure(run("--verify", path, "--scores", file()), CommandError)
    assert "'miss'" in message


def test_an_output_that_cannot_be_written_is_refused(file, tmp_path):
    out = tmp_path / "missing" / "certificate.json"
    message = failure(run("--scores", file(), *MARGINAL, "--out", out), CommandError)
    assert "choose another --out" in message
