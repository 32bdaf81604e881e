"""The one-sided promises themselves: broken in at most delta of the calibration draws.

The population is a finite table, so false-alarm rate and precision of any thresholds are known
exactly in it, and a calibration set is a sample from it with replacement. Seeds were fixed before
the first run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from stopping.onesided import calibrate_one_sided
from stopping.pvalues import exceeds, p_value
from stopping.raising import AlarmScores, highest, raise_steps

pytestmark = pytest.mark.slow

ALPHA, DELTA, LEVEL, DRAWS = 0.1, 0.1, 0.5, 1000


@dataclass(frozen=True)
class Population:
    readiness: np.ndarray
    positive: np.ndarray
    lengths: np.ndarray

    def sample(self, rng, n):
        rows = rng.integers(0, len(self.lengths), n)
        return self.readiness[rows], self.positive[rows], self.lengths[rows]

    def truth(self, thresholds):
        """Exact false-alarm rate, and the least precision over steps by which any is raised."""
        steps = raise_steps(self.readiness, thresholds, self.lengths)
        false_alarm_rate = (steps[~self.positive] > 0).mean()
        among = [(steps > 0) & (steps <= t) for t in range(1, self.readiness.shape[1] + 1)]
        precisions = [self.positive[rows].mean() for rows in among if rows.any()]
        return false_alarm_rate, min(precisions, default=None)


def make_population(n=5000, horizon=6, prevalence=0.15):
    """Rare positives that show themselves late; early readiness misleads; unequal lengths."""
    rng = np.random.default_rng(41)
    positive = rng.random(n) < prevalence
    time = np.linspace(0, 1, horizon)
    noise = rng.normal(0, 1, (n, horizon)) * (1.3 - time)
    risk = rng.normal(0, 0.5, (n, 1)) + positive[:, None] * 3 * time - 3.5 + noise
    readiness = np.rint(65536 / (1 + np.exp(-risk))) / 65536
    return Population(readiness, positive, rng.integers(3, horizon + 1, n))


@pytest.fixture(scope="module")
def population():
    return make_population()


def broken_and_opened(population, seed, n, calibrate, draws=DRAWS):
    """Draws that break the first promise, the second, either; and those that raise anything."""
    rng = np.random.default_rng(seed)
    rate_broken = precision_broken = either = opened = 0
    for _ in range(draws):
        thresholds = calibrate(*population.sample(rng, n))
        false_alarm_rate, precision = population.truth(thresholds)
        too_many = false_alarm_rate > ALPHA
        too_few = precision is not None and precision < LEVEL
        rate_broken += too_many
        precision_broken += too_few
        either += too_many or too_few
        opened += precision is not None
    return rate_broken, precision_broken, either, opened


def test_the_false_alarm_rate_is_kept_with_its_confidence(population):
    def calibrate(*sample):
        return calibrate_one_sided(*sample, ALPHA, DELTA).threshold_array()

    broken, _, _, opened = broken_and_opened(population, 11, 400, calibrate)
    assert not exceeds(broken, DRAWS, DELTA)
    assert opened == DRAWS  # kept while raising, not by silence
    assert broken >= DELTA * DRAWS / 3  # and nothing is given away: delta is nearly spent


def test_both_promises_together_are_kept_with_one_confidence(population):
    def calibrate(*sample):
        certificate = calibrate_one_sided(*sample, ALPHA, DELTA, precision=LEVEL)
        return certificate.threshold_array()

    rate_broken, precision_broken, either, opened = broken_and_opened(
        population, 12, 800, calibrate
    )
    assert not exceeds(either, DRAWS, DELTA)
    assert not exceeds(rate_broken, DRAWS, DELTA)
    assert not exceeds(precision_broken, DRAWS, DELTA)
    assert opened >= 0.8 * DRAWS


def test_a_level_out_of_reach_is_hardly_ever_certified():
    """Readiness that tells nothing: every rule breaks a precision above the prevalence."""
    rng = np.random.default_rng(43)
    n, horizon = 5000, 3
    blind = Population(
        rng.integers(0, 50, (n, horizon)) / 50, rng.random(n) < 0.49, np.full(n, horizon)
    )

    def calibrate(*sample):
        return calibrate_one_sided(*sample, 0.99, DELTA, precision=LEVEL).threshold_array()

    _, precision_broken, _, _ = broken_and_opened(blind, 13, 400, calibrate)
    assert not exceeds(precision_broken, DRAWS, DELTA)


def test_the_threshold_whose_observed_rate_is_within_alpha_would_break_the_promise(population):
    """What the first test can see: without the p-value about half of the draws break it."""

    def calibrate(readiness, positive, lengths):
        worst = np.sort(highest(AlarmScores(readiness, positive, lengths))[~positive])
        allowed = int(ALPHA * len(worst))
        return np.full(readiness.shape[1], worst[-allowed - 1] + 2.0**-16)

    broken, _, _, _ = broken_and_opened(population, 11, 400, calibrate, draws=200)
    assert exceeds(broken, 200, 3 * DELTA)


def test_the_threshold_whose_observed_precision_suffices_would_break_the_promise(population):
    """What the second test can see: precision read off the streams, at every step, as it is."""

    def calibrate(*sample):
        observed = Population(*sample)
        for threshold in np.unique(highest(AlarmScores(*sample))[observed.positive]):
            thresholds = np.full(sample[0].shape[1], threshold)
            if observed.truth(thresholds)[1] >= LEVEL:
                return thresholds
        return np.full(sample[0].shape[1], np.inf)

    _, broken, _, _ = broken_and_opened(population, 12, 400, calibrate, draws=200)
    assert exceeds(broken, 200, 3 * DELTA)


def test_a_threshold_for_the_rate_alone_breaks_the_precision(population):
    """Why there are two promises: at a low prevalence most alarms of a good rate are false."""

    def calibrate(*sample):
        return calibrate_one_sided(*sample, ALPHA, DELTA).threshold_array()

    _, precision_broken, _, _ = broken_and_opened(population, 11, 400, calibrate, draws=200)
    assert exceeds(precision_broken, 200, 0.5)


def test_the_rate_comes_up_to_alpha_as_negatives_are_added(population):
    rng = np.random.default_rng(17)
    rates = []
    for n in (200, 2000, 20_000):
        sample = population.sample(rng, n)
        certificate = calibrate_one_sided(*sample, ALPHA, DELTA)
        rates.append(population.truth(certificate.threshold_array())[0])
        # The very next threshold of the grid would not have been accepted.
        worst = highest(AlarmScores(*sample))[~sample[1]]
        beyond = int((worst >= certificate.thresholds[0] - 2.0**-16).sum())
        assert p_value(beyond, len(worst), ALPHA) > DELTA
    assert 0.095 < rates[-1] <= ALPHA
