"""The promise itself: over many calibration draws the level is broken in at most delta of them.

The population is a finite table, so the gap that thresholds have in it is known exactly, and a
calibration set is a sample from it with replacement. Seeds were fixed before the first run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from stopping.conditional import calibrate_conditional, screen, split
from stopping.losses import accuracy_gap_loss
from stopping.marginal import calibrate_marginal, count_losses
from stopping.pvalues import exceeds
from stopping.scores import checked
from stopping.tallies import tally_halted
from stopping.thresholds import at_halt, conditional_grid, halt_steps, marginal_grid

ALPHA, DELTA, DRAWS = 0.1, 0.05, 400


@dataclass(frozen=True)
class Population:
    readiness: np.ndarray
    loss: np.ndarray
    lengths: np.ndarray

    def sample(self, rng, n):
        rows = rng.integers(0, len(self.lengths), n)
        return self.readiness[rows], self.loss[rows], self.lengths[rows]

    def gaps(self, thresholds):
        """Exact accuracy gap among the streams halted by each step; None where none is."""
        steps = halt_steps(self.readiness, thresholds, self.lengths)
        return tally_halted(steps, at_halt(self.loss, steps), self.readiness.shape[1]).gaps


def make_population(n=20_000, horizon=8, *, equal_lengths):
    """Readiness that is over-confident early on: the earliest halts are the dearest."""
    rng = np.random.default_rng(31)
    time = np.linspace(0, 1, horizon)
    ease = rng.normal(0, 1, (n, 1))
    chance = 1 / (1 + np.exp(-(ease + 4 * time - 1)))
    lengths = np.full(n, horizon) if equal_lengths else rng.integers(3, horizon + 1, n)
    predicted = np.where(rng.random((n, horizon)) < chance, 0, rng.integers(1, 4, (n, horizon)))
    noise = rng.normal(0, 1.2, (n, horizon)) * (1 - 0.6 * time)
    readiness = 1 / (1 + np.exp(-(ease + 3 * time + noise)))
    return Population(readiness, accuracy_gap_loss(predicted, np.zeros(n, int), lengths), lengths)


@pytest.fixture(scope="module", params=[True, False], ids=["equal lengths", "unequal lengths"])
def population(request):
    return make_population(equal_lengths=request.param)


def violations(population, seed, n, calibrate, worst):
    """Count draws after which the population's gap is above alpha; and those that stop early."""
    rng = np.random.default_rng(seed)
    broken = early = 0
    for _ in range(DRAWS):
        thresholds = calibrate(*population.sample(rng, n))
        gaps = population.gaps(thresholds)
        broken += worst(gaps) > ALPHA
        early += bool(np.isfinite(thresholds[:-1]).any())
    return broken, early


def worst_step(gaps):
    return max(gap for gap in gaps if gap is not None)


def whole(gaps):
    return gaps[-1]


def test_conditional_control_keeps_the_level_at_every_step_with_its_confidence(population):
    def calibrate(*sample):
        return calibrate_conditional(*sample, ALPHA, DELTA).threshold_array()

    broken, early = violations(population, 7, 2000, calibrate, worst_step)
    assert not exceeds(broken, DRAWS, DELTA)
    assert early >= DRAWS // 2  # kept while stopping early in most draws, not by waiting


def test_marginal_control_keeps_the_level_over_all_streams_with_its_confidence(population):
    def calibrate(*sample):
        return calibrate_marginal(*sample, ALPHA, DELTA).threshold_array()

    broken, early = violations(population, 8, 500, calibrate, whole)
    assert not exceeds(broken, DRAWS, DELTA)
    assert early > 0.9 * DRAWS


def test_screening_alone_would_break_the_level(population):
    """What the test above can see: without the testing stage most draws break the promise."""

    def calibrate(readiness, loss, lengths):
        screening, _ = split(len(lengths), 0)
        part = checked(readiness, loss, lengths).rows(screening)
        return screen(part, conditional_grid(readiness.dtype), ALPHA)

    broken, _ = violations(population, 7, 2000, calibrate, worst_step)
    assert exceeds(broken, DRAWS, 0.5)


def test_the_smallest_threshold_with_a_mean_loss_within_alpha_would_break_the_level(population):
    """What the marginal test can see: without the p-value far too many draws break it."""

    def calibrate(readiness, loss, lengths):
        grid = marginal_grid(readiness.dtype)
        within = count_losses(checked(readiness, loss, lengths), grid) <= ALPHA * len(lengths)
        return np.full(readiness.shape[1], grid[within][-1])

    broken, _ = violations(population, 8, 500, calibrate, whole)
    assert exceeds(broken, DRAWS, 2 * DELTA)


def test_a_marginal_threshold_breaks_the_conditional_level(population):
    """Why there are two controls: the gap over all streams hides that of the earliest ones."""

    def calibrate(*sample):
        return calibrate_marginal(*sample, ALPHA, DELTA).threshold_array()

    broken, _ = violations(population, 8, 500, calibrate, worst_step)
    assert exceeds(broken, DRAWS, 0.5)
