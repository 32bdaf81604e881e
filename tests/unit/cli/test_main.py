"""The command line as a whole: quick to answer, and clear about what went wrong."""

import os
import subprocess
import sys
import time
from pathlib import Path

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
        (("train", "pendigits-parts", "--model", "lstm", "--alpha", "2"), 2, "--alpha"),
        (("train", "pendigits-parts", "--model", "lstm", "--delta", "nan"), 2, "--delta"),
        (("train", "pendigits-parts", "--model", "gru"), 2, "--model"),
        (("decisions", "--url", "ftp://x"), 2, "--url 'ftp://x' is not the URL of an API"),
        (("decisions", "--since", "now"), 2, "--since"),
        (("evaluate", "x", "pendigits-parts", "--out", "/nope/x"), 1, "there is no folder /nope"),
        (("decisions",), 1, "There is no store at"),
    ],
)
def test_a_mistake_is_answered_with_advice_and_no_traceback(arguments, code, message, tmp_path):
    done = run(*arguments, TOCSIN_STATE_DIR=str(tmp_path))
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_that_cannot_be_used_are_named_without_their_values():
    done = run("doctor", TOCSIN_PORT="x1y2", TOCSIN_STORE_URL="postgresql://a:hunter2@h/x")
    assert done.returncode == 2
    assert "TOCSIN_PORT" in done.stderr
    assert "TOCSIN_STORE_PASSWORD_FILE" in done.stderr
    assert "hunter2" not in done.stderr
    assert "x1y2" not in done.stderr


def test_a_file_that_is_no_database_is_not_called_a_fault_of_ours(tmp_path):
    path = tmp_path / "notes"
    path.write_text("root:x:0:0:" * 100)
    done = run("db", "current", TOCSIN_STORE_URL=f"sqlite:///{path}")
    assert done.returncode == 1
    assert f"{path} cannot be used as a store: file is not a database" in done.stderr
    assert "fault of ours" not in done.stderr


FULL = Path("/dev/full")


def run_into(stdout, *arguments, state_dir):
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments], stdout=stdout, stderr=subprocess.PIPE,
        text=True, check=False, env={**os.environ, "TOCSIN_STATE_DIR": str(state_dir)},
    )  # fmt: skip


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full on this system")
@pytest.mark.parametrize("arguments", [("doctor",), ("doctor", "--json"), ("--help",)])
def test_a_full_stdout_is_one_message(arguments, tmp_path):
    with FULL.open("wb") as full:
        done = run_into(full, *arguments, state_dir=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "No space left on device" in done.stderr
    assert "fault of ours" not in done.stderr


@pytest.mark.parametrize("arguments", [("doctor",), ("doctor", "--json"), ("--help",)])
def test_a_reader_that_has_seen_enough_hears_no_complaint(arguments, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody:
        assert run_into(nobody, *arguments, state_dir=tmp_path).stderr == ""


def test_a_closed_stdout_is_one_message(tmp_path):
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -m cli.main doctor --json >&-', sys.executable],
        capture_output=True, text=True, check=False,
        env={**os.environ, "TOCSIN_STATE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: stdout is closed")


def test_text_that_stdout_cannot_encode_is_spelled_out(tmp_path):
    done = run("doctor", PYTHONIOENCODING="ascii", TOCSIN_STATE_DIR=str(tmp_path / "\u00e9"))
    assert done.returncode == 0, done.stderr
    assert r"\xe9" in done.stdout


def test_offering_commands_does_not_load_the_settings():
    names = "keys, decisions, doctor, produce, replay, evaluate, calibrate, db"
    code = f"import sys; from cli import {names}; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_store_that_no_version_could_use_is_a_wrong_setting(tmp_path):
    done = run("db", "current", TOCSIN_STORE_URL="mysql://someone@h/x")
    assert done.returncode == 2
    assert "neither PostgreSQL nor SQLite" in done.stderr


def test_debug_shows_the_traceback(tmp_path):
    done = run("--debug", "evaluate", "nowhere", "x", TOCSIN_STATE_DIR=str(tmp_path))
    assert "Traceback" in done.stderr
