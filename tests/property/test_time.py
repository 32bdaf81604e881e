"""Time as records: against a restatement of its rules, one record or tick at a time.

And the two laws that the rules are made for: neither how the log is cut into batches, nor the
rhythm of ticks changes a decision.
"""

import math
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import worker as worker_module
from streams.codec import encode, encode_tick
from streams.instants import instant
from streams.records import Event
from streams.roster import Roster
from streams.worker import Worker
from tests.toys import FakeLedger, FakeLog, toy_detector

STEPS = 6
seconds = st.integers(0, 60).map(lambda halves: halves / 2)
limits = st.fixed_dictionaries(
    {
        "idle_s": st.sampled_from([None, 4.0, 9.5]),
        "horizon_s": st.sampled_from([None, 7.0, 12.5]),
        "reorder_s": st.sampled_from([0.0, 0.0, 3.0]),
        "late_records": st.sampled_from(["score", "refuse"]),
        "forget_s": st.sampled_from([None, 11.0, 1000.0]),
    }
)
frame = st.tuples(st.sampled_from([-1.5, 0.0, 0.5, 1.0]), st.sampled_from([-0.5, 0.0]))
record = st.builds(
    Event,
    stream_id=st.sampled_from("ab"),
    event_id=st.integers(0, 40).map(str),
    time=st.none() | seconds.map(instant),
    frames=st.lists(frame.map(list), max_size=2),
    end=st.sampled_from([False, False, False, True]),
).filter(lambda e: e.frames or e.end)
logs = st.lists(record | seconds, max_size=50)
"""A partition: records, and ticks (a number: the second they tell)."""
cuts = st.lists(st.integers(0, 100), max_size=6)


