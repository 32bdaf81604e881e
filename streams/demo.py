"""Recorded streams as live traffic, some rounds of them, for whoever just wants to see it work."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import structlog

from streams.codec import encode
from streams.ports import IngestError
from streams.replay import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from detectors.scoring import StreamSet
    from streams.ports import Ingest
    from streams.records import Event

BEAT_S = 0.2
"""Time between two batches."""
CONCURRENT = 50
"""Streams under way at a time."""
ROUNDS = 10
"""Rounds a start plays: a demo that is forgotten must not fill the disk."""

_log = structlog.get_logger("tocsin.demo")


class Demo:
    """Append recorded streams to the log, one step a second each, for `ROUNDS` rounds.

    Recorded times are moved so that every stream begins as the round does: a clock that ticks now
    would close streams of years ago at once. From one step to the next the recorded time goes by.

    What was sent is kept in a file, so that a restarted service goes on with the same streams. A
    record sent twice around a crash has the same `event_id` and counts once.

    Parameters
    ----------
    streams
        What to replay; from the second round on its name gets the round's number.
    detector
        Whom the records are for.
    ingest
        Where they go.
    progress
        File that holds the round, when it began and the number of records sent in it.
    speed
        Steps a second of each stream.
    now_s
        The clock, seconds from 1970.
    """

    def __init__(
        self,
        streams: StreamSet,
        detector: str,
        ingest: Ingest,
        progress: Path,
        *,
        speed: float,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._streams, self._detector, self._ingest = streams, detector, ingest
        self._progress, self._speed = progress, speed
        self._now_s = now_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo", daemon=True)

    def start(self) -> None:
        """Begin, or go on."""
        self._thread.start()

    def stop(self) -> None:
        """End after the batch under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        nth, sent, began_s = self._read()
        last = nth + ROUNDS - 1
        while nth <= last and not self._stopping.is_set():
            played = round_events(self._streams, self._detector, nth, began_s)
            source = islice(played, sent, None)
            if self._play(source, nth, sent, began_s):
                nth, sent, began_s = nth + 1, 0, self._now_s()
        if nth > last:
            _log.info("demo_over", rounds=ROUNDS)

    def _play(self, source: Iterator[Event], nth: int, sent: int, began_s: float) -> bool:
        """Send a round's remaining records; return False if stopped before its end."""
        size = max(1, round(self._speed * CONCURRENT * BEAT_S))
        while batch := list(islice(source, size)):
            records = [(event.stream_id, encode(event)) for event in batch]
            while not self._append(records):
                if self._stopping.wait(1.0):
                    return False
            sent += len(batch)
            self._write(nth, sent, began_s)
            if self._stopping.wait(BEAT_S * len(batch) / size):
                return False
        return True

    def _append(self, records: list[tuple[str, bytes]]) -> bool:
        failed = [x for x in self._ingest.append(records) if isinstance(x, IngestError)]
        if failed:
            _log.warning("demo_waits", detail=str(failed[0]))
        return not failed

    def _read(self) -> tuple[int, int, float]:
        try:
            kept = json.loads(self._progress.read_text())
            return int(kept["round"]), int(kept["sent"]), float(kept["began_s"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 1, 0, self._now_s()

    def _write(self, nth: int, sent: int, began_s: float) -> None:
        draft = self._progress.with_suffix(".new")
        draft.write_text(json.dumps({"round": nth, "sent": sent, "began_s": began_s}))
        draft.replace(self._progress)


def round_events(streams: StreamSet, detector: str, nth: int, began_s: float) -> Iterator[Event]:
    """Yield the records of the n-th round; the first one keeps the set's own stream ids.

    `began_s` is when the round began, seconds from 1970: recorded times are counted from there.
    """
    named = streams if nth == 1 else replace(streams, name=f"{streams.name}#{nth}")
    return events(begun_at(named, began_s), detector, seed=nth, concurrent=CONCURRENT)


def begun_at(streams: StreamSet, began_s: float) -> StreamSet:
    """Return the streams with their recorded times moved so that each begins at `began_s`."""
    if streams.times_s is None:
        return streams
    first = np.repeat(streams.times_s[streams.offsets[:-1]], streams.lengths)
    times_s = streams.times_s - first + began_s
    inputs = streams.inputs
    if streams.modality == "vitals":
        inputs = inputs.copy()
        inputs["time_s"] = times_s
    return replace(streams, times_s=times_s, inputs=inputs)
