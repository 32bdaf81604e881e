"""The fast calibration gives the published thresholds, to the last bit.

The procedure is written down here once more as it is published, halt steps derived anew for
every candidate and every test, and both are run on many random calibration sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binom

from stopping.check import check
from stopping.conditional import calibrate_conditional
from stopping.losses import accuracy_gap_loss
from stopping.marginal import calibrate_marginal

# ---------------------------------------------------------------- the procedure, literally


def literal_halts(readiness, thresholds, lengths):
    """First step (from 0) at or above its threshold; the stream's last step always halts."""
    stop = readiness >= thresholds
    stop[np.arange(len(stop)), lengths - 1] = True
    return np.argmax(stop, axis=1)


def literal_losses(right, lengths):
    """Loss of halting at each step: right at the end, wrong at that step."""
    late = right[np.arange(len(right)), lengths - 1].astype(float)
    return np.maximum(late[:, None] - right.astype(float), 0)


def literal_cost(losses, halts):
    return losses[np.arange(len(losses)), halts]


def literal_marginal(readiness, losses, lengths, alpha, delta):
    accepted, threshold = np.inf, 1.0
    while threshold >= 0:
        halts = literal_halts(readiness, readiness.dtype.type(threshold), lengths)
        lost = literal_cost(losses, halts).sum()
        if binom.cdf(lost, len(readiness), alpha) > delta:
            break
        accepted = readiness.dtype.type(threshold)
        threshold -= 0.01
    return np.full(readiness.shape[1], accepted)


def literal_screening(readiness, losses, lengths, alpha):
    horizon = readiness.shape[1]
    eta = np.full(horizon, np.inf, readiness.dtype)
    for t in range(horizon):
        trial = eta.copy()
        for xi in np.arange(0, 1.00001, 0.01):
            trial[t] = xi
            halts = literal_halts(readiness, trial, lengths)
            chosen = halts <= t
            if not chosen.any():
                break
            if literal_cost(losses, halts)[chosen].mean() <= alpha:
                eta[t] = xi
                break
    return eta


def literal_testing(readiness, losses, lengths, eta, alpha, delta):
    horizon = readiness.shape[1]
    accepted = np.full(horizon, np.inf, readiness.dtype)
    for t in reversed(range(horizon)):
        trial = accepted.copy()
        trial[t] = eta[t]
        for until in range(t, horizon):
            halts = literal_halts(readiness, trial, lengths)
            chosen = halts <= until
            if not chosen.any():
                return accepted
            lost = literal_cost(losses, halts)[chosen].sum()
            if binom.cdf(lost, chosen.sum(), alpha) > delta:
                return accepted
        accepted = trial
    return accepted


def literal_conditional(readiness, losses, lengths, alpha, delta, rows):
    half = len(rows) // 2
    first, second = rows[:half], rows[half:]
    eta = literal_screening(readiness[first], losses[first], lengths[first], alpha)
    return literal_testing(readiness[second], losses[second], lengths[second], eta, alpha, delta)


# ---------------------------------------------------------------- random calibration sets


@dataclass(frozen=True)
class Case:
    readiness: np.ndarray
    loss: np.ndarray
    literal_losses: np.ndarray
    lengths: np.ndarray
    alpha: float
    delta: float