class ByHand:
    """One partition under the toy detector, in plain Python."""

    def __init__(self, limits, shadow=False):
        self.limits, self.shadow = limits, shadow
        self.clock = None
        self.streams = {}
        self.decisions, self.outcomes, self.late = {}, {}, []

    def run(self, log):
        for nth, entry in enumerate(log):
            if isinstance(entry, float):
                self.tick(entry)
            else:
                self.arrive(nth, entry)
        return self

    def arrive(self, nth, event):
        s = self.streams.setdefault(
            event.stream_id,
            {"seen": [], "open": None, "last": None, "held": [], "newest": None},
        )
        time = None if event.time is None else event.time.timestamp()
        reorder = self.limits["reorder_s"]
        if not reorder:
            self.apply(nth, event, s, time if time is not None else self.clock)
            return
        known = [x for x in (self.clock, s["newest"]) if x is not None]
        time = time if time is not None else max(known, default=None)
        if time is None:
            self.apply(nth, event, s, None)
            return
        if event.event_id in [held.event_id for _, _, held in s["held"]]:
            return
        s["newest"] = time if s["newest"] is None else max(time, s["newest"])
        s["held"] = sorted([*s["held"], (time, nth, event)], key=lambda x: x[:2])
        now = s["newest"] if self.clock is None else max(s["newest"], self.clock)
        self.release(s, now - reorder)

    def release(self, s, upto):
        while s["held"] and s["held"][0][0] <= upto:
            time, nth, event = s["held"].pop(0)
            self.apply(nth, event, s, time)

    def apply(self, nth, event, s, time):
        if event.event_id in s["seen"][-64:]:
            return
        s["seen"].append(event.event_id)
        refuses = self.limits["late_records"] == "refuse" and event.time is not None
        if refuses and s["last"] is not None and time < s["last"]:
            self.late.append(nth)
            return
        now = max((x for x in (time, s["last"]) if x is not None), default=None)
        if now is not None:
            self.judge(event.stream_id, s, now)
        s["last"] = now
        if s["open"] and s["open"]["first"] is None:
            s["open"]["first"] = now
        for values in event.frames or ():
            if s["open"] is None:
                s["open"] = {"name": event.event_id, "first": now, "t": 0, "total": 0.0}
                s["open"] |= {"decided": False, "over": False}
            self.step(event, s, values)
        if event.end and s["open"]:
            self.close(event.stream_id, s, "end", event.time)

    def step(self, event, s, values):
        e = s["open"]
        if e["over"] or (e["decided"] and not self.shadow):
            return
        e["t"] += 1
        e["total"] += float(np.float32(values[0])) + float(np.float32(values[1]))
        top = round(np.float32(1 / (1 + math.exp(-abs(e["total"])))) * 65536) / 65536
        ready = e["t"] < STEPS and top >= 0.9
        if not e["decided"] and (ready or e["t"] == STEPS):
            self.decide(event.stream_id, s, "threshold" if ready else "horizon", event.time)
        if e["t"] == STEPS:
            self.conclude(event.stream_id, s)

    def decide(self, stream, s, reason, time):
        e = s["open"]
        label = "high" if e["total"] > 0 else "low"
        self.decisions.setdefault((stream, e["name"]), (label, e["t"], reason, time))
        e["decided"] = True

    def conclude(self, stream, s):
        e = s["open"]
        if self.shadow and not e["over"]:
            label = "high" if e["total"] > 0 else "low"
            self.outcomes.setdefault((stream, e["name"]), (label, e["t"]))
        e["over"] = True

    def close(self, stream, s, reason, time):
        if not s["open"]["decided"]:
            self.decide(stream, s, reason, time)
        self.conclude(stream, s)
        s["open"] = None

    def judge(self, stream, s, now):
        """`now`: the stream has come so far."""
        e, idle = s["open"], self.limits["idle_s"] or math.inf
        if e is None or s["last"] is None:
            return
        halt = math.inf if e["over"] else e["first"] + (self.limits["horizon_s"] or math.inf)
        over = s["last"] + idle
        if e["decided"] and idle == math.inf:
            over = s["last"] + (self.limits["forget_s"] or math.inf)
        if now >= halt and halt <= over:
            if not e["decided"]:
                self.decide(stream, s, "horizon", instant(s["last"]))
            self.conclude(stream, s)
            if idle == math.inf:
                over = s["last"] + (self.limits["forget_s"] or math.inf)
        if now >= over:
            self.close(stream, s, "idle", instant(s["last"]))

    def is_limited(self, s):
        """Whether a tick would ever do something to the stream: only then it tells the time."""
        idle, horizon, forget = (self.limits[k] for k in ("idle_s", "horizon_s", "forget_s"))
        if s["open"] is None:
            return forget
        return idle or horizon or (s["open"]["decided"] and forget)

    def tick(self, tick):
        if self.clock is not None and tick <= self.clock:
            return
        self.clock = tick
        now = tick - self.limits["reorder_s"]
        for stream, s in list(self.streams.items()):
            self.release(s, now)
            limited = self.is_limited(s)
            if s["last"] is None and s["seen"] and limited:
                s["last"] = now
                if s["open"] and s["open"]["first"] is None:
                    s["open"]["first"] = now
            self.judge(stream, s, now)
            forget = self.limits["forget_s"] or math.inf
            if s["open"] or s["held"] or s["last"] is None:
                continue
            if tick >= s["last"] + forget:
                del self.streams[stream]


def run(log, limits, cuts=(), *, shadow=False, restarts=(), forget=False):
    """Send a log through workers, cut into batches at `cuts`; those at `restarts` are new."""
    ledger, topic = FakeLedger(), FakeLog()
    for entry in log:
        tick = isinstance(entry, float)
        topic.append(0, encode_tick(instant(entry)) if tick else encode(entry))
    roster = Roster([toy_detector(horizon=STEPS, shadow_share=float(shadow), **limits)])
    rows = topic.rows[0]
    bounds = sorted({0, len(rows), *(c % (len(rows) + 1) for c in cuts)})
    worker = None
    for first, stop in pairwise(bounds):
        if worker is None or first in restarts:
            worker = Worker(roster, ledger, topic, topic_id="t")
            worker.assign([0])
        worker.process(rows[first:stop])
        if forget:
            worker.owned[0].states.clear()
    if rows:
        assert ledger.next[0] == len(rows)
    return ledger


def decisions(ledger):
    return {
        (d.stream_id, d.episode): (d.label, d.halt_step, d.reason, d.event_time)
        for d in ledger.decisions.values()
    }


def outcomes(ledger):
    return {(o.stream_id, o.episode): (o.late_label, o.length) for o in ledger.outcomes.values()}


def late(ledger):
    return sorted(d.offset for _, d in ledger.dead_letters)


