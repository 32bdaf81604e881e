"""`tocsin up` as a user has it: a process of its own, spoken to over HTTP."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest

from detectors import datasets
from streams.codec import encode
from streams.replay import events
from tests.pendigits import DATA, corrupt_one_threshold, differences, expected_rows

pytestmark = pytest.mark.slow


class Service:
    """A running `tocsin up`; `lines` is what it said on stderr so far."""

    def __init__(self, folder, detector, *options):
        self.key_file = folder / "admin-key"
        self.lines = []
        environment = {**os.environ, "TOCSIN_ADMIN_KEY_FILE": str(self.key_file)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", "--no-demo", "--port", "0",
             "--data-dir", str(folder), "--detector", str(detector), *options],
            stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.began = time.monotonic()
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._listening.wait(60), self.lines
        self.start_s = time.monotonic() - self.began

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("listening on "):
                self.url = line.split()[-1]
                self._listening.set()
        self._listening.set()

    def ask(self, path, body=None):
        request = urllib.request.Request(self.url + path, data=body)
        request.add_header("Authorization", f"Bearer {self.key_file.read_text().strip()}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def decisions(self):
        found, query = [], "?limit=500"
        while True:
            page = self.ask("/v1/decisions" + query)
            found += page["decisions"]
            if page["next_cursor"] is None:
                return found
            query = "?limit=500&cursor=" + page["next_cursor"]

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(30)
        self._reader.join()
        self.process.stderr.close()


@contextmanager
def running(folder, detector, *options):
    service = Service(folder, detector, *options)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.end()


def batches(streams, size):
    rows = [encode(event) for event in events(streams, "pen", seed=3)]
    for first in range(0, len(rows), size):
        yield b'{"events":[' + b",".join(rows[first : first + size]) + b"]}"


def post(service, body):
    """Post until the service says that all of it is durable; it may die meanwhile."""
    results = service.ask("/v1/events", body)["results"]
    assert all(item["status"] == "accepted" for item in results)


def settled(service, n):
    deadline = time.monotonic() + 60
    while len(found := service.decisions()) < n and time.monotonic() < deadline:
        time.sleep(0.3)
    return found


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
