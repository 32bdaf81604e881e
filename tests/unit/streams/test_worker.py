"""The worker: what it trusts (the ledger), and what it does not (whoever delivers)."""

import json
from dataclasses import replace

import numpy as np
import pytest

from streams.codec import encode
from streams.errors import StateFormatError
from streams.records import MAX_FRAMES, Event, Reason
from streams.roster import Roster
from streams.worker import Worker
from tests.toys import FakeLedger, FakeLog, toy_detector


def event(stream="a", nth=1, values=(0.0, 0.0), **more):
    return Event(stream, event_id=f"{stream}/{nth}", frames=[list(values)], **more)


def service(*detectors, n_partitions=1, **options):
    ledger, log = FakeLedger(), FakeLog(n_partitions)
    return ledger, log, new_worker(ledger, log, *detectors, **options)


def new_worker(ledger, log, *detectors, **options):
    worker = Worker(Roster(detectors or [toy_detector()]), ledger, log, topic_id="t-1", **options)
    worker.assign(log.rows)
    return worker


def halts(ledger):
    return {d.stream_id: (d.label, d.halt_step, d.reason) for d in ledger.decisions.values()}


def test_a_stream_halts_where_its_readiness_reaches_the_threshold():
    ledger, log, worker = service()
    worker.process([log.append(0, encode(event(nth=k, values=(0.5, 0.5)))) for k in (1, 2, 3, 4)])
    assert halts(ledger) == {"a": ("high", 3, "threshold")}  # sigmoid(3) = 0.953 >= 0.9
    decision = next(iter(ledger.decisions.values()))
    assert decision.probability == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-6)
    assert [point["step"] for point in decision.trajectory] == [1, 2, 3]
    assert decision.explanation["contributions"][0]["evidence"] == {"total": 3.0}


def test_a_delivery_below_the_next_offset_is_skipped():
    ledger, log, worker = service()
    rows = [log.append(0, encode(event(nth=k, values=(0.2, 0.2)))) for k in (1, 2, 3)]
    worker.process(rows)
    states = dict(ledger.states)
    assert worker.process(rows) == 0
    assert worker.counts.skipped == 3
    assert ledger.states == states


def test_what_was_not_delivered_is_fetched_first():
    ledger, log, worker = service()
    rows = [log.append(0, encode(event(nth=k, values=(0.5, 0.5)))) for k in range(1, 7)]
    worker.process([rows[0], rows[5]])
    assert worker.counts.filled == 4
    assert halts(ledger) == {"a": ("high", 3, "threshold")}
    assert ledger.next[0] == 6


def test_holes_in_the_topic_are_accepted_only_when_the_fetch_finds_nothing():
    ledger, log, worker = service()
    first, hole, last = (log.append(0, encode(event(nth=k))) for k in (1, 2, 3))
    log.rows[0] = [first, last]  # as a transaction marker leaves it
    log.fetch = lambda p, start, stop, limit: [
        raw for raw in (first, last) if start <= raw.offset < stop
    ]
    worker.process([first, last])
    assert ledger.next[0] == 3
    assert worker.counts.records == 2
    assert hole.offset == 1


def test_a_zombie_writes_nothing():
    ledger, log, zombie = service()
    rows = [log.append(0, encode(event(nth=k, values=(0.5, 0.5)))) for k in range(1, 7)]
    zombie.process(rows[:2])
    successor = new_worker(ledger, log)
    successor.process(rows[:4])
    before = (dict(ledger.states), dict(ledger.decisions), dict(ledger.next))
    assert zombie.process(rows[2:]) == 0
    assert (ledger.states, ledger.decisions, ledger.next) == before
    assert zombie.counts.fenced == 1
    assert not zombie.owned


def test_one_fenced_partition_does_not_hold_up_the_others():
    ledger, log, worker = service(n_partitions=2)
    rows = [log.append(p, encode(event(f"s{p}", 1))) for p in (0, 1)]
    ledger.claim([0])
    assert worker.process(rows) == 1
    assert set(worker.owned) == {1}
    assert ledger.next == {1: 1}


def test_a_partition_lost_for_longer_than_a_session_is_claimed_again():
    ledger, log, worker = service(session_ticks=6)
    ledger.claim([0])  # a late claimer that then dies
    worker.process([log.append(0, encode(event()))])
    assert not worker.owned
    for _ in range(8):
        worker.tend({0})
        assert not worker.owned
    worker.tend({0})
    assert set(worker.owned) == {0}
    for _ in range(3):
        worker.tend({0})
    assert ledger.next[0] == 1


def test_an_overslept_worker_does_not_claim():
    _, log, worker = service(session_ticks=6)
    worker._ledger.claim([0])
    worker.process([log.append(0, encode(event()))])
    for _ in range(50):
        worker.tend({0}, overslept=True)
    assert not worker.owned


