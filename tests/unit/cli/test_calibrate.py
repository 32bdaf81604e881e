from __future__ import annotations

import json
import re

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cli.calibrate import register
from cli.errors import CommandError
from stopping.certificate import Certificate
from stopping.conditional import calibrate_conditional
from stopping.errors import CertificateError, LabelError, ReadinessError, ShapeError
from stopping.losses import accuracy_gap_loss

LEVELS = ("--alpha", "0.2", "--delta", "0.1")
CONDITIONAL = (*LEVELS, "--control", "conditional")
MARGINAL = (*LEVELS, "--control", "marginal")


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
        (LEVELS, "--control: is needed; choose one of: marginal, conditional"),
        (("--alpha", "1", *MARGINAL[2:]), "--alpha: 1.0 is not above 0 and below 1"),
        (("--alpha", "nan", *MARGINAL[2:]), "--alpha: nan is not above 0 and below 1"),
        (("--alpha", "0.1", "--delta", "0", "--control", "marginal"), "--delta: 0.0 is not above"),
        (
            (*LEVELS, "--control", "one-sided"),
            "--control: one-sided is not available yet; choose one of: marginal, conditional",
        ),
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


def test_a_group_array_is_said_to_be_unused(file):
    result = run("--scores", file(group=np.arange(300)), *MARGINAL, "--json")
    assert result.exit_code == 0
    assert "group is not used" in result.stderr
    assert json.loads(result.stdout)["n"] == 300


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
