"""`tocsin compare`: the rows that scripts rely on, the cache, the plot and the page."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cli import compare
from detectors.compare import Row, front
from detectors.errors import ConfigError
from tests.unit.detectors.conftest import everything

app = typer.Typer()
compare.register(app)
FIELDS = {
    "dataset", "rule", "control", "time_used", "accuracy", "late_accuracy", "gap",
    "max_conditional_gap", "n_calibration", "violated",
}  # fmt: skip


@pytest.fixture
def tocsin(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "toy"
    folder.mkdir(parents=True)
    np.savez_compressed(folder / "toy.npz", **everything())
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, list(map(str, arguments)))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.stdout

    return run


def test_rules_are_compared_kept_and_drawn(tocsin, tmp_path, monkeypatch):
    cache, plot, page = tmp_path / "cache", tmp_path / "front.png", tmp_path / "front.html"
    arguments = ("--datasets", "toy,shop-talk", "--delta", "0.1", "--cache", cache, "--json")
    rows = json.loads(tocsin(*arguments, "--plot", plot, "--html", page))["rows"]
    assert all(row.keys() >= FIELDS for row in rows)
    assert [(row["dataset"], row["rule"]) for row in rows] == [
        ("toy", "correctness/conditional"), ("toy", "correctness/marginal"),
        ("toy", "max_probability/conditional"), ("toy", "max_probability/marginal"),
        ("shop-talk", "max_probability/conditional"), ("shop-talk", "max_probability/marginal"),
    ]  # fmt: skip
    for row in rows:
        assert 0 < row["time_used"] <= 1
        assert row["late_accuracy"] - row["accuracy"] <= row["gap"] + 1e-12
        assert row["gap"] <= row["max_conditional_gap"] + 1e-12
        assert not row["violated"]
    assert any(row["time_used"] < 1 for row in rows)
    assert plot.read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert "data:image/png;base64," in text
    assert "http" not in text

    monkeypatch.setattr("detectors.compare._Answers", None)  # nothing is computed again
    kept = ("correctness/marginal", "max_probability/conditional")
    again = json.loads(tocsin("--datasets", "toy", "--rules", ",".join(kept), *arguments[2:]))[
        "rows"
    ]
    assert again == [row for row in rows if row["dataset"] == "toy" and row["rule"] in kept]


def test_a_rule_that_is_none_is_answered_with_those_there_are(tocsin):
    with pytest.raises(ConfigError, match="correctness/conditional"):
        tocsin("--datasets", "toy", "--rules", "magic/conditional")


def test_a_level_out_of_range_is_wrong_use(tocsin):
    tocsin("--datasets", "toy", "--alpha", "1.5", code=2)


def row(time_used, accuracy):
    return Row("d", "r", "marginal", time_used, accuracy, 1.0, 0.0, None, 9, 9, True, False)


def test_the_front_holds_what_nobody_beats():
    rows = [row(0.9, 0.95), row(0.2, 0.8), row(0.5, 0.8), row(0.5, 0.9), row(0.95, 0.94)]
    assert front(rows) == [row(0.2, 0.8), row(0.5, 0.9), row(0.9, 0.95)]
