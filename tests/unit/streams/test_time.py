"""What the clock does to streams: each rule by itself, and every kind of bad time."""

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from detectors.config import TimeConfig
from models.inputs import vitals_dtype
from models.protocol import Field, StepOutput
from store.rows import StateKey
from streams import worker as worker_module
from streams.codec import encode, encode_tick
from streams.engine import Engine
from streams.instants import instant
from streams.job import streams_of
from streams.limits import Limits
from streams.records import Event, Reason
from streams.reorder import MOST_HELD, Buffer
from streams.roster import Roster
from streams.worker import Worker
from tests.toys import FakeLedger, FakeLog, toy_detector

DAY = 86_400.0


class Service:
    """A worker on a ledger and a log in memory."""

    def __init__(self, *detectors, n_partitions=1, find=None, records_tick=False, **time):
        self.ledger, self.log = FakeLedger(), FakeLog(n_partitions)
        self.roster = Roster(detectors or [toy_detector(**time)], find)
        self.options = {"topic_id": "t", "records_tick": records_tick}
        self.n = 0
        self.start()

    def start(self):
        self.worker = Worker(self.roster, self.ledger, self.log, **self.options)
        self.worker.assign(self.log.rows)

    def send(self, *entries, partition=0):
        """A number is a tick; (stream, time) a record, with more of its fields as a third."""
        rows = []
        for entry in entries:
            if isinstance(entry, float | int):
                value = encode_tick(instant(float(entry)))
            else:
                self.n += 1
                stream, time, *more = entry
                fields = {"event_id": str(self.n), "frames": [[0.125, 0.0]]} | (more or [{}])[0]
                time = None if time is None else instant(float(time))
                value = encode(Event(stream, time=time, **fields))
            rows.append(self.log.append(partition, value))
        self.worker.process(rows)
        return self

    def state(self, stream="a", partition=0):
        return self.ledger.states.get((partition, StateKey("toy", stream)))

    @property
    def decisions(self):
        rows = self.ledger.decisions.values()
        return sorted((d.episode, d.reason, d.halt_step, at(d.event_time)) for d in rows)

    @property
    def letters(self):
        return [(d.reason, d.offset) for _, d in self.ledger.dead_letters]


def at(time):
    return None if time is None else time.timestamp()


END = {"end": True}
BARE_END = {"end": True, "frames": None}


# idle time-outs


@pytest.mark.parametrize("gap", [10, 11, 3.2e8])
def test_a_record_after_a_silence_opens_a_new_episode(gap):
    service = Service(idle_s=10.0).send(("a", 100), ("a", 109), ("a", 109 + gap, BARE_END))
    assert service.decisions == [("1", "idle", 2, 109.0)]
    assert service.state().phase == "ended"
    service.send(("a", 110 + gap))
    assert service.state().episode == "4"


def test_a_record_just_in_time_goes_on():
    service = Service(idle_s=10.0).send(("a", 100), ("a", 109.999))
    assert service.decisions == []
    assert service.state().steps == 2


def test_a_tick_ends_a_silent_stream_as_the_next_record_would():
    service = Service(idle_s=10.0).send(("a", 100), ("b", 105), 109)
    assert service.decisions == []
    service.send(110, 120)
    assert service.decisions == [("1", "idle", 1, 100.0), ("2", "idle", 1, 105.0)]
    assert service.state().phase == "ended"


def test_without_a_limit_the_clock_does_nothing():
    service = Service(forget_s=None).send(("a", 100), 1e9, ("a", 100 + 10 * 365 * DAY), 2e9)
    assert service.decisions == []
    assert service.state().deadline_s is None
    assert service.state().steps == 2


def test_a_shadow_stream_that_times_out_tells_its_late_answer():
    service = Service(toy_detector(shadow_share=1.0, thresholds=[0.5] * 6, idle_s=10.0))
    service.send(("a", 100), ("a", 101, {"frames": [[-9.0, 0.0]]}), 200)
    (outcome,) = service.ledger.outcomes.values()
    assert (outcome.late_label, outcome.length) == ("low", 2)
    assert service.decisions == [("1", "threshold", 1, 100.0)]