def test_a_backlog_is_read_directly():
    ledger, log, worker = service(drain_lag=10, batch_records=7)
    for k in range(1, 31):
        log.append(0, encode(event(f"s{k}", 1)))
    worker.tend({0})
    assert ledger.next[0] == 30
    assert worker.counts.commits == 5


def test_a_short_lag_is_left_to_the_driver_for_two_ticks():
    ledger, log, worker = service(drain_lag=10)
    log.append(0, encode(event()))
    for tick in range(3):
        worker.tend({0})
        assert (ledger.next.get(0) == 1) == (tick == 2)


def test_a_new_assignment_drops_what_is_not_in_it():
    _, _, worker = service(n_partitions=3)
    worker.assign([1])
    assert set(worker.owned) == {1}


def test_states_are_kept_when_a_partition_comes_straight_back():
    ledger, log, worker = service()
    worker.process([log.append(0, encode(event(nth=1)))])
    loads = ledger.n_loads
    worker.revoke([0])
    worker.assign([0])
    worker.process([log.append(0, encode(event(nth=2)))])
    assert ledger.n_loads == loads


def test_states_are_read_anew_when_somebody_else_had_the_partition():
    ledger, log, worker = service()
    worker.process([log.append(0, encode(event(nth=1)))])
    worker.revoke([0])
    new_worker(ledger, log).process([log.append(0, encode(event(nth=2)))])
    worker.assign([0])
    worker.process([log.append(0, encode(event(nth=3)))])
    assert next(iter(ledger.states.values())).steps == 3


def test_memory_is_bounded():
    ledger, log, worker = service(cache_streams=10)
    for k in range(100):
        worker.process([log.append(0, encode(event(f"s{k}", 1)))])
    assert len(worker.owned[0].states) == 10
    worker.process([log.append(0, encode(event("s0", 2)))])
    assert ledger.states[0, ("toy", "s0")].steps == 2


BAD = [
    (b"{", Reason.MALFORMED, None),
    (encode(event("bad", detector="nobody")), Reason.UNKNOWN_DETECTOR, None),
    (encode(Event("bad", event_id="1", frames=[[1.0]])), Reason.WRONG_WIDTH, "toy"),
    (encode(Event("bad", event_id="1", frames=[[1.0, 2.0], []])), Reason.WRONG_WIDTH, "toy"),
    (encode(event("bad", values=(1e39, 0.0))), Reason.NOT_FINITE, "toy"),
    (
        encode(Event("bad", event_id="1", frames=[[0.0, 0.0]] * (MAX_FRAMES + 1))),
        Reason.TOO_MANY_FRAMES,
        "toy",
    ),
    (b'{"stream_id":"bad","end":true,"pad":"' + b"x" * 2_000_000 + b'"}', Reason.TOO_LARGE, None),
]


@pytest.mark.parametrize(("value", "reason", "detector"), BAD)
def test_a_bad_record_is_a_dead_letter_and_its_neighbours_count(value, reason, detector):
    ledger, log, worker = service()
    good = [encode(event("a", k, (0.5, 0.5))) for k in (1, 2, 3)]
    worker.process([log.append(0, v) for v in (good[0], value, good[1], value, good[2])])
    assert halts(ledger) == {"a": ("high", 3, "threshold")}
    assert [(d.reason, d.detector) for _, d in ledger.dead_letters] == [(reason, detector)] * 2
    assert all(len(d.payload) <= 65_536 for _, d in ledger.dead_letters)
    assert ledger.next[0] == 5
    assert not any(key.stream_id == "bad" for _, key in ledger.states)


def test_a_record_of_several_frames_is_applied_whole_or_not_at_all():
    ledger, log, worker = service()
    frames = [[0.5, 0.5], [0.5, 0.5], [0.5]]
    worker.process([log.append(0, encode(Event("a", event_id="1", frames=frames)))])
    assert not ledger.states
    worker.process([log.append(0, encode(Event("a", event_id="1", frames=frames[:2])))])
    assert ledger.states[0, ("toy", "a")].steps == 2


def test_records_after_the_halt_only_count():
    ledger, log, worker = service()
    worker.process([log.append(0, encode(event(nth=k, values=(2.0, 2.0)))) for k in range(1, 6)])
    assert halts(ledger) == {"a": ("high", 1, "threshold")}
    state = ledger.states[0, ("toy", "a")]
    assert (state.phase, state.steps) == ("halted", 5)


def test_a_record_after_the_end_opens_a_new_episode_even_inside_one_batch():
    ledger, log, worker = service()
    rows = [event(nth=1, end=True), event(nth=2, values=(-3.0, 0.0), end=True), event(nth=3)]
    worker.process([log.append(0, encode(row)) for row in rows])
    assert {d.episode: d.label for d in ledger.decisions.values()} == {"a/1": "low", "a/2": "low"}
    assert ledger.states[0, ("toy", "a")].episode == "a/3"


def test_an_end_marker_alone_opens_nothing():
    ledger, log, worker = service()
    worker.process([log.append(0, encode(Event("a", event_id="1", end=True)))])
    assert not ledger.decisions


