"""`tocsin up` as a user has it: a process of its own, spoken to over HTTP."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from detectors import datasets
from streams.codec import encode
from streams.replay import events
from tests.pendigits import DATA, corrupt_one_threshold, differences, expected_rows
from tests.service import Service, running, settled

pytestmark = pytest.mark.slow


def batches(streams, size):
    rows = [encode(event) for event in events(streams, "pen", seed=3)]
    for first in range(0, len(rows), size):
        yield b'{"events":[' + b",".join(rows[first : first + size]) + b"]}"


def post(service, body):
    """Post until the service says that all of it is durable; it may die meanwhile."""
    results = service.ask("/v1/events", body)["results"]
    assert all(item["status"] == "accepted" for item in results)


def test_a_killed_service_decides_what_evaluate_decides(pendigits, tmp_path):
    """SIGKILL at three instants in the middle; the client repeats what was not acknowledged."""
    streams = datasets.load(DATA).parts["test"]
    random.seed(11)
    bodies = list(batches(streams, 100))
    kills = sorted(random.sample(range(5, len(bodies) - 5), 3))
    service, partial, restarts = Service(tmp_path, pendigits.folder), [], []
    try:
        for nth, body in enumerate(bodies):
            if nth in kills:
                threading.Timer(random.uniform(0, 0.02), service.process.kill).start()
            try:
                post(service, body)
            except OSError:  # killed before it could answer: nobody knows what it kept
                assert nth in kills
            if nth in kills:
                service.end(signal.SIGKILL)
                service = Service(tmp_path, pendigits.folder)
                restarts.append(service.start_s)
                partial.append(len(service.decisions()))
                post(service, body)
        found = settled(service, len(streams))
        assert differences(pendigits.expected, found) == []
        assert len(restarts) == 3
        assert 0 < partial[0] < len(streams)
        assert max(restarts) < 10, "a second start answers within 10 s"
        state = service.ask(f"/v1/streams/{streams.stream_id(0)}")
        assert state["states"][0]["phase"] == "ended"
    finally:
        service.end()


def test_the_comparison_sees_one_corrupted_threshold(pendigits, tmp_path):
    """The drills' comparison can fail: one step's threshold, in a validly signed artefact."""
    corrupted = corrupt_one_threshold(pendigits.folder, tmp_path / "corrupted")
    other = expected_rows(corrupted, tmp_path / "other.jsonl")
    assert differences(pendigits.expected, list(other.values()))
    assert not differences(pendigits.expected, list(pendigits.expected.values()))


def test_bad_events_are_refused_one_by_one_and_their_neighbours_are_served(pendigits, tmp_path):
    good = {"stream_id": "s", "frames": [[50.0, 50.0]] * 8, "end": True}
    bad = [
        {"stream_id": 7, "frames": [[1.0, 2.0]]},
        {"stream_id": "s", "frames": [[1.0, "x"]]},
        {"stream_id": "a\x00", "end": True},
        {"stream_id": "s", "frames": [[1.0, 2.0]], "detector": "nobody"},
    ]
    with running(tmp_path, pendigits.folder) as service:
        answer = service.ask("/v1/events", json.dumps({"events": [*bad, good]}).encode())
        assert [item["status"] for item in answer["results"]] == ["rejected"] * 4 + ["accepted"]
        wide = {"stream_id": "w", "event_id": "w/1", "frames": [[1.0, 2.0, 3.0]]}
        service.ask("/v1/events", json.dumps(wide).encode())
        assert [row["stream_id"] for row in settled(service, 1)] == ["s"]
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            letters = service.ask("/v1/dead-letters")["dead_letters"]
            if letters:
                break
        assert [(row["reason"], row["detector"]) for row in letters] == [("wrong_width", "pen")]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(service.url + "/v1/decisions", timeout=10)


def test_a_decision_is_served_with_reasons_and_certificate(pendigits, tmp_path):
    streams = datasets.load(DATA).parts["test"].subset(np.arange(5))
    with running(tmp_path, pendigits.folder) as service:
        for body in batches(streams, 500):
            post(service, body)
        row = settled(service, 5)[0]
        whole = service.ask(f"/v1/decisions/{row['id']}")
        assert whole["certificate"]["alpha"] == 0.04
        assert whole["trajectory"][-1]["step"] == row["halt_step"]
        assert whole["explanation"]["contributions"]
        (card,) = service.ask("/v1/detectors")["detectors"]
        assert card["name"] == "pen"


def test_a_second_process_on_the_same_store_is_refused(pendigits, tmp_path):
    with running(tmp_path, pendigits.folder):
        second = subprocess.run(
            [sys.executable, "-m", "cli.main", "up", "--no-demo", "--port", "0", "--data-dir",
             str(tmp_path), "--detector", str(pendigits.folder)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert second.returncode == 1
    assert "locked by another process" in second.stderr


def test_a_tampered_artefact_is_refused(pendigits, tmp_path):
    import shutil

    tampered = tmp_path / "tampered"
    shutil.copytree(pendigits.folder, tampered)
    path = tampered / "thresholds.json"
    path.write_text(path.read_text().replace("0.", "0.0", 1))
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "up", "--no-demo", "--port", "0", "--data-dir",
         str(tmp_path / "data"), "--detector", str(tampered)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "thresholds.json" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_in_order(pendigits, tmp_path, number):
    folder = tmp_path / "state"
    streams = datasets.load(DATA).parts["test"].subset(np.arange(40))
    folder.mkdir(0o700)
    service = Service(folder, pendigits.folder)
    try:
        for body in batches(streams, 500):
            post(service, body)
        settled(service, 1)
        service.process.send_signal(number)
        assert service.process.wait(20) == 0
    finally:
        service.end()
    assert "Traceback" not in "".join(service.lines)
    assert [path.name for path in folder.glob("tocsin.sqlite-*")] == []
    for path in (folder, *folder.iterdir()):  # a detector's copy keeps its modes, in there
        assert not path.stat().st_mode & 0o077, path