def test_a_record_that_ends_one_episode_and_opens_the_next_is_for_the_active_version():
    old = toy_detector(version="v1", idle_s=10.0)
    service = Service(old).send(("a", 100))
    service.roster = Roster([toy_detector(version="v2", idle_s=10.0)], lambda *_: old)
    service.start()
    service.send(("a", 105), ("a", 150), ("a", 151), ("b", 152))
    assert [d.version for d in service.ledger.decisions.values()] == ["v1"]
    assert service.state().version == "v2"
    assert (service.state().episode, service.state().steps) == ("3", 2)
    service.send(400)
    assert [d.version for d in service.ledger.decisions.values()] == ["v1", "v2", "v2"]


def test_a_tick_closes_a_stream_under_the_version_it_began_with():
    old = toy_detector(version="v1", idle_s=10.0)
    service = Service(old).send(("a", 100))
    service.roster = Roster([toy_detector(version="v2", ballast=3)], lambda *_: old)
    service.start()
    service.send(110)
    assert [(d.version, d.reason) for d in service.ledger.decisions.values()] == [("v1", "idle")]


# clock horizons


def test_a_record_at_the_horizon_is_not_scored():
    service = Service(horizon_s=48.0).send(("a", 100), ("a", 147.5), ("a", 148), ("a", 149))
    assert service.decisions == [("1", "horizon", 2, 147.5)]
    assert (service.state().phase, service.state().steps) == ("halted", 4)
    service.send(("a", 150, BARE_END), ("a", 151))
    assert service.state().episode == "6"


def test_a_tick_at_the_horizon_decides_for_a_silent_stream():
    service = Service(horizon_s=48.0).send(("a", 100), 147, 148)
    assert service.decisions == [("1", "horizon", 1, 100.0)]
    assert service.state().phase == "halted"


@pytest.mark.parametrize(("idle", "reason"), [(9.0, "idle"), (10.0, "horizon"), (12.0, "horizon")])
@pytest.mark.parametrize("by", [1000, ("a", 1000)])
def test_what_was_due_first_comes_first(idle, reason, by):
    service = Service(horizon_s=15.0, idle_s=idle).send(("a", 100), ("a", 105), by)
    assert service.decisions == [("1", reason, 2, 105.0)]


def test_a_shadow_stream_is_concluded_once_by_the_horizon():
    service = Service(toy_detector(shadow_share=1.0, thresholds=[0.5] * 6, horizon_s=20.0))
    service.send(("a", 100), ("a", 110), ("a", 120), ("a", 121, END), 500)
    (outcome,) = service.ledger.outcomes.values()
    assert outcome.length == 2


# forgetting


def test_an_ended_stream_is_forgotten_and_its_decision_stays():
    service = Service(forget_s=50.0).send(("a", 100, END), 149)
    assert service.state().phase == "ended"
    service.send(150)
    assert service.state() is None
    assert service.worker.counts.forgotten == 1
    assert service.decisions == [("1", "end", 1, 100.0)]
    assert not service.worker.owned[0].states


def test_a_halted_stream_without_an_end_marker_does_not_stay_for_ever():
    quick = [0.5] * 6
    service = Service(toy_detector(thresholds=quick, forget_s=50.0)).send(("a", 100), ("a", 120))
    assert service.state().phase == "halted"
    service.send(169, ("a", 170))  # silent for `forget_s`: another episode
    assert service.state().episode == "3"
    service.send(219, 220)
    assert service.state() is None


def test_streams_without_times_take_the_first_tick_and_are_forgotten_later():
    service = Service(forget_s=50.0).send(("a", None, END))
    assert service.state().deadline_s == -math.inf
    service.send(1000)
    assert service.state().deadline_s == 1050.0
    service.send(1050)
    assert service.state() is None


# records without times


def test_a_stream_without_times_is_idle_from_the_first_tick_on():
    service = Service(idle_s=10.0).send(("a", None), ("a", None), 1000, 1009)
    assert service.decisions == []
    service.send(1010)
    assert service.decisions == [("1", "idle", 2, 1000.0)]


