"""A running `tocsin up` for tests, spoken to over HTTP."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager


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


def settled(service, n, seconds=60):
    """Return the decisions once there are `n`, or after a while what there is."""
    deadline = time.monotonic() + seconds
    while len(found := service.decisions()) < n and time.monotonic() < deadline:
        time.sleep(0.3)
    return found
