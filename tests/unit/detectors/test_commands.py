"""`tocsin train`, `evaluate` and `detectors`, through the command line and the serving engine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cli import detectors, evaluate, train
from cli.errors import CommandError
from detectors import artefact
from detectors.errors import DatasetError, RegistryError, ScoringError
from detectors.toml import to_toml
from tests.unit.detectors.conftest import TOY, arrays, everything

app = typer.Typer()
for command in (train, evaluate, detectors):
    command.register(app)


@pytest.fixture
def tocsin(data_dir, tmp_path, monkeypatch):
    """Run a command in an empty folder; return its JSON, or raise what it raised."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(data_dir))
    monkeypatch.setenv("TOCSIN_REGISTRY", str(tmp_path / "registry"))

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, list(map(str, arguments)))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if code == 0 and "--json" in arguments else result.output

    return run


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "toy.toml"
    path.write_text(to_toml({"schema": 1, **TOY}))
    return path


@pytest.fixture
def trained(tocsin, config_file):
    return tocsin("train", "toy", "--config", config_file, "--json")


def test_a_detector_goes_into_the_registry_and_is_evaluated_by_its_name(tocsin, trained, tmp_path):
    found = tocsin("evaluate", "toy", "toy", "--out", "rows.jsonl", "--json")
    for name in ("accuracy", "late_accuracy", "gap", "gap_at", "time_used"):
        assert found[name] == trained["metrics"][name]
    assert found["n"] == 100
    assert found["gap_at"].keys() == {"0.2", "0.5", "1.0"}
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == len({row["id"] for row in rows}) == 100
    assert rows[3]["stream_id"] == "toy/test/3"
    assert rows[3]["episode"] == "toy/test/3/1"
    assert rows[3].keys() >= {
        "id", "detector", "version", "stream_id", "episode", "label", "probability", "halt_step",
        "reason",
    }  # fmt: skip


def test_the_engine_gives_what_the_literal_loop_gives(tocsin, trained, toy_run):
    assert trained["version"] == toy_run.detector.version
    for name, value in toy_run.evaluation.items():
        if name != "metrics":
            assert trained["metrics"][name] == value


def test_options_go_before_the_configuration(tocsin, config_file, tmp_path):
    report = tocsin(
        "train", "toy", "--config", config_file, "--alpha", "0.2", "--control", "marginal",
        "--signal", "max_probability", "--name", "other", "--seed", "3",
        "--out", "there", "--json",
    )  # fmt: skip
    loaded = artefact.load(tmp_path / "there")
    assert (loaded.name, report["detector"]) == ("other", "other")
    assert (loaded.config.rule.alpha, loaded.config.rule.control) == (0.2, "marginal")
    assert loaded.config.signal == "max_probability"
    assert (loaded.config.seed, loaded.config.classifier.options.seed) == (3, 3)
    assert loaded.config.classifier.options.hidden == 6
    assert tocsin("detectors", "list", "--json") == []


def test_a_folder_that_is_there_is_not_written_over(tocsin, config_file, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thesis.txt").write_text("mine")
    with pytest.raises(CommandError, match="already and not empty"):
        tocsin("train", "toy", "--config", config_file, "--out", "there")
    assert (tmp_path / "there" / "thesis.txt").read_text() == "mine"


def test_versions_are_listed_retired_and_activated(tocsin, trained):
    reference = f"toy@{trained['version']}"
    [row] = tocsin("detectors", "list", "--json")
    assert (row["detector"], row["version"], row["active"]) == ("toy", trained["version"], True)
    assert tocsin("detectors", "retire", reference, "--json")[0]["retired"]
    with pytest.raises(RegistryError, match="is active"):
        tocsin("evaluate", "toy", "toy", "--json")
    assert tocsin("evaluate", reference, "toy", "--json")["n"] == 100
    assert tocsin("detectors", "activate", reference, "--json")[0]["active"]
    assert tocsin("evaluate", "toy", "toy", "--split", "calibration", "--json")["n"] == 200
    assert trained["version"] in tocsin("detectors", "list")
    assert "late accuracy" in tocsin("evaluate", "toy", "toy")


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "toy"),
        ("train", "toy", "--model", "lstm", "--control", "one-sided"),
        ("train", "toy", "--model", "lstm", "--precision", "1.5"),
        ("train", "toy", "--model", "lstm", "--mode", "improved"),
        ("train", "toy", "--model", "lstm", "--late", "step:0"),
        ("train", "toy", "--model", "lstm", "--signal", "magic"),
        ("train", "toy", "--model", "lstm", "--seed", "-1"),
        ("evaluate", "toy"),
        ("evaluate", "toy", "toy", "--split", "all"),
        ("detectors", "activate", "toy"),
    ],
)
def test_wrong_use_ends_with_code_two(tocsin, arguments):
    tocsin(*arguments, code=2)


def test_a_part_that_the_set_does_not_have_is_refused_with_those_it_has(tocsin, trained):
    with pytest.raises(CommandError, match="it has: train, calibration, test"):
        tocsin("evaluate", "toy", "toy", "--split", "val")


def test_another_data_set_than_the_detector_knows_is_refused(tocsin, trained):
    with pytest.raises(ScoringError, match="knows the channels x; pendigits-parts has x, y"):
        tocsin("evaluate", "toy", "pendigits-parts")


def test_an_unknown_set_is_refused_before_anything_is_trained(tocsin):
    with pytest.raises(DatasetError, match="there is no data set 'nowhere'"):
        tocsin("train", "nowhere", "--model", "lstm")


def test_a_damaged_detector_does_not_become_active(tocsin, trained, tmp_path):
    reference = f"toy@{trained['version']}"
    (tmp_path / "registry" / "toy" / trained["version"] / "thresholds.json").write_text("{}")
    with pytest.raises(artefact.TamperedFileError):
        tocsin("detectors", "activate", reference)


@pytest.fixture
def other_test_streams(data_dir):
    """Give the set another test part, which neither classifier nor thresholds depend on."""
    np.savez(data_dir / "toy" / "toy.npz", **everything() | arrays(60, 7, "test"))


@pytest.mark.usefixtures("trained", "other_test_streams")
def test_a_version_that_was_there_already_is_reported_as_its_folder_has_it(
    tocsin, trained, config_file
):
    result = CliRunner().invoke(app, ["train", "toy", "--config", str(config_file), "--json"])
    assert "was there already" in result.stderr
    assert "its card and certificate stay" in result.stderr
    assert "written:" not in result.stderr
    assert json.loads(result.stdout) == trained
    card = json.loads((Path(trained["folder"]) / "card.json").read_text())
    assert trained["n_test"] == card["split"]["n_test"] == 100


def test_a_new_version_is_said_to_be_written_and_active(tocsin, config_file):
    said = tocsin("train", "toy", "--config", config_file)
    [row] = tocsin("detectors", "list", "--json")
    assert f"written: {row['folder']}" in said
    assert f"{row['version']} is now the active version of toy" in said
    assert "there already" not in said