def test_a_record_without_a_time_has_its_partitions_clock():
    service = Service(idle_s=10.0).send(500, ("a", None), 505, ("a", None), 514, 515)
    assert service.decisions == [("1", "idle", 2, 505.0)]
    (decision,) = service.ledger.decisions.values()
    service = Service(idle_s=10.0).send(500, ("a", None, END))
    (decision,) = service.ledger.decisions.values()
    assert decision.event_time is None  # the record itself carries none


def test_the_clock_survives_a_restart_and_a_claim_by_another():
    service = Service(idle_s=10.0).send(500)
    service.start()
    service.send(("a", None))
    assert service.worker.owned[0].clock_s == 500.0
    service.send(510)
    assert service.decisions == [("1", "idle", 1, 500.0)]


def test_records_with_and_without_times_mix():
    mixed = [("a", 600), ("a", None), ("a", 605), ("a", None)]
    service = Service(idle_s=10.0, late_records="refuse").send(500, *mixed, 614, 615)
    assert service.letters == []  # a record without a time is never late
    assert service.decisions == [("1", "idle", 4, 605.0)]


# records that come late


def test_a_late_record_is_scored_at_the_latest_time():
    service = Service(idle_s=10.0).send(("a", 100), ("a", 10), ("a", 100), ("a", 109))
    assert service.state().steps == 4
    assert service.decisions == service.letters == []


def test_a_late_record_is_refused_and_says_how_late_but_not_what_it_holds():
    service = Service(late_records="refuse").send(("a", 100), ("a", 97.5), ("a", 100), ("b", 1))
    assert service.letters == [(Reason.LATE, 1)]
    ((_, letter),) = service.ledger.dead_letters
    assert letter.detail == "2.5 s older than what was scored of its stream already"
    assert letter.detector == "toy"
    assert service.state().steps == 2


def test_a_late_record_of_several_frames_and_an_end_marker_is_refused_whole():
    service = Service(late_records="refuse").send(("a", 100))
    service.send(("a", 99, {"frames": [[0.0, 0.0]] * 3, "end": True}), ("a", 101))
    assert service.letters == [(Reason.LATE, 1)]
    assert (service.state().phase, service.state().steps) == ("open", 2)


def test_a_repeated_late_record_is_a_repeat_not_a_second_dead_letter():
    service = Service(late_records="refuse")
    row = {"event_id": "same"}
    service.send(("a", 100, row), ("a", 101), ("a", 100, row))
    assert service.letters == []
    assert service.worker.counts.repeats == 1


def test_a_stream_that_ended_keeps_its_clock():
    service = Service(late_records="refuse").send(("a", 100, END), ("a", 99), ("a", 100))
    assert service.letters == [(Reason.LATE, 1)]
    assert service.state().episode == "3"


class Watches:
    """A vitals classifier that remembers the times it was given."""

    classes, channels, modality = ("low", "high"), ("HR",), "vitals"
    auxiliary = frozenset()

    def fields(self):
        return {"time_s": Field("<f8")}

    def start(self, n):
        return {"time_s": np.full(n, np.nan)}

    def step(self, state, inputs):
        assert inputs.dtype == vitals_dtype(1)
        assert not (inputs["time_s"] < state["time_s"]).any(), "time went backwards"
        probabilities = np.full((len(inputs), 2), 0.5, np.float32)
        return {"time_s": inputs["time_s"].copy()}, StepOutput(probabilities)

    def explain(self, state, i, label):
        return toy_detector().classifier.explain({"total": state["time_s"]}, i, label)


def test_a_classifier_of_vitals_never_sees_time_run_backwards():
    service = Service(replace(toy_detector(horizon=50), classifier=Watches()))
    beat = {"measurements": {"HR": 80.0}, "frames": None}
    times = [100, 90, 95, 101, 100.5, 1e9, 5]
    for time in times:
        service.send(("a", time, beat))
    service.send(*[("b", time, beat) for time in times])
    assert service.state("a").steps == service.state("b").steps == len(times)
    assert service.letters == []


