"""One worker process a topic: `tocsin worker` with detectors of several topics starts them all."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from cli.output import note

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

    from cli.settings import Settings

STOP_WITHIN_S = 40.0
"""Longer than a worker takes to leave its group; after that it is ended."""
LOOK_S = 0.2


def by_topic(settings: Settings, references: Sequence[str]) -> dict[str, list[str]]:
    """Return the detectors by the topic that each one's configuration names."""
    from detectors import config
    from detectors.registry import Registry

    registry = Registry(settings.resolved_registry())
    topics: dict[str, list[str]] = {}
    for reference in references:
        chosen = config.read(registry.resolve(reference) / "detector.toml")
        topics.setdefault(chosen.source.topic or settings.topic, []).append(reference)
    return topics


def settings_for(settings: Settings, topic: str) -> Settings:
    """Return the settings of a worker of one topic.

    A topic other than the service's own has a group of its own: workers of a group share the
    partitions of one topic, and run the same detectors.
    """
    if topic == settings.topic:
        return settings
    group = f"{settings.group}.{topic}"
    return settings.model_copy(update={"topic": topic, "group": group})


def serve_all(topics: Mapping[str, Sequence[str]]) -> int:
    """Run a worker process a topic until told to stop, or until one ends; return the exit code."""
    stopping = False

    def stop(_: int, __: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)  # before there are children, who would be left alone
    crew = [_started(topic, references) for topic, references in topics.items()]
    note(f"{len(crew)} worker processes, one for each of: {', '.join(topics)}.")
    while not stopping and all(process.poll() is None for process in crew):
        time.sleep(LOOK_S)
    if not stopping:
        note("error: one of the worker processes ended; the others are told to stop.")
    return _ended(crew)


def _started(topic: str, references: Sequence[str]) -> subprocess.Popen[bytes]:
    named = [word for reference in references for word in ("--detector", reference)]
    command = [sys.executable, "-m", "cli.main", "worker", "--topic", topic, *named]
    return subprocess.Popen(command)  # noqa: S603  # our own command, no shell


def _ended(crew: Sequence[subprocess.Popen[bytes]]) -> int:
    """Stop every process that still runs; return the worst exit code."""
    for process in crew:
        if process.poll() is None:
            process.terminate()
    until = time.monotonic() + STOP_WITHIN_S
    for process in crew:
        try:
            process.wait(timeout=max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return max(abs(int(process.returncode)) for process in crew)
