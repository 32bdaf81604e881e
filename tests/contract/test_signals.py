"""What every signal must do; a new one joins by standing in the registry.

Signals of the registry need no memory so far, so the suite is run on two small ones that do have
some, and at its end on signals that break it, to show that it would be noticed.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from stopping.signals.registry import SIGNALS, create
from stopping.signals.rounding import rounded

N, CLASSES, STEPS = 7, 4, 12
PARAMETERS = {"alarm": {"alarm": 2}}
"""What a signal of the registry cannot be made without."""


class RunningMaximum:
    """Largest probability so far; not eligible at step 1."""

    needs = frozenset({"probs"})
    bounds = (0.0, 1.0)

    def fields(self):
        return {"best": ("float64", ()), "seen": ("int64", (2,))}

    def start(self, n):
        return {"best": np.zeros(n), "seen": np.zeros((n, 2), np.int64)}

    def update(self, state, probs, aux, t):
        best = np.maximum(state["best"], probs.max(axis=1))
        seen = state["seen"] + np.stack([np.ones_like(t), t], axis=1)
        return {"best": best, "seen": seen}, rounded(np.where(t > 1, best, -np.inf))


class InPlace(RunningMaximum):
    def update(self, state, probs, aux, t):
        state["best"][:] = np.maximum(state["best"], probs.max(axis=1))
        return state, rounded(state["best"])


class Unrounded(RunningMaximum):
    def update(self, state, probs, aux, t):
        return state, probs.max(axis=1).astype(np.float64)


class AcrossRows(RunningMaximum):
    def update(self, state, probs, aux, t):
        return state, rounded(probs.max(axis=1) / 2 + probs[0, 0] / 2)


class OutOfBounds(RunningMaximum):
    def update(self, state, probs, aux, t):
        return state, rounded(probs.max(axis=1) * 2)


class OtherFields(RunningMaximum):
    def start(self, n):
        return {"best": np.zeros(n, np.float32), "seen": np.zeros((n, 2), np.int64)}


def make(name):
    return create(name, **PARAMETERS.get(name, {}))


def steps_of(seed):
    """Probabilities and auxiliary outputs of N streams; soft, one-hot and uniform ones."""
    rng = np.random.default_rng(seed)
    for step in range(1, STEPS + 1):
        probs = rng.dirichlet(np.full(CLASSES, 0.5), N)
        probs[0], probs[1] = np.eye(CLASSES)[step % CLASSES], 1 / CLASSES
        correctness = rng.random(N)
        correctness[:2] = 0, 1
        yield (
            probs.astype(np.float32),
            {"correctness": correctness.astype(np.float32)},
            np.full(N, step, np.int64),
        )


def run(signal, rows=slice(None), seed=0):
    """Readiness [STEPS, n] of the given rows, fed as one batch."""
    state, got = signal.start(len(range(N)[rows])), []
    for probs, aux, t in steps_of(seed):
        state, readiness = signal.update(
            state, probs[rows], {name: values[rows] for name, values in aux.items()}, t[rows]
        )
        got.append(readiness)
    return np.array(got)


def check_batch_and_one_at_a_time_agree(signal):
    alone = np.hstack([run(signal, slice(i, i + 1)) for i in range(N)])
    assert np.array_equal(run(signal), alone)


def check_nothing_is_mutated(signal):
    state = signal.start(N)
    for probs, aux, t in steps_of(1):
        given = {"probs": probs, "t": t, **aux, **state}
        copies = {name: values.copy() for name, values in given.items()}
        after, readiness = signal.update(state, probs, aux, t)
        for name, values in given.items():
            assert np.array_equal(values, copies[name]), f"{name} was changed"
        assert not any(np.shares_memory(readiness, values) for values in given.values())
        assert after is not state
        state = after


def check_readiness_is_within_bounds(signal):
    low, high = signal.bounds
    readiness = run(signal)
    assert ((readiness >= low) & (readiness <= high) | (readiness == -np.inf)).all()


def check_readiness_is_rounded_float64(signal):
    readiness = run(signal)
    assert readiness.dtype == np.float64
    assert readiness.shape == (STEPS, N)
    assert np.array_equal(rounded(readiness), readiness)
    assert not np.isnan(readiness).any()


def check_the_state_is_as_its_fields_say(signal):
    fields = signal.fields()
    state = signal.start(N)
    for probs, aux, t in steps_of(2):
        assert set(state) == set(fields)
        for name, (dtype, shape) in fields.items():
            assert state[name].dtype == np.dtype(dtype), name
            assert state[name].shape == (N, *shape), name
        state, _ = signal.update(state, probs, aux, t)


def check_a_state_saved_in_between_changes_nothing(signal):
    state, got = signal.start(N), []
    for probs, aux, t in steps_of(0):
        text = json.dumps({name: values.tolist() for name, values in state.items()})
        fields = signal.fields()
        state = {
            name: np.array(values, fields[name][0]).reshape(N, *fields[name][1])
            for name, values in json.loads(text).items()
        }
        state, readiness = signal.update(state, probs, aux, t)
        got.append(readiness)
    assert np.array_equal(np.array(got), run(signal))


def check_it_reads_only_what_it_says(signal):
    state = signal.start(N)
    for probs, aux, t in steps_of(3):
        offered = {name: aux[name] for name in aux if f"aux:{name}" in signal.needs}
        seen = probs if "probs" in signal.needs else np.full_like(probs, np.nan)
        state, readiness = signal.update(state, seen, offered, t)
        assert not np.isnan(readiness).any()


def check_no_streams_are_no_trouble(signal):
    probs, aux, t = next(steps_of(0))
    none = {name: values[:0] for name, values in aux.items()}
    _, readiness = signal.update(signal.start(0), probs[:0], none, t[:0])
    assert readiness.shape == (0,)


CHECKS = [
    check_batch_and_one_at_a_time_agree,
    check_nothing_is_mutated,
    check_readiness_is_within_bounds,
    check_readiness_is_rounded_float64,
    check_the_state_is_as_its_fields_say,
    check_a_state_saved_in_between_changes_nothing,
    check_it_reads_only_what_it_says,
    check_no_streams_are_no_trouble,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [*SIGNALS, "RunningMaximum"])
def test_every_signal_keeps_the_contract(name, check):
    check(make(name) if name in SIGNALS else RunningMaximum())


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_of_the_registry_names_inputs_that_exist(name):
    needs = make(name).needs
    assert needs
    assert all(need == "probs" or need.startswith("aux:") for need in needs)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (InPlace, check_nothing_is_mutated),
        (Unrounded, check_readiness_is_rounded_float64),
        (AcrossRows, check_batch_and_one_at_a_time_agree),
        (OutOfBounds, check_readiness_is_within_bounds),
        (OtherFields, check_the_state_is_as_its_fields_say),
    ],
)
def test_a_signal_that_breaks_the_contract_is_noticed(broken, check):
    with pytest.raises(AssertionError):
        check(broken())