# bringing records into order


def held(service, stream="a"):
    state = service.state(stream)
    return [record.time_s for record in Buffer(state.pending).held]


def test_records_are_scored_in_the_order_of_their_times():
    service = Service(toy_detector(reorder_s=5.0, horizon=3, thresholds=[0.9, 0.9, 0.9]))
    frames = {"frames": [[9.0, 0.0]]}
    service.send(("a", 103), ("a", 101, frames), ("a", 102))
    assert service.decisions == []
    assert held(service) == [101.0, 102.0, 103.0]
    service.send(("a", 106))
    assert service.decisions == [("2", "threshold", 1, 101.0)]  # the oldest opened the episode
    assert service.state().episode == "2"


def test_a_tick_lets_go_of_what_waits():
    service = Service(reorder_s=5.0, idle_s=20.0).send(("a", 103), ("a", 101), 105)
    assert held(service) == [101.0, 103.0]
    assert (service.state().phase, service.state().steps) == ("ended", 0)
    service.send(106)
    assert held(service) == [103.0]
    service.send(108)
    assert held(service) == []
    service.send(127, 128)  # 103 + 20, and 5 more in which an older one might have come
    assert service.decisions == [("2", "idle", 2, 103.0)]


def test_an_end_marker_waits_for_what_is_older():
    service = Service(reorder_s=5.0).send(("a", 103, BARE_END), ("a", 101), ("a", 102), 108)
    assert service.decisions == [("2", "end", 2, 103.0)]


def test_a_record_beyond_the_bound_is_late():
    late = {"reorder_s": 5.0, "late_records": "refuse"}
    service = Service(**late).send(("a", 100), ("a", 110), ("a", 99), ("a", 101), 200)
    assert service.letters == [(Reason.LATE, 2)]
    assert service.state().steps == 3


def test_an_old_record_that_nothing_overtook_is_scored():
    late = {"reorder_s": 5.0, "late_records": "refuse"}
    service = Service(**late).send(200, ("a", 100), ("a", 101), 300)
    assert service.letters == []
    assert service.state().steps == 2


def test_a_full_buffer_lets_go_of_its_oldest():
    service = Service(toy_detector(reorder_s=1e4, horizon=999, thresholds=[math.inf] * 999))
    service.send(*[("a", 2000 - k) for k in range(MOST_HELD + 3)])
    assert len(held(service)) == MOST_HELD
    assert service.state().steps == 3
    # let go of before its time, it makes others late: they are scored at the stream's clock
    assert held(service)[0] == 2000 - MOST_HELD + 1


def test_repeats_among_the_held_count_once():
    service = Service(reorder_s=5.0)
    service.send(*[("a", 100, {"event_id": "same"})] * 4, ("a", 101), 200)
    assert service.worker.counts.repeats == 3
    assert service.state().steps == 2


def test_a_bad_record_moves_no_clock_and_holds_nothing_up():
    service = Service(reorder_s=5.0)
    service.send(("a", 100), ("a", 5e9, {"frames": [[1.0]]}), ("a", 101))
    assert service.letters == [(Reason.WRONG_WIDTH, 1)]
    assert held(service) == [100.0, 101.0]


def test_records_of_equal_times_keep_their_order():
    service = Service(reorder_s=5.0)
    service.send(("a", 100, {"event_id": "z"}), ("a", 100, {"event_id": "y"}), 105)
    assert service.state().episode == "z"


def test_a_detector_that_no_longer_reorders_lets_go_of_what_waited():
    service = Service(reorder_s=5.0).send(("a", 100), ("a", 101))
    service.roster = Roster([toy_detector(version="v2")])
    service.start()
    service.send(("a", 102))
    assert service.state().steps == 3
    assert held(service) == []


