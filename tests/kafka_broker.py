"""A real Kafka for tests: one node on a free port, ended by its own process id.

TOCSIN_TEST_KAFKA names a script that knows two calls: ``run DIR PORT [key=value ...]`` runs a
node in the foreground, with its data below DIR (the controller listens on PORT + 1);
``wait PORT`` returns once it answers.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from streams import topics


def started(arguments, port, out):
    """Start a node and wait until it answers; start it again if it ends instead.

    A new node draws its cluster id, and one that begins with a dash is taken for an option: about
    one first start in 64 fails for that.
    """
    for _ in range(3):
        process = subprocess.Popen(arguments, stdout=out, stderr=out)
        waiting = subprocess.Popen([arguments[0], "wait", str(port), "60"], stdout=out, stderr=out)
        while waiting.poll() is None and process.poll() is None:
            time.sleep(0.05)
        if process.poll() is None and waiting.poll() == 0:
            return process
        for each in (waiting, process):
            each.kill()
            each.wait(30)
    pytest.fail(f"no Kafka answers on port {port}: {arguments}")


class Broker:
    """One node; `stop`, `crash` and `start` again keep its data."""

    def __init__(self, script, folder, port):
        self.script, self.folder, self.port = script, folder, port
        self.servers = f"127.0.0.1:{port}"
        self.process = None
        self._transactional = None

    def start(self):
        log = (self.folder / "broker.out").open("ab")
        self.process = started(
            [
                self.script,
                "run",
                str(self.folder / "kafka"),
                str(self.port),
                "message.max.bytes=8388608",
                "socket.request.max.bytes=104857600",
                "replica.fetch.max.bytes=8388608",
                "group.min.session.timeout.ms=3000",
                "log.retention.check.interval.ms=1000",
            ],
            self.port,
            log,
        )
        log.close()
        return self

    def stop(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=60)
            self.process = None

    def crash(self):
        self.stop(signal.SIGKILL)

    def topic(self, partitions=8, **configs):
        """Create a topic of its own and return its name."""
        name = f"t-{uuid4().hex[:10]}"
        written = {key.replace("_", "."): str(value) for key, value in configs.items()}
        topics.create(self.servers, name, partitions=partitions, replication=1, configs=written)
        return name

    def put(self, topic, values, partition=0, **settings):
        """Append `values` to one partition, in order."""
        producer = Producer({"bootstrap.servers": self.servers, "acks": "all", **settings})
        for value in values:
            producer.produce(topic, value, partition=partition)
        assert producer.flush(30) == 0

    def put_transaction(self, topic, values, partition=0, *, commit=True):
        """Append `values` in one transaction, which leaves a marker after them."""
        if self._transactional is None:
            self._transactional = Producer(
                {"bootstrap.servers": self.servers, "transactional.id": "tests", "linger.ms": 0}
            )
            self._transactional.init_transactions(30)
        producer = self._transactional
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, partition=partition)
        producer.flush(30)
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)

    def read(self, topic):
        """Return all committed messages of a topic, by partition, in order of offset."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": "read",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        found = {}
        for at in topics.positions(self.servers, topic)[1]:
            consumer.assign([TopicPartition(topic, at.partition, at.begin)])
            rows = found[at.partition] = []
            while not rows or rows[-1].offset() < at.end - 1:
                if at.begin == at.end:
                    break
                (message,) = consumer.consume(1, 10) or pytest.fail("the topic fell silent")
                rows.append(message)
        consumer.close()
        return found


def free_ports():
    """Return a port such that it and the next are free now."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def new_broker(folder):
    """Start a node below `folder`, or skip the test if there is no Kafka to start."""
    script = os.environ.get("TOCSIN_TEST_KAFKA")
    if not script:
        pytest.skip("TOCSIN_TEST_KAFKA is not set: no Kafka to test on")
    return Broker(script, folder, free_ports()).start()


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """The Kafka that the tests of a run share; each uses topics of its own."""
    running = new_broker(tmp_path_factory.mktemp("broker"))
    yield running
    running.stop()
