"""Recorded streams as live events, and the demo that plays them round after round."""

import json
import time
from itertools import pairwise

import numpy as np
import pytest

from detectors.scoring import StreamSet
from streams.codec import decode
from streams.demo import Demo, round_events
from streams.ports import IngestError, Position
from streams.replay import events

N, T = 40, 5


@pytest.fixture
def streams():
    random = np.random.default_rng(5)
    lengths = random.integers(1, T + 1, N)
    return StreamSet(
        name="set", split="test", modality="frames", ids=np.arange(N),
        inputs=random.normal(size=(lengths.sum(), 2)).astype(np.float32),
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        labels=np.zeros(N, dtype=np.int64), subjects=np.arange(N), classes=("a", "b"),
        channels=("x", "y"),
    )  # fmt: skip


def test_every_step_is_played_once_in_order_and_the_last_one_ends_its_stream(streams):
    played = {}
    for event in events(streams, "d", seed=1, concurrent=7):
        played.setdefault(event.stream_id, []).append(event)
    assert len(played) == N
    for i in range(N):
        rows = played[streams.stream_id(i)]
        assert [row.event_id for row in rows] == [
            streams.event_id(i, step) for step in range(1, int(streams.lengths[i]) + 1)
        ]
        assert [row.end for row in rows] == [False] * (len(rows) - 1) + [True]
        found = np.array([row.frames[0] for row in rows], dtype=np.float32)
        assert (found == streams.inputs[streams.offsets[i] : streams.offsets[i + 1]]).all()


def test_streams_are_interleaved_repeatably(streams):
    first = [event.event_id for event in events(streams, seed=1)]
    assert first == [event.event_id for event in events(streams, seed=1)]
    assert first != [event.event_id for event in events(streams, seed=2)]
    order = [name.split("/")[2] for name in first]
    assert sum(a != b for a, b in pairwise(order)) > len(order) / 2


def test_no_more_streams_than_asked_for_are_under_way(streams):
    open_now = set()
    for event in events(streams, seed=0, concurrent=3):
        open_now.add(event.stream_id)
        assert len(open_now) <= 3
        if event.end:
            open_now.remove(event.stream_id)


class Sink:
    """Takes records until told to fail."""

    def __init__(self, fails_after=10**9):
        self.ids, self.left = [], fails_after

    def append(self, records):
        self.left -= len(records)
        if self.left < 0:
            return [IngestError("full")] * len(records)
        self.ids += [decode(value).event_id for _, value in records]
        return [Position(0, 0)] * len(records)


def play(streams, progress, sink, n):
    demo = Demo(streams, "d", sink, progress, speed=100.0)
    demo.start()
    deadline = time.monotonic() + 20
    while len(sink.ids) < n and time.monotonic() < deadline:
        time.sleep(0.01)
    demo.stop()


def test_a_restarted_demo_goes_on_where_it_stopped(streams, tmp_path):
    progress, whole = tmp_path / "demo.json", int(streams.lengths.sum())
    first, second = Sink(), Sink()
    play(streams, progress, first, 1)
    play(streams, progress, second, whole)
    expected = [event.event_id for event in round_events(streams, "d", 1, 0.0)]
    expected += [event.event_id for event in round_events(streams, "d", 2, 0.0)]
    both = first.ids + second.ids
    assert len(both) > whole
    assert both == expected[: len(both)]
    assert both[whole].startswith("set#2/test/")


def test_what_could_not_be_appended_is_sent_again(streams, tmp_path):
    sink = Sink(fails_after=0)
    progress = tmp_path / "demo.json"
    play_briefly = Demo(streams, "d", sink, progress, speed=1.0)
    play_briefly.start()
    time.sleep(0.3)
    sink.left = 10**9
    deadline = time.monotonic() + 20
    while not sink.ids and time.monotonic() < deadline:
        time.sleep(0.01)
    play_briefly.stop()
    assert sink.ids[0] == next(iter(round_events(streams, "d", 1, 0.0))).event_id
    assert json.loads(progress.read_text())["sent"] == len(sink.ids)


def test_a_spoilt_progress_file_begins_anew(streams, tmp_path):
    progress, sink = tmp_path / "demo.json", Sink()
    progress.write_text("{")
    play(streams, progress, sink, 1)
    assert sink.ids[0] == next(iter(round_events(streams, "d", 1, 0.0))).event_id


def test_the_demo_ends_after_some_rounds(streams, tmp_path, monkeypatch):
    monkeypatch.setattr("streams.demo.ROUNDS", 2)
    monkeypatch.setattr("streams.demo.BEAT_S", 0.001)
    sink, whole = Sink(), int(streams.lengths.sum())
    demo = Demo(streams, "d", sink, tmp_path / "demo.json", speed=50_000.0)
    demo.start()
    demo._thread.join(20)
    demo.stop()
    assert len(sink.ids) == 2 * whole
