"""A drill's processes: workers, API and producer, each a `tocsin` of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from uuid import uuid4

from sqlalchemy import text

from store.ledger import SqlLedger
from store.session import connect
from streams import topics
from streams.drivers.kafka_fetch import KafkaFetcher
from tests.pendigits import DATA

SESSION_S = 6
PARTITIONS = 8


class Process:
    """One process, its log in a file."""

    def __init__(self, name, arguments, environment, folder):
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, *map(str, arguments)], env=environment, stdout=out, stderr=out
            )

    @property
    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait(30)

    def lines(self, event=None):
        """Return the structured log lines, of one event or all."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                row = json.loads(line)
                if event is None or row.get("event") == event:
                    found.append(row)
        return found

    def count(self, name):
        """Return the latest value of one of the counts a worker reports."""
        reports = self.lines("progress")
        return reports[-1][name] if reports else 0

    def wait_for(self, event, seconds=60):
        deadline = time.monotonic() + seconds
        while not self.lines(event):
            assert self.running, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)


class Rig:
    """Topics, a group and a store of their own, and the processes that work on them."""

    def __init__(self, broker, store_url, folder, detector):
        self.broker, self.store_url, self.folder, self.detector = (
            broker,
            store_url,
            folder,
            detector,
        )
        unique = uuid4().hex[:8]
        self.topic, self.decisions_topic = f"records-{unique}", f"decisions-{unique}"
        self.group = f"drill-{unique}"
        self.processes = []
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "TOCSIN_KAFKA_SERVERS": broker.servers,
            "TOCSIN_STORE_URL": store_url,
            "TOCSIN_STATE_DIR": str(folder / "state"),
            "TOCSIN_TOPIC": self.topic,
            "TOCSIN_DECISIONS_TOPIC": self.decisions_topic,
            "TOCSIN_GROUP": self.group,
            "TOCSIN_SESSION_TIMEOUT_S": str(SESSION_S),
            "TOCSIN_TICK_S": "0",  # the drills count records
            "TOCSIN_ADMIN_KEY_FILE": str(folder / "admin-key"),
        }
        self.run("topics", "create", "--partitions", PARTITIONS)
        self.engine = connect(store_url)
        at = topics.find(broker.servers, self.topic)
        self.ledger = SqlLedger(self.engine, self.group, self.topic, at.topic_id, at.n_partitions)
        self.fetcher = KafkaFetcher(broker.servers, self.topic)

    def run(self, *arguments):
        """Run a command to its end; return what it said on stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *map(str, arguments)],
            env=self.environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *arguments, name, **environment):
        process = Process(
            f"{name}-{len(self.processes)}", arguments, self.environment | environment, self.folder
        )
        self.processes.append(process)
        return process

    def worker(self, detector=None, **environment):
        detector = detector or self.detector
        return self.start(
            "-m", "cli.main", "worker", "--detector", detector, name="worker", **environment
        )

    def produce(self, *options, source=DATA):
        return self.start(
            "-m", "cli.main", "produce", source, "--detector", self.detector, "--json", *options,
            name="produce",
        )  # fmt: skip

    def api(self, port):
        return self.start("-m", "cli.main", "api", "--port", port, name="api")

    def reached(self):
        """Return how many records the ledger has passed, over all partitions."""
        return sum(claim.next_offset for claim in self.ledger.positions().values())

    def written(self):
        """Return how many records the topic holds."""
        return sum(self.fetcher.end(partition) for partition in range(PARTITIONS))

    def lag(self):
        return self.written() - self.reached()

    def wait_until(self, holds, seconds, why):
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, (why, self.logs())
            time.sleep(0.05)

    def wait_done(self, n_records, seconds=120):
        """Wait until so many records are in the ledger."""
        self.wait_until(
            lambda: self.reached() >= n_records,
            seconds,
            f"{self.reached()} of {n_records} records were committed",
        )

    def decisions(self):
        """Return the stored decisions."""
        query = text(
            "SELECT id, stream_id, episode, label, halt_step, probability FROM decisions "
            "WHERE detector = 'pen'"
        )
        with self.engine.connect() as connection:
            return [row._asdict() for row in connection.execute(query)]

    def outbox_size(self):
        query = text("SELECT count(*) FROM outbox WHERE group_id = :group")
        with self.engine.connect() as connection:
            return connection.execute(query, {"group": self.group}).scalar_one()

    def published_ids(self):
        return {
            dict(message.headers())["decision_id"].decode()
            for messages in self.broker.read(self.decisions_topic).values()
            for message in messages
        }

    def logs(self):
        tails = []
        for process in self.processes:
            tail = "\n".join(process.log.read_text(errors="replace").splitlines()[-12:])
            tails.append(f"--- {process.name} (exit {process.process.poll()})\n{tail}")
        return "\n".join(tails)

    def close(self):
        for process in self.processes:
            if process.running:
                process.signal(signal.SIGCONT)
                process.kill()
        self.fetcher.close()
        self.engine.dispose()


def leave(process, seconds=40):
    """Ask a process to end, and return its exit code."""
    process.signal(signal.SIGTERM)
    return process.process.wait(seconds)
