"""What a stream is remembered by, against a slow account of the same by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.inputs import vitals_dtype
from models.vitals.memory import FAST_H, LEAST_GAP_H, MOST_COUNT, MOST_HOURS, SLOW_H, Memory
from tests.unit.models.vitals.made_up import EPOCH_S, records


def memory(width=1, low=-1000.0, high=1000.0):
    return Memory(np.arange(width), np.tile(np.array([low, high], np.float32), (width, 1)))


def record(time_s, *values):
    made = np.empty(1, vitals_dtype(len(values)))
    made["time_s"], made["values"] = time_s, values
    return made


def told(memory, *steps):
    state = memory.start(1)
    for step in steps:
        state, _ = memory.step(state, record(*step))
    return state


def test_it_is_what_going_through_the_whole_past_gives():
    width, inputs = 3, records(np.random.default_rng(0), 20, 25, width=3)
    ours, state = memory(width), memory(width).start(20)
    for step in range(inputs.shape[1]):
        state, _ = ours.step(state, inputs[:, step])
    hours = (inputs["time_s"] - inputs["time_s"][:, :1]) / 3600
    for i in range(20):
        for c in range(width):
            own = [
                (hours[i, t], float(x), t + 1)
                for t, x in enumerate(inputs["values"][i, :, c])
                if not np.isnan(x)
            ]
            assert state["count"][i, c] == len(own)
            before = fast = slow = variance = None
            for hour, x, _ in own:
                if before is None:
                    fast = slow = x
                    variance = 0.0
                else:
                    gap = max(hour - before, LEAST_GAP_H)
                    share = gap / (gap + SLOW_H)
                    variance = (1 - share) * (variance + share * (x - slow) ** 2)
                    slow += share * (x - slow)
                    fast += gap / (gap + FAST_H) * (x - fast)
                before = hour
            wanted = {"last": own[-1][1], "read_hour": before, "read_step": own[-1][2]}
            wanted |= {"fast": fast, "slow": slow, "variance": variance}
            for name, value in wanted.items():
                assert state[name][i, c] == pytest.approx(value, rel=1e-4, abs=1e-4), name


def test_a_new_value_counts_one_half_after_the_gap_that_says_so():
    state = told(memory(), (0.0, 10.0), (float(SLOW_H) * 3600, 20.0))
    assert state["slow"][0, 0] == 15.0
    assert state["fast"][0, 0] == pytest.approx(10 + 10 * SLOW_H / (SLOW_H + FAST_H))


def test_what_is_not_measured_changes_nothing_but_the_clock():
    before = told(memory(2), (0.0, 1.0, 2.0), (3600.0, 4.0, 3.0))
    after = told(memory(2), (0.0, 1.0, 2.0), (3600.0, 4.0, 3.0), (7200.0, np.nan, np.nan))
    assert after["hour"] == 2
    assert after["step"] == 3
    for name in ("last", "fast", "slow", "variance", "count", "read_hour", "read_step"):
        assert np.array_equal(after[name], before[name])


@pytest.mark.parametrize("back", [-3600.0, -1e9, np.nan, np.inf, -np.inf])
def test_a_record_from_the_past_or_without_a_time_is_read_now(back):
    state = told(memory(), (EPOCH_S, 1.0), (EPOCH_S + 7200, 2.0), (EPOCH_S + back, 5.0))
    assert state["hour"][0] == 2
    assert state["last"][0, 0] == 5
    assert state["read_hour"][0, 0] == 2
    assert state["fast"][0, 0] > 1


def test_the_clock_begins_with_the_first_finite_time():
    state = told(memory(), (np.nan, 1.0), (EPOCH_S, 2.0), (EPOCH_S + 3600, 3.0))
    assert state["start_s"][0] == EPOCH_S
    assert state["hour"][0] == 1


@pytest.mark.parametrize("later", [10 * 366 * 86400.0, 1e12, 1e308])
def test_a_gap_of_ten_years_and_more_stays_finite(later):
    state = told(memory(), (EPOCH_S, 1.0), (later + EPOCH_S, 3.0))
    assert state["hour"][0] == MOST_HOURS
    assert state["slow"][0, 0] == pytest.approx(3.0, abs=0.001)
    assert all(np.isfinite(array).all() for array in state.values())
    apart = told(memory(), (-1e308, 1.0), (1e308, 3.0))
    assert apart["hour"][0] == MOST_HOURS


def test_values_off_their_range_are_read_as_missing_and_counted():
    ours = memory(2, low=30, high=45)
    state, refused = ours.step(ours.start(1), record(0.0, 37.0, 98.6))
    assert refused.tolist() == [1.0]
    assert state["count"].tolist() == [[1, 0]]
    for odd in (np.inf, -np.inf, 3.4e38, -3.4e38):
        state, refused = ours.step(state, record(60.0, odd, 40.0))
        assert refused.tolist() == [1.0]
    assert state["implausible"].tolist() == [5]
    assert state["last"].tolist() == [[37.0, 40.0]]
    state, refused = ours.step(state, record(90.0, np.nan, np.nan))
    assert refused.tolist() == [0.0]


def test_counting_stops_at_what_the_state_can_hold():
    ours = memory()
    state = ours.start(1)
    state["count"][:] = MOST_COUNT
    state["step"][:] = MOST_COUNT + 7
    state, _ = ours.step(state, record(0.0, 1.0))
    assert state["count"][0, 0] == MOST_COUNT
    assert state["read_step"][0, 0] == MOST_COUNT
    assert state["step"][0] == MOST_COUNT + 8


def test_forty_channels_take_less_than_a_kilobyte():
    state = memory(40).start(1)
    assert sum(array.nbytes for array in state.values()) < 1000
