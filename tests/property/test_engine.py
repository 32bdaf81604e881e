"""The engine against a restatement of its rules, one record at a time, in plain Python."""

import math
from collections import defaultdict
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from store.rows import StateKey
from streams.codec import encode
from streams.records import Event
from streams.roster import Roster
from streams.worker import Worker
from tests.toys import FakeLedger, FakeLog, toy_detector

HORIZON = 6
V2 = {"horizon": HORIZON + 2, "level": math.inf}

frame = st.tuples(st.sampled_from([-1.5, 0.0, 0.5, 1.0]), st.sampled_from([-0.5, 0.0, 1.0]))
event = st.builds(
    Event,
    stream_id=st.sampled_from(["a", "b", "ü/c"]),
    event_id=st.integers(0, 30).map(str),
    frames=st.lists(frame.map(list), max_size=9),
    end=st.booleans(),
).filter(lambda e: e.frames or e.end)
events = st.lists(event, max_size=60)


def by_hand(arrivals, shadow=False, switch=None):  # noqa: C901  # one loop, to be read through
    """Return decisions (stream, episode) -> (label, halt step, reason) and late answers.

    Episodes opened by the arrival number `switch` or a later one are under version v2, which has
    two steps more and never stops early.
    """
    seen, streams = defaultdict(list), {}
    decisions, outcomes = {}, {}

    def decide(stream, reason):
        state = streams[stream]
        label = "high" if state["total"] > 0 else "low"
        decisions[stream, state["episode"]] = (label, state["t"], reason)
        state["decided"] = True

    def conclude(stream):
        state = streams[stream]
        if shadow and not state["late"]:
            label = "high" if state["total"] > 0 else "low"
            outcomes[stream, state["episode"]] = (label, state["t"])
            state["late"] = True

    for nth, event in enumerate(arrivals):
        if event.event_id in seen[event.stream_id][-64:]:
            continue
        seen[event.stream_id].append(event.event_id)
        for values in event.frames or ():
            state = streams.get(event.stream_id)
            if state is None:
                state = {"episode": event.event_id, "t": 0, "total": 0.0}
                old = switch is None or nth < switch
                state |= {"horizon": HORIZON, "level": 0.9} if old else V2
                state |= {"decided": False, "late": False}
                streams[event.stream_id] = state
            if state["decided"] and (not shadow or state["late"]):
                continue
            state["t"] += 1
            state["total"] += float(np.float32(values[0])) + float(np.float32(values[1]))
            top = round(np.float32(1 / (1 + math.exp(-abs(state["total"])))) * 65536) / 65536
            ready = state["t"] < state["horizon"] and top >= state["level"]
            if not state["decided"] and (ready or state["t"] == state["horizon"]):
                decide(event.stream_id, "threshold" if ready else "horizon")
            if state["t"] == state["horizon"]:
                conclude(event.stream_id)
        if event.end and event.stream_id in streams:
            if not streams[event.stream_id]["decided"]:
                decide(event.stream_id, "end")
            conclude(event.stream_id)
            del streams[event.stream_id]
    return decisions, outcomes


def run(arrivals, cuts, *, shadow_share=0.0, forget=False, roster=None):
    """Send `arrivals` through a worker, cut into batches at `cuts`."""
    ledger, log = FakeLedger(), FakeLog()
    roster = roster or Roster([toy_detector(horizon=HORIZON, shadow_share=shadow_share)])
    worker = Worker(roster, ledger, log, topic_id="t")
    worker.assign([0])
    records = [log.append(0, encode(event)) for event in arrivals]
    bounds = sorted({0, len(records), *(c % (len(records) + 1) for c in cuts)})
    for first, stop in pairwise(bounds):
        worker.process(records[first:stop])
        if forget:
            worker.owned[0].states.clear()
    return ledger


def shown(ledger):
    decisions = {(d.stream_id, d.episode): (d.label, d.halt_step, d.reason)
                 for d in ledger.decisions.values()}  # fmt: skip
    outcomes = {(o.stream_id, o.episode): (o.late_label, o.length)
                for o in ledger.outcomes.values()}  # fmt: skip
    return decisions, outcomes


@given(events, st.lists(st.integers(0, 100), max_size=6), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_batching_gives_what_one_record_at_a_time_gives(arrivals, cuts, forget):
    assert shown(run(arrivals, cuts, forget=forget)) == by_hand(arrivals)


@given(events, st.lists(st.integers(0, 100), max_size=6))
@settings(max_examples=200, deadline=None)
def test_shadow_streams_are_followed_to_their_end(arrivals, cuts):
    assert shown(run(arrivals, cuts, shadow_share=1.0)) == by_hand(arrivals, shadow=True)


@given(events, st.lists(st.integers(0, 100), max_size=6))
@settings(max_examples=100, deadline=None)
def test_states_do_not_depend_on_the_batches(arrivals, cuts):
    assert run(arrivals, cuts).states == run(arrivals, range(len(arrivals))).states


@given(
    st.lists(event, min_size=10, max_size=40),
    st.integers(0, 60),
    st.lists(st.integers(0, 100), max_size=4),
)
@settings(max_examples=200, deadline=None)
def test_a_stream_ends_under_the_version_it_began_with(arrivals, switch, cuts):
    """Version v2 (never stops early) comes into service after `switch` records."""
    switch %= len(arrivals) + 1
    old = toy_detector(version="v1", horizon=HORIZON)
    new = toy_detector(version="v2", horizon=HORIZON + 2, thresholds=[math.inf] * (HORIZON + 2))
    ledger, log = FakeLedger(), FakeLog()
    records = [log.append(0, encode(event)) for event in arrivals]
    first = Worker(Roster([old]), ledger, log, topic_id="t")
    first.assign([0])
    first.process(records[:switch])
    second = Worker(Roster([new], lambda name, version: old), ledger, log, topic_id="t")
    second.assign([0])
    bounds = sorted({switch, len(records), *(c for c in cuts if switch < c < len(records))})
    for start, stop in pairwise(bounds):
        second.process(records[start:stop])
    expected, _ = by_hand(arrivals, switch=switch)
    assert shown(ledger)[0] == expected
    for decision in ledger.decisions.values():
        assert decision.reason != "threshold" or decision.version == "v1"


def test_a_state_key_names_detector_and_stream():
    ledger = run([Event("a", event_id="1", frames=[[0.0, 0.0]])], [])
    assert set(ledger.states) == {(0, StateKey("toy", "a"))}