def test_a_held_record_that_is_refused_at_last_is_a_dead_letter_with_its_place():
    service = Service(reorder_s=1e4, late_records="refuse")
    service.send(*[("a", 2000 + k) for k in range(MOST_HELD)])
    service.send(("a", 3000), ("a", 3001))  # 2000 and 2001 had to go
    service.send(("a", 2000.5), 50_000)
    assert (Reason.LATE, MOST_HELD + 2) in service.letters


# ticks


def test_ticks_below_the_clock_change_nothing():
    service = Service(idle_s=10.0).send(100, 50, ("a", None), 99, 100, 105)
    assert service.worker.owned[0].clock_s == 105.0
    assert service.ledger.clocks == {0: 105.0}
    assert service.decisions == []
    assert service.worker.counts.ticks == 5


@pytest.mark.parametrize("tick", ["1800-01-01T00:00:00Z", "2300-01-01T00:00:00Z", "soon", None, 7])
def test_a_bad_tick_is_a_dead_letter_and_no_time(tick):
    service = Service(idle_s=10.0).send(("a", 100))
    value = msgspec.json.encode({"v": 1, "tick": tick})
    service.worker.process([service.log.append(0, value)])
    assert service.letters == [(Reason.SCHEMA, 1)]
    assert math.isnan(service.worker.owned[0].clock_s)


def test_a_storm_of_ticks_costs_little():
    service = Service(idle_s=10.0).send(("a", 100))
    commits = service.worker.counts.commits
    service.send(*[50 + k / 1000 for k in range(5000)])
    assert service.worker.counts.ticks == 5000
    assert service.worker.counts.commits - commits < 5


def test_many_streams_that_are_due_go_in_chunks(monkeypatch):
    monkeypatch.setattr(worker_module, "CHUNK_STREAMS", 10)
    monkeypatch.setattr(worker_module, "CHUNKS_AT_ONCE", 4)
    service = Service(idle_s=10.0).send(*[(f"s{k}", 100) for k in range(75)])
    sizes = []
    commit = service.ledger.commit
    service.ledger.commit = lambda commits: (
        sizes.append(len(commits[0].decisions)) or commit(commits)
    )
    service.send(200, ("late", 201))
    assert sizes == [10] * 4  # the rest is left for the next turn, the tick too
    assert service.ledger.next[0] == 75
    for _ in range(6):
        service.worker.tend({0})
    assert sizes[4:8] == [10, 10, 10, 5]
    assert service.ledger.next[0] == 77
    assert len(service.decisions) == 75


def test_a_crash_between_two_chunks_does_no_harm(monkeypatch):
    monkeypatch.setattr(worker_module, "CHUNK_STREAMS", 10)
    service = Service(idle_s=10.0).send(*[(f"s{k}", 100) for k in range(35)])
    commit, left = service.ledger.commit, [2]

    def dies(commits):
        if not left[0]:
            raise MemoryError
        left[0] -= 1
        return commit(commits)

    service.ledger.commit = dies
    with pytest.raises(MemoryError):
        service.send(200)
    assert (len(service.decisions), service.ledger.next[0]) == (20, 35)
    assert service.ledger.clocks == {}
    service.ledger.commit = commit
    service.start()
    service.worker.drain(0, service.log.end(0))
    assert len(service.decisions) == 35
    assert (service.ledger.next[0], service.ledger.clocks) == (36, {0: 200.0})


def test_each_partition_has_a_clock_of_its_own_and_ticks_share_commits():
    service = Service(idle_s=10.0, n_partitions=3)
    for partition in range(3):
        service.send((f"s{partition}", 100), partition=partition)
    commits = service.worker.counts.commits
    rows = [service.log.append(p, encode_tick(instant(t))) for p, t in ((0, 110.0), (1, 110.0))]
    service.worker.process(rows)
    assert service.worker.counts.commits == commits + 1
    assert [e for e, *_ in service.decisions] == ["1", "2"]
    assert service.worker.owned[2].clock_s != service.worker.owned[2].clock_s


