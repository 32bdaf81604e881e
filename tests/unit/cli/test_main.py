"""The command line as a whole: quick to answer, and clear about what went wrong."""

import os
import subprocess
import sys
import time

import pytest

HEAVY = ("torch", "numpy", "scipy", "sqlalchemy", "faust", "kafka", "confluent_kafka", "fastapi")


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def test_help_loads_nothing_heavy():
    code = f"import sys, cli.main; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_answers_within_half_a_second():
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        done = run("--help")
        seconds.append(time.perf_counter() - began)
        assert done.returncode == 0
    assert min(seconds) < 0.5, "the best of five: other work on the machine does not count"


def test_every_command_of_the_contract_is_there():
    listed = run("--help").stdout
    for command in (
        "up", "train", "calibrate", "evaluate", "replay", "worker", "api", "topics", "produce",
        "decisions", "db", "keys", "detectors", "doctor",
    ):  # fmt: skip
        assert f" {command} " in listed


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("evaluate", "nowhere", "pendigits-parts"), 1, "there is no detector 'nowhere'"),
        (("replay", "pendigits-parts", "--detector", "x"), 2, "say where to"),
        (("up", "--port", "-1"), 2, "Invalid value"),
        (("worker", "--detector", "x"), 1, "no Kafka is configured"),
        (("frobnicate",), 2, "No such command"),
    ],
)
def test_a_mistake_is_answered_with_advice_and_no_traceback(arguments, code, message, tmp_path):
    done = run(*arguments, TOCSIN_STATE_DIR=str(tmp_path))
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_that_cannot_be_used_are_named_without_their_values():
    done = run("doctor", TOCSIN_PORT="x1y2", TOCSIN_STORE_URL="postgresql://a:hunter2@h/x")
    assert done.returncode == 1
    assert "TOCSIN_PORT" in done.stderr
    assert "TOCSIN_STORE_PASSWORD_FILE" in done.stderr
    assert "hunter2" not in done.stderr
    assert "x1y2" not in done.stderr


def test_debug_shows_the_traceback(tmp_path):
    done = run("--debug", "evaluate", "nowhere", "x", TOCSIN_STATE_DIR=str(tmp_path))
    assert "Traceback" in done.stderr
