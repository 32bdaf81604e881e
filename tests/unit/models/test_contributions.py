from __future__ import annotations

import numpy as np
import pytest

from models.contributions import MOST_NATS, LargestSteps, units

PRIOR = np.array([-100, 50], np.int16)


def run(steps, log_odds, frames=None):
    """Fold log-odds [n, T, C] into fresh state and return it."""
    log_odds = np.asarray(log_odds, np.int16)
    n, horizon, _ = log_odds.shape
    if frames is None:
        frames = np.zeros((n, horizon, len(steps.channels)), np.float32)
    state = steps.start(n, PRIOR)
    for t in range(horizon):
        state = steps.step(state, log_odds[:, t], frames[:, t])
    return state


def test_units_are_cut_so_that_a_difference_fits_sixteen_bits():
    extremes = units(np.array([-np.inf, -1e9, 1e9, np.inf]))
    assert extremes.tolist() == [-16374, -16374, 16374, 16374]
    assert MOST_NATS * 1024 * 2 < 2**15


def test_no_more_places_are_kept_than_a_stream_has_steps():
    assert LargestSteps(2, ("x",), 5).capacity == 5
    assert LargestSteps(2, ("x",), 500).capacity == 16


def test_frames_of_many_channels_are_not_kept():
    wide = LargestSteps(2, tuple("abcdefghi"), 5)
    assert "top_frame" not in wide.fields()
    state = run(wide, [[[5, -5]]])
    assert wide.explain(state, 0, 0, PRIOR, "m").contributions[0].evidence == {}


@pytest.mark.parametrize("seed", range(20))
def test_the_kept_steps_are_the_largest_and_of_equal_ones_the_oldest(seed):
    random = np.random.default_rng(seed)
    steps = LargestSteps(2, ("x",), 4)
    log_odds = random.integers(-6, 7, (30, 25, 2)).cumsum(axis=1)  # many ties
    state = run(steps, log_odds)
    moves = np.diff(np.concatenate((np.tile(PRIOR, (30, 1, 1)), log_odds), axis=1), axis=1)
    for i in range(30):
        size = np.abs(moves[i]).max(axis=1)
        # Folded by hand: a later step takes a place only if it is strictly larger.
        kept = []
        for t in range(25):
            kept.append((-size[t], t))
            kept = sorted(kept)[:4]
        assert sorted(state["top_step"][i]) == sorted(t + 1 for _, t in kept)


def test_streams_of_different_age_share_a_batch():
    steps = LargestSteps(2, ("x",), 2)
    old = run(steps, [[[1000, 0], [1010, 0], [1015, 0]]])
    new = steps.start(1, PRIOR)
    both = {name: np.concatenate((old[name], new[name])) for name in old}
    state = steps.step(both, np.array([[3000, 0], [7, 8]], np.int16), np.ones((2, 1), np.float32))
    assert state["step"].tolist() == [4, 1]
    assert sorted(state["top_step"][0]) == [1, 4]
    assert state["top_step"][1].tolist() == [1, 0]


def test_what_is_not_listed_is_summed_up_as_the_rest():
    steps = LargestSteps(2, ("x",), 1)
    state = run(steps, [[[924, 0], [1024, 0], [1124, 0]]])
    found = steps.explain(state, 0, 0, PRIOR, "how")
    assert [(c.step, c.weight) for c in found.contributions] == [(1, 1.0)]
    assert found.rest == 200 / 1024
    assert found.method == "how"


def test_the_largest_possible_swing_does_not_overflow():
    steps = LargestSteps(2, ("x",), 3)
    top = int(units(np.array([99.0]))[0])
    state = run(steps, [[[top, -top], [-top, top], [top, -top]]])
    found = steps.explain(state, 0, 0, PRIOR, "m")
    assert sum(c.weight for c in found.contributions) + found.rest == (top - int(PRIOR[0])) / 1024
    assert min(c.weight for c in found.contributions) == -2 * top / 1024