def test_a_zombie_does_not_tick():
    service = Service(idle_s=10.0, n_partitions=2)
    service.send(("a", 100)).send(("b", 100), partition=1)
    service.ledger.claim([0])
    rows = [service.log.append(p, encode_tick(instant(200.0))) for p in (0, 1)]
    service.worker.process(rows)
    assert [e for e, *_ in service.decisions] == ["2"]
    assert set(service.worker.owned) == {1}
    assert service.ledger.clocks == {1: 200.0}


def test_streams_of_a_detector_that_does_not_run_here_wait():
    service = Service(toy_detector(name="other", idle_s=10.0)).send(("a", 100))
    service.roster = Roster([toy_detector()])
    service.start()
    service.send(200, 201)
    (state,) = service.ledger.states.values()
    assert (state.phase, state.deadline_s) == ("open", 200.0 + DAY)


def test_records_before_and_after_a_tick_in_one_batch():
    service = Service(idle_s=10.0)
    service.send(("a", 100), ("b", 108), 110, ("a", 110), ("b", 111), 125, ("a", 125))
    assert service.decisions == [
        ("1", "idle", 1, 100.0), ("2", "idle", 2, 111.0), ("3", "idle", 1, 110.0),
    ]  # fmt: skip


def test_a_deadline_does_not_move_with_every_record():
    """An update that changes no indexed column costs PostgreSQL no index entry."""
    service = Service(idle_s=10.0).send(("a", 100))
    for time in (101, 105, 109):
        service.send(("a", time))
        assert service.state().deadline_s == 110.0
    service.send(110)
    assert service.state().deadline_s == 119.0
    assert service.decisions == []


# the records as the clock


def test_where_nobody_ticks_the_records_are_the_clock():
    service = Service(idle_s=10.0, records_tick=True)
    service.send(("a", 100), ("b", 104))
    assert service.decisions == []
    service.send(("b", 121))
    assert service.decisions == [("1", "idle", 1, 100.0), ("2", "idle", 1, 104.0)]
    assert service.ledger.clocks == {0: 120.0}


@pytest.mark.parametrize("cut", [1, 2, 3, 7])
def test_that_clock_does_not_depend_on_the_batches(cut):
    rows = [(s, 100 + 3.7 * k + 50 * (k % 7 == 0)) for k, s in enumerate("abcabdabaabcadda" * 3)]
    whole = Service(idle_s=10.0, records_tick=True).send(*rows)
    cuts = Service(idle_s=10.0, records_tick=True)
    for first in range(0, len(rows), cut):
        cuts.send(*rows[first : first + cut])
    assert whole.decisions
    assert whole.decisions == cuts.decisions
    assert whole.ledger.clocks == cuts.ledger.clocks


def test_one_wrong_stamp_cannot_end_all_streams_of_a_partition():
    service = Service(idle_s=2 * 3600.0, records_tick=True)
    service.send(*[(f"s{k}", 1000 + k) for k in range(20)], ("typo", 5e9), ("s1", 1030))
    assert service.decisions == []


# limits


def test_every_deadline_is_one_at_which_something_happens():
    """To the last bit: a stream that stays due would be looked at for ever."""
    random = np.random.default_rng(0)
    for _ in range(300):
        config = TimeConfig(
            idle_s=random.choice([None, random.uniform(0.1, 1e5)]),
            horizon_s=random.choice([None, random.uniform(0.1, 1e5)]),
            reorder_s=float(random.choice([0.0, random.uniform(0, 1e3)])),
            forget_s=random.choice([None, random.uniform(0.1, 1e5)]),
        )
        engine = Engine(toy_detector())
        object.__setattr__(engine, "limits", Limits.of(config))
        service = Service()
        service.send(("a", random.uniform(1e9, 2e9)), ("a", random.uniform(1e9, 2e9)))
        streams = streams_of(engine, [(0, StateKey("toy", "a"))], [service.state()])
        for _ in range(5):
            (due_s,) = engine.limits.deadlines(streams.rows)
            if due_s == math.inf:
                break
            result, forgotten = engine.tick(streams, float(due_s))
            streams = result.streams
            if forgotten[0]:
                break
            assert engine.limits.deadlines(streams.rows)[0] > due_s
        else:
            raise AssertionError