@given(logs, limits, cuts, st.sets(st.integers(0, 50)), st.booleans(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_batching_gives_what_one_record_at_a_time_gives(
    log, limits, cuts, restarts, forget, shadow
):
    ledger = run(log, limits, cuts, restarts=restarts, forget=forget, shadow=shadow)
    expected = ByHand(limits, shadow).run(log)
    assert decisions(ledger) == expected.decisions
    assert outcomes(ledger) == expected.outcomes
    assert late(ledger) == sorted(expected.late)
    assert {d.reason for _, d in ledger.dead_letters} <= {"late"}


class CrashError(Exception):
    """The process dies, or its answer does not come through."""


def run_with_crashes(log, limits, crashes):
    """Commit number k dies: before it is stored where k is even, else unheard after it."""
    ledger, topic = FakeLedger(), FakeLog()
    for entry in log:
        tick = isinstance(entry, float)
        topic.append(0, encode_tick(instant(entry)) if tick else encode(entry))
    commit, numbers = ledger.commit, iter(range(10**6))

    def dies(commits):
        number = next(numbers)
        if number in crashes and number % 2 == 0:
            raise CrashError
        answer = commit(commits)
        if number in crashes:
            raise CrashError
        return answer

    ledger.commit = dies
    while ledger.next.get(0, 0) < len(log):
        roster = Roster([toy_detector(horizon=STEPS, **limits)])
        worker = Worker(roster, ledger, topic, topic_id="t", batch_records=7)
        worker.assign([0])
        with suppress(CrashError):
            while ledger.next.get(0, 0) < len(log):
                worker.drain(0, len(log))
    return ledger


@given(logs, limits, st.sets(st.integers(0, 25)), st.sampled_from([1, 2, 2000]))
@settings(max_examples=200, deadline=None)
def test_crashes_between_any_two_commits_change_nothing(log, limits, crashes, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_module, "CHUNK_STREAMS", chunk)
        patch.setattr(worker_module, "CHUNKS_AT_ONCE", 2)
        ledger = run_with_crashes(log, limits, crashes)
    expected = ByHand(limits).run(log)
    assert decisions(ledger) == expected.decisions
    assert sorted(set(late(ledger))) == sorted(expected.late)


@given(logs, limits, cuts)
@settings(max_examples=150, deadline=None)
def test_states_do_not_depend_on_the_batches(log, limits, cuts):
    """But for the deadlines, which may stand anywhere before what is due."""
    one, other = run(log, limits, cuts), run(log, limits, range(len(log)))
    assert {key: state._replace(deadline_s=None) for key, state in one.states.items()} == {
        key: state._replace(deadline_s=None) for key, state in other.states.items()
    }


@st.composite
def ticked_logs(draw):
    """A log of timed records, and the same with ticks in it that keep what ticks must keep.

    After a tick at tau no record comes that was taken before tau - reorder_s.
    """
    chosen = draw(limits)
    taken = draw(st.lists(seconds, max_size=30))
    rows = [draw(record) for _ in taken]
    for nth, (row, time) in enumerate(zip(rows, taken, strict=True)):
        row.event_id, row.time = str(nth), instant(time)
    ticked, clock = [], -math.inf
    for nth, row in enumerate(rows):
        bound = min(taken[nth:]) + chosen["reorder_s"]
        for tick in sorted(draw(st.lists(seconds, max_size=2))):
            if clock < tick <= bound:
                ticked.append(tick)
                clock = tick
        ticked.append(row)
    later = [200.0 + x for x in sorted(draw(st.lists(seconds, max_size=3)))]
    return chosen, [*rows, 5000.0], [*ticked, *later, 5000.0]


@given(ticked_logs(), cuts, st.booleans())
@settings(max_examples=300, deadline=None)
def test_the_rhythm_of_ticks_changes_no_decision(logs, cuts, shadow):
    limits, silent, ticked = logs
    one = run(silent, limits, cuts, shadow=shadow)
    other = run(ticked, limits, cuts, shadow=shadow)
    assert one.decisions == other.decisions  # whole rows: explanation, times and all
    assert one.outcomes == other.outcomes
    refused = [{d.payload: d.detail for _, d in x.dead_letters} for x in (one, other)]
    assert refused[0] == refused[1]