def draw_case(rng) -> Case:
    """Mixtures of: few and many streams, T = 1, ties, grid values, -inf, short streams."""
    n = int(rng.choice([rng.integers(1, 44), rng.integers(44, 120), rng.integers(120, 350)]))
    horizon = int(rng.integers(1, 8))
    dtype = rng.choice([np.float32, np.float64])
    skill = rng.uniform(0, 1, (n, 1)) * np.linspace(rng.uniform(0.3, 1), 1, horizon)
    readiness = np.clip(skill + rng.normal(0, rng.choice([0.05, 0.3]), (n, horizon)), 0, 1)
    kind = rng.integers(4)
    if kind == 1:  # heavily tied
        readiness = np.round(readiness * 4) / 4
    elif kind == 2:  # on the grid, as the grid itself is rounded
        readiness = np.round(readiness * 100) * 0.01
    elif kind == 3:  # on the decimals, which the marginal grid misses by rounding errors
        readiness = np.round(readiness, 2)
    readiness = readiness.clip(0, 1).astype(dtype)
    if rng.random() < 0.3:
        readiness[rng.random(readiness.shape) < rng.choice([0.05, 0.9])] = -np.inf
    classes = int(rng.integers(2, 4))
    label = rng.integers(0, classes, n)
    ability = rng.choice([0.2, 0.6, 1.0]) * skill + rng.choice([0.0, 0.3, 0.7])
    predicted = np.where(
        rng.random((n, horizon)) < ability, label[:, None], rng.integers(0, classes, (n, horizon))
    )
    lengths = np.full(n, horizon)
    if rng.random() < 0.4:
        lengths = rng.integers(1, horizon + 1, n)
        past = np.arange(horizon) >= lengths[:, None]
        readiness[past] = rng.choice([np.nan, np.inf, 0.99])
        predicted[past] = -1
    alpha = float(rng.choice([0.02, 0.05, 0.1, 0.2, 0.5, rng.uniform(0.01, 0.9)]))
    delta = float(rng.choice([0.01, 0.05, 0.1, 0.5, rng.uniform(0.01, 0.9)]))
    loss = accuracy_gap_loss(predicted, label, lengths)
    losses = literal_losses(predicted == label[:, None], lengths)
    if rng.random() < 0.25:  # any loss at all, one at a stream's own end too
        loss = rng.random((n, horizon)) < rng.choice([0.02, 0.1, 0.4])
        losses = loss.astype(float)
    return Case(readiness, loss, losses, lengths, alpha, delta)


def finite_or_none(thresholds):
    """Thresholds as a certificate has them; the last step has none."""
    return (*(float(x) if np.isfinite(x) else None for x in thresholds[:-1]), None)


def opened(certificate):
    return sum(threshold is not None for threshold in certificate.thresholds)


@pytest.mark.parametrize("seed", range(4))
def test_conditional_thresholds_are_those_of_the_published_procedure(seed):
    rng = np.random.default_rng([2024, seed])
    n_opened = n_partly = 0
    for _ in range(400):
        case = draw_case(rng)
        shuffle = bool(rng.integers(2))
        rows = np.arange(len(case.lengths))
        if shuffle:
            rows = np.random.default_rng(seed).permutation(len(case.lengths))
        certificate = calibrate_conditional(
            case.readiness,
            case.loss,
            case.lengths,
            case.alpha,
            case.delta,
            seed=seed,
            shuffle=shuffle,
        )
        expected = literal_conditional(
            case.readiness, case.literal_losses, case.lengths, case.alpha, case.delta, rows
        )
        assert certificate.thresholds == finite_or_none(expected)
        assert certificate.screening_indices == tuple(rows[: len(rows) // 2])
        assert check(certificate, case.readiness, case.loss, case.lengths).differences == ()
        n_opened += opened(certificate) > 0
        n_partly += 0 < opened(certificate) < len(certificate.thresholds) - 1
    # The comparison says something only where thresholds open, and some do not.
    assert n_opened >= 100
    assert n_partly >= 25


@pytest.mark.parametrize("seed", range(4))
def test_marginal_threshold_is_that_of_the_published_procedure(seed):
    rng = np.random.default_rng([2025, seed])
    values = set()
    for _ in range(200):
        case = draw_case(rng)
        certificate = calibrate_marginal(
            case.readiness, case.loss, case.lengths, case.alpha, case.delta
        )
        expected = literal_marginal(
            case.readiness, case.literal_losses, case.lengths, case.alpha, case.delta
        )
        assert certificate.thresholds == finite_or_none(expected)
        assert check(certificate, case.readiness, case.loss, case.lengths).differences == ()
        values.update(certificate.thresholds)
    assert len(values) >= 30


def test_a_large_set_is_calibrated_as_published():
    rng = np.random.default_rng(96)
    n, horizon = 1200, 24
    readiness = rng.beta(2, 2, (n, horizon)).cumsum(axis=1) / np.arange(1, horizon + 1)
    label = rng.integers(0, 3, n)
    right = rng.random((n, horizon)) < 0.5 + 0.5 * readiness
    predicted = np.where(right, label[:, None], 3)
    loss = accuracy_gap_loss(predicted, label)
    lengths = np.full(n, horizon)
    certificate = calibrate_conditional(readiness, loss, None, 0.3, 0.05, shuffle=False)
    losses = literal_losses(right, lengths)
    expected = literal_conditional(readiness, losses, lengths, 0.3, 0.05, np.arange(n))
    assert certificate.thresholds == finite_or_none(expected)
    assert opened(certificate) >= 10