def test_a_repeated_event_id_counts_once_within_the_last_64():
    ledger, log, worker = service(toy_detector(horizon=500, thresholds=[np.inf] * 500))
    for k in range(1, 66):
        worker.process([log.append(0, encode(event(nth=k)))])
    worker.process([log.append(0, encode(event(nth=2)))])  # 64 ids ago: remembered
    assert ledger.states[0, ("toy", "a")].steps == 65
    worker.process([log.append(0, encode(event(nth=1)))])  # 65 ids ago: forgotten, documented
    assert ledger.states[0, ("toy", "a")].steps == 66


def test_a_record_without_an_event_id_is_named_by_its_place():
    ledger, log, worker = service()
    worker.process([log.append(0, encode(Event("a", frames=[[9.0, 9.0]])))])
    assert next(iter(ledger.decisions.values())).episode == "t-1:0:0"


def test_a_record_that_names_no_detector_goes_to_all():
    first, second = toy_detector(name="one"), toy_detector(name="two", thresholds=[0.5] * 6)
    ledger, log, worker = service(first, second)
    worker.process([log.append(0, encode(event(values=(1.0, 0.0))))])
    worker.process([log.append(0, encode(event(nth=2, values=(9.0, 0.0), detector="one")))])
    assert {(d.detector, d.halt_step) for d in ledger.decisions.values()} == {
        ("one", 2), ("two", 1),
    }  # fmt: skip


def test_dead_letters_of_one_detector_do_not_touch_the_other():
    ledger, log, worker = service(toy_detector(name="two"), toy_detector(name="three", width=3))
    worker.process([log.append(0, encode(event()))])
    assert [(d.reason, d.detector) for _, d in ledger.dead_letters] == [("wrong_width", "three")]
    assert {key.detector for _, key in ledger.states} == {"two"}


def test_after_a_lost_answer_only_a_claim_says_where_to_go_on():
    """Longer than the memory of event ids, so that nothing else could hide a double count."""
    ledger, log, worker = service(toy_detector(horizon=500, thresholds=[np.inf] * 500))
    rows = [log.append(0, encode(event(nth=k))) for k in range(1, 151)]
    commit, failures = ledger.commit, iter([True, False])

    def flaky(commits):
        stored = commit(commits)  # the database has it, but its answer is lost
        if next(failures, False):
            raise ConnectionError
        return stored

    ledger.commit = flaky
    with pytest.raises(ConnectionError):
        worker.process(rows)
    assert worker.process(rows) == 0  # it owns nothing now
    worker.assign([0])
    assert worker.process(rows) == 0  # all of it was stored
    assert ledger.states[0, ("toy", "a")].steps == 150


def test_states_given_up_are_not_kept_for_ever():
    ledger, log, worker = service(n_partitions=2)
    worker.process([log.append(p, encode(event(f"s{p}", 1))) for p in (0, 1)])
    worker.assign([1])
    worker.assign([0, 1])
    loads = ledger.n_loads
    worker.process([log.append(0, encode(event("s0", 2)))])
    assert ledger.n_loads == loads + 1


def test_an_ended_stream_outlives_a_change_of_layout():
    ledger, log, worker = service()
    worker.process([log.append(0, encode(event(nth=1, end=True)))])
    other = new_worker(ledger, log, toy_detector(ballast=3))  # same version, other layout
    other.process([log.append(0, encode(event(nth=k))) for k in (1, 2)])
    state = ledger.states[0, ("toy", "a")]
    assert (state.episode, state.steps) == ("a/2", 1)  # and the repeat of a/1 was known


def test_an_open_stream_of_another_layout_is_refused_not_guessed_at():
    ledger, log, worker = service()
    worker.process([log.append(0, encode(event(nth=1)))])
    other = new_worker(ledger, log, toy_detector(ballast=3))
    with pytest.raises(StateFormatError, match="put the old artefact back"):
        other.process([log.append(0, encode(event(nth=2)))])
    assert ledger.next[0] == 1


def test_long_trajectories_are_thinned_and_span_the_stream():
    horizon = 1000
    ledger, log, worker = service(toy_detector(horizon=horizon, thresholds=[np.inf] * horizon))
    frames = [[0.001, 0.0]] * horizon
    worker.process([log.append(0, encode(Event("a", event_id="1", frames=frames)))])
    trajectory = next(iter(ledger.decisions.values())).trajectory
    steps = [point["step"] for point in trajectory]
    assert len(steps) <= 65
    assert (steps[0], steps[-1]) == (1, 1000)
    assert max(np.diff(steps)) <= 2 * min(np.diff(steps)[:-1])
    assert len(json.dumps(trajectory)) < 8000


def test_the_certificate_and_version_of_a_decision_are_those_of_its_detector():
    ledger, log, worker = service(replace(toy_detector(), version="abc"))
    worker.process([log.append(0, encode(event(values=(9.0, 9.0))))])
    assert next(iter(ledger.decisions.values())).version == "abc"
