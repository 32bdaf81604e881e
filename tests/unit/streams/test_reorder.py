"""The buffer of held records by itself."""

import math

from hypothesis import given
from hypothesis import strategies as st

from streams.records import Event
from streams.reorder import MOST_HELD, Buffer, HeldRecord

times = st.lists(st.integers(0, 40).map(float), max_size=40)


def record(time_s, nth, event_id=None):
    return HeldRecord(time_s, nth, Event("a", event_id=event_id or str(nth), end=True))


def through(taken, reorder_s, stores=lambda nth: False):
    """Return the offsets in the order in which they are let go, the last tick included."""
    buffer, released = Buffer(), []
    for nth, time_s in enumerate(taken):
        released += buffer.take(record(time_s, nth), math.nan, reorder_s)
        if stores(nth):
            buffer = Buffer(buffer.encode())
    return [r.offset for r in [*released, *buffer.due(math.inf, reorder_s)]]


@given(times, st.integers(0, 20), st.sets(st.integers(0, 40)))
def test_nothing_is_lost_or_doubled_wherever_it_was_stored(taken, reorder_s, stored):
    order = through(taken, float(reorder_s), stored.__contains__)
    assert sorted(order) == list(range(len(taken)))
    assert order == through(taken, float(reorder_s))


@given(times)
def test_what_is_within_the_bound_comes_out_in_order(taken):
    bound = max((max(taken[: k + 1]) - taken[k] for k in range(len(taken))), default=0.0)
    order = through(taken, bound)
    assert order == sorted(range(len(taken)), key=lambda k: (taken[k], k))


@given(times)
def test_without_a_bound_everything_goes_straight_through(taken):
    rising = sorted(taken)
    assert through(rising, 0.0) == list(range(len(rising)))


def test_a_record_without_a_time_follows_what_was_seen():
    buffer = Buffer()
    assert [r.offset for r in buffer.take(record(math.nan, 0), math.nan, 5.0)] == [0]
    assert buffer.encode() is None
    assert buffer.take(record(100.0, 1), math.nan, 5.0) == []
    assert buffer.take(record(math.nan, 2), math.nan, 5.0) == []
    assert buffer.take(record(98.0, 3), math.nan, 5.0) == []
    assert [r.offset for r in buffer.due(105.0, 5.0)] == [3, 1, 2]


def test_it_never_holds_more_than_its_bound():
    buffer, released = Buffer(), []
    for nth in range(3 * MOST_HELD):
        released += buffer.take(record(1000.0, nth), math.nan, 5.0)
    assert len(buffer.held) == MOST_HELD
    assert [r.offset for r in released] == list(range(2 * MOST_HELD))


def test_a_repeat_of_a_held_record_is_told():
    buffer = Buffer()
    assert buffer.take(record(1.0, 0, "same"), math.nan, 5.0) == []
    assert buffer.take(record(2.0, 1, "same"), math.nan, 5.0) is None
    assert buffer.newest_s == 1.0
