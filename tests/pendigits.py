"""A detector of digits, trained once a test run, and what `tocsin evaluate` says it decides."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from detectors import artefact

DATA = "pendigits-parts"
CONFIG = Path(__file__).with_name("pen.toml")
KEYS = ("stream_id", "episode", "label", "halt_step")


@dataclass(frozen=True)
class Trained:
    folder: Path
    expected: dict
    """Decision row by stream id, of the test part."""


def tocsin(*arguments, **options):
    """Run the command line in a process of its own; return what it printed on stdout."""
    command = [sys.executable, "-m", "cli.main", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def expected_rows(folder, out, dataset=DATA):
    """Return the decisions of the test part by `tocsin evaluate`."""
    tocsin("evaluate", folder, dataset, "--out", out, "--json")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    return {row["stream_id"]: row for row in rows}


def differences(expected, found):
    """Return what is missing, too much, double or unequal between decisions, in words.

    Labels, episodes and halt steps must be equal, probabilities to 1e-6.
    """
    by_stream = {}
    for row in found:
        by_stream.setdefault(row["stream_id"], []).append(row)
    problems = [f"missing: {stream}" for stream in expected.keys() - by_stream.keys()]
    problems += [f"not expected: {stream}" for stream in by_stream.keys() - expected.keys()]
    for stream, rows in by_stream.items():
        if len(rows) > 1:
            problems.append(f"{len(rows)} decisions: {stream}")
        wanted = expected.get(stream)
        for row in rows if wanted else ():
            problems += [
                f"{stream}: {key} is {row[key]!r}, expected {wanted[key]!r}"
                for key in KEYS
                if row[key] != wanted[key]
            ]
            if abs(row["probability"] - wanted["probability"]) > 1e-6:
                problems.append(f"{stream}: probability {row['probability']}")
    return problems


def corrupt_one_threshold(folder, target):
    """Write a copy of an artefact, valid in itself, with one threshold moved."""
    detector = artefact.load(folder)
    moved = list(detector.certificate["thresholds"])
    steps = [step for step, level in enumerate(moved) if level is not None]
    moved[steps[len(steps) // 2]] = 0.5
    certificate = {**detector.certificate, "thresholds": moved}
    version = artefact.version_of(detector.config, detector.classifier, tuple(moved))
    artefact.save(replace(detector, certificate=certificate, version=version), target)
    return target


@pytest.fixture(scope="session")
def pendigits(tmp_path_factory):
    """A detector whose halts are spread over the steps, with its expected decisions."""
    folder = tmp_path_factory.mktemp("detector") / "pen"
    tocsin("train", DATA, "--config", CONFIG, "--out", folder, "--json")
    return Trained(folder, expected_rows(folder, folder.parent / "expected.jsonl"))
