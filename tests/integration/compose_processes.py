"""The services of docker-compose.yml as processes: its commands, its environment, no container.

Whatever is changed on the way stands in the tables below, each with the reason. All else is taken
from the file: commands, environment, order, health checks, and how long a service may take to
stop. What only an engine does is not tested here: images, users, read-only file systems, limits.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from graphlib import TopologicalSorter

from tests.drills.rig import Process
from tests.unit.deploy.compose_file import ROOT, is_serving, read
from tests.unit.deploy.dockerfile import FILE as DOCKERFILE
from tests.unit.deploy.dockerfile import stages

STOOD_IN = {
    "kafka": "its image is not here; the tests' broker takes its KAFKA_* environment",
    "postgres": "its image is not here; the tests' server gives a new database, without tables",
    "detectors": "training the bundled ones takes minutes; a small one is put into the registry",
}
ENVIRONMENT = {
    ("api", "TOCSIN_HOST"): ("127.0.0.1", "no container keeps other machines from this port"),
}
ARGUMENTS = {
    ("demo-pendigits", "--rate"): ("1000", "at the file's pace it takes a quarter of an hour"),
}
_S = {"s": 1, "m": 60}


def seconds(text):
    """Return how long ``1m30s`` is."""
    total, number = 0, ""
    for character in text:
        if character.isdigit():
            number += character
        else:
            total, number = total + int(number) * _S[character], ""
    return total


class Stack:
    """What `docker compose up` would start, below one folder.

    Parameters
    ----------
    folder
        Where volumes, secrets and logs are; `deploy/make-secrets` was called for it.
    servers
        Address of the broker that stands in for the service `kafka`.
    store_url
        URL, without a password, of the database that stands in for the service `postgres`.
    detector
        Name of the detector that stands in for the bundled ones.
    port
        A free port for the API.
    """

    def __init__(self, folder, servers, store_url, detector, port):
        variables = dict(line.split("=") for line in (folder / ".env").read_text().splitlines())
        self.document = read(variables)
        self.services = self.document["services"]
        self.folder, self.detector, self.port = folder, detector, port
        self._replaced = {
            "kafka:9092": servers,
            self.services["worker"]["environment"]["TOCSIN_STORE_URL"]: store_url,
        }
        self._image = stages(DOCKERFILE.read_text())[-1].pairs("ENV")
        self.running = []

    def environment(self, name, number=0):
        """Return all that a process of this service, one of several, finds in its environment."""
        service = self.services[name]
        given = {**self._image, **service.get("environment", {})}
        for (owner, key), (value, _) in ENVIRONMENT.items():
            if owner == name:
                assert key in given, "this change has become needless"
                given[key] = value
        if "TOCSIN_PORT" in given:
            given["TOCSIN_PORT"] = str(self.port)  # the published one, for there is no mapping
        mounts = dict(self._mounts(name, number))
        found = {key: self._here(value, mounts) for key, value in given.items()}
        return found | {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}

    def command(self, name):
        """Return the arguments after ``python`` that run this service's command."""
        program, *arguments = self.services[name]["command"]
        assert program == "tocsin"
        return ["-m", "cli.main", *self._arguments(name, arguments)]

    def run(self, name):
        """Run a job to its end; return what it printed."""
        assert not is_serving(self.services[name])
        done = subprocess.run(
            [sys.executable, *self.command(name)], env=self.environment(name),
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, (name, done.stderr)
        return done.stdout

    def start(self, name):
        """Start a service, or one more worker of it."""
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        number = sum(name == other for other, _ in self.running)
        label = f"{name}-{number}-{len(list(logs.iterdir()))}"
        process = Process(label, self.command(name), self.environment(name, number), logs)
        self.running.append((name, process))
        return process

    def check(self, name):
        """Run a service's health check once; return its exit code and what it said."""
        kind, program, script = self.services[name]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "python")
        here = ROOT / "deploy/health" / script.removeprefix("/opt/tocsin/health/")
        done = subprocess.run(
            [sys.executable, here], env=self.environment(name), capture_output=True, text=True,
            check=False, timeout=seconds(self.services[name]["healthcheck"]["timeout"]),
        )  # fmt: skip
        return done.returncode, done.stderr

    def wait_healthy(self, name, process):
        """Wait as Compose does, until the health check holds; fail when it would give up."""
        how = self.services[name]["healthcheck"]
        until = time.monotonic() + seconds(how["start_period"])
        until += how["retries"] * seconds(how["interval"])
        while True:
            code, said = self.check(name)
            if code == 0:
                return
            assert process.running, process.log.read_text()
            assert time.monotonic() < until, (said, process.log.read_text())
            time.sleep(0.3)

    def up(self, *profiles):
        """Start services and run jobs in order, each once what it depends on is ready."""
        wanted = {
            name: service
            for name, service in self.services.items()
            if not service.get("profiles") or set(service["profiles"]) & set(profiles)
        }
        graph = {name: list(service.get("depends_on", {})) for name, service in wanted.items()}
        for name in TopologicalSorter(graph).static_order():
            if name in STOOD_IN or any(name == other for other, _ in self.running):
                continue
            if is_serving(wanted[name]):
                self.wait_healthy(name, self.start(name))
            else:
                self.run(name)

    def stop(self):
        """Stop in reverse order by SIGTERM; return exit codes by process."""
        codes = {}
        for name, process in reversed(self.running):
            process.process.terminate()
            patience = seconds(self.services[name]["stop_grace_period"])
            codes[process.name] = process.process.wait(patience)
        self.running.clear()
        return codes

    def kill(self):
        """End what still runs."""
        for _, process in self.running:
            if process.running:
                process.kill()

    def _arguments(self, name, arguments):
        """Apply `ARGUMENTS`, and let the one small detector stand for all that are named."""
        found, detectors = [], 0
        pairs = zip(arguments, [*arguments[1:], None], strict=True)
        skip = False
        for argument, following in pairs:
            if skip:
                skip = False
            elif argument == "--detector":
                skip, detectors = True, detectors + 1
                found += [argument, self.detector] if detectors == 1 else []
            elif (name, argument) in ARGUMENTS:
                assert following is not None
                skip = True
                found += [argument, ARGUMENTS[name, argument][0]]
            else:
                found.append(argument)
        return found

    def _mounts(self, name, number):
        """Give places in the container, and what stands for each here."""
        service = self.services[name]
        for secret in service.get("secrets", []):
            source = self.document["secrets"][secret]["file"]
            yield f"/run/secrets/{secret}", self.folder / source
        for mounted in service.get("volumes", []):
            volume, place = mounted.split(":")[:2]
            yield place, self._made(self.folder / "volumes" / volume)
        for each in service.get("tmpfs", []):
            yield each.split(":")[0], self._made(self.folder / "tmpfs" / f"{name}-{number}")

    def _here(self, value, mounts):
        for place, here in mounts.items():
            if f"{value}/".startswith(f"{place}/"):
                return f"{here}{value[len(place) :]}"
        return self._replaced.get(value, value)

    @staticmethod
    def _made(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def broker_properties(environment, port, folder):
    """Return what the image makes of KAFKA_* as ``key=value``, with addresses of this machine."""
    kept = {key: value for key, value in environment.items() if key != "KAFKA_HEAP_OPTS"}
    addresses = {
        "kafka:9092": f"127.0.0.1:{port}",
        "//:9092": f"//127.0.0.1:{port}",
        "localhost:9093": f"127.0.0.1:{port + 1}",
        "/var/lib/kafka/data": str(folder / "data"),
    }
    properties = []
    for key, value in kept.items():
        if key.startswith("KAFKA_"):
            name = key.removeprefix("KAFKA_").lower().replace("_", ".")
            properties.append(f"{name}={_replaced(value, addresses)}")
    return properties


def _replaced(text, replacements):
    for there, here in replacements.items():
        text = text.replace(there, here)
    return text


def make_secrets(folder, password):
    """Call `deploy/make-secrets` for `folder`; the server's password, if any, takes the place."""
    subprocess.run([ROOT / "deploy/make-secrets", folder], check=True, capture_output=True)
    secrets = folder / "deploy/secrets"
    if password:
        (secrets / "postgres_password").unlink(missing_ok=True)
        (secrets / "postgres_password").write_text(password)
    # Processes here run as whoever runs the tests. Where that is root, make-secrets chose another.
    os.chown(secrets / "api_pepper", os.geteuid(), os.getegid())
