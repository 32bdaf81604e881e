"""Evaluation and service under the clock: the same answers, and one for each recorded stream."""

from datetime import datetime

import numpy as np
import pytest

from detectors.scoring import StreamSet
from streams.codec import encode, encode_tick
from streams.replay import events, recorded
from streams.roster import Roster
from streams.scoring import score
from streams.worker import Worker
from tests.toys import FakeLedger, FakeLog, toy_detector

N = 60


def made(seed=0, back=0.0):
    """Streams of up to 9 steps with gaps, some of them long; `back`: how far times run back."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 10, N)
    gaps = np.where(
        random.random(lengths.sum()) < 0.15, 40.0, random.integers(0, 8, lengths.sum())
    )
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    total = np.cumsum(gaps)
    begin = np.repeat(random.integers(0, 300, N), lengths)
    times_s = 1e9 + begin + total - total[first] - back * random.integers(0, 2, len(total))
    return StreamSet(
        name="set", split="test", modality="frames", ids=np.arange(N),
        inputs=random.normal(scale=0.5, size=(lengths.sum(), 2)).round(2).astype(np.float32),
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        labels=np.zeros(N, dtype=np.int64), subjects=np.arange(N), classes=("low", "high"),
        channels=("c0", "c1"), times_s=times_s,
    )  # fmt: skip


def served(detector, entries, batch):
    ledger, log = FakeLedger(), FakeLog()
    for entry in entries:
        value = encode_tick(entry) if isinstance(entry, datetime) else encode(entry)
        log.append(0, value)
    worker = Worker(Roster([detector], shadow_share=1.0), ledger, log, topic_id="t")
    worker.assign([0])
    for first in range(0, log.end(0), batch):
        worker.process(log.rows[0][first : first + batch])
    return ledger


TIMES = [
    {},
    {"idle_s": 20.0},
    {"horizon_s": 15.0},
    {"idle_s": 20.0, "horizon_s": 15.0, "forget_s": 60.0},
    {"idle_s": 20.0, "reorder_s": 6.0},
    {"horizon_s": 15.0, "reorder_s": 6.0, "late_records": "refuse"},
    {"idle_s": 20.0, "late_records": "refuse"},
]


def test_times_are_read_as_precisely_as_records_tell_them():
    """Else a time-out at a boundary would fall one way in service and the other in evaluation."""
    streams = made()
    streams.times_s[:] += np.random.default_rng(2).uniform(0, 1e-5, len(streams.times_s))
    for detector in (toy_detector(idle_s=7.0), toy_detector(horizon_s=15.0)):
        found = score(detector, streams)
        ledger = served(detector, recorded(streams), 50)
        rows = {(d.stream_id, d.episode): d for d in ledger.decisions.values()}
        for row in found.decisions:
            decision = rows[row["stream_id"], row["episode"]]
            assert (decision.halt_step, decision.reason) == (row["halt_step"], row["reason"])


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("back", [0.0, 5.0])
def test_a_replay_with_recorded_times_decides_as_the_evaluation_does(time, back):
    streams, detector = made(back=back), toy_detector(**time)
    found = score(detector, streams)
    ledger = served(detector, recorded(streams, settle_s=detector.config.time.reorder_s), 17)
    by_stream = {}
    for d in ledger.decisions.values():
        by_stream.setdefault(d.stream_id, []).append(d)
    for i, row in enumerate(found.decisions):
        (decision,) = [d for d in by_stream[streams.stream_id(i)] if d.episode == row["episode"]]
        assert (str(decision.id), decision.label, decision.halt_step, decision.reason) == (
            row["id"], row["label"], row["halt_step"], row["reason"],
        )  # fmt: skip
        outcome = ledger.outcomes[decision.detector, decision.stream_id, decision.episode]
        assert (outcome.late_label, outcome.length) == (
            ("low", "high")[found.late_label[i]], found.length[i],
        )  # fmt: skip
    if "idle_s" in time and "horizon_s" not in time:
        assert "idle" in found.reasons
        assert len(ledger.decisions) > N, "what comes after a time-out is another episode"


def test_only_the_first_episode_of_a_recorded_stream_is_scored():
    streams, detector = made(), toy_detector(idle_s=20.0, thresholds=[np.inf] * 6)
    found = score(detector, streams)
    for i in range(N):
        times_s = streams.times_s[streams.offsets[i] : streams.offsets[i + 1]]
        gaps = np.flatnonzero(np.diff(times_s) >= 20.0)
        until = int(gaps[0]) + 1 if len(gaps) else len(times_s)
        assert found.length[i] == min(until, 6)
        assert np.isnan(found.readiness[i, found.length[i] :]).all()


def test_a_clock_horizon_is_the_end_of_the_late_answer_too():
    streams = made()
    found = score(toy_detector(horizon_s=15.0, thresholds=[np.inf] * 6), streams)
    for i in range(N):
        times_s = streams.times_s[streams.offsets[i] : streams.offsets[i + 1]]
        assert found.length[i] == min((times_s < times_s[0] + 15.0).sum(), 6)


def test_recorded_times_come_in_order_with_ticks_that_no_record_belies():
    streams, clock_s, seen = made(), -np.inf, []
    for entry in recorded(streams):
        if isinstance(entry, datetime):
            assert entry.timestamp() >= clock_s
            clock_s = entry.timestamp()
        else:
            assert entry.time.timestamp() >= clock_s
            seen.append(entry)
    assert clock_s == streams.times_s.max()
    assert len(seen) == len(streams.times_s)
    key = lambda e: e.event_id  # noqa: E731
    assert sorted(seen, key=key) == sorted(events(streams), key=key)
    of_one = [e.event_id for e in seen if e.stream_id == streams.stream_id(3)]
    assert of_one == [streams.event_id(3, k) for k in range(1, int(streams.lengths[3]) + 1)]
