"""The fast one-sided calibration gives the thresholds of the procedure as it is told in words.

It is written down here once more, streams one by one and rules one by one, and both are run on
many random calibration sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binom

from stopping.onesided import calibrate_one_sided
from stopping.onesided_check import check_one_sided
from stopping.precision import candidate_openings

# ---------------------------------------------------------------- the procedure, literally


def literal_raise(values, length, thresholds):
    """First step, from 1, at or above its threshold within the stream's length; None = never."""
    for t in range(length):
        if values[t] >= thresholds[t]:
            return t + 1
    return None


def literal_alpha_only(case):
    """Walk down all multiples of 2^-16 and test the negatives raised under each of them."""
    negative = ~case.positive
    existing = np.arange(case.horizon) < case.lengths[negative, None]
    values = case.readiness[negative]
    chances = chances_of(len(values), case.alpha)
    accepted = np.inf
    for block in np.array_split(np.arange(65536, -1, -1), 64):
        tried = (block / 65536).astype(values.dtype)
        with np.errstate(invalid="ignore"):
            raised = ((values[None] >= tried[:, None, None]) & existing[None]).any(axis=2)
        for threshold, false_alarms in zip(tried, raised.sum(axis=1), strict=True):
            if chances[false_alarms, len(values)] > case.delta:
                return accepted
            accepted = float(threshold)
    return accepted


def chances_of(n, level):
    """P(Bin(m, level) <= k) for k, m = 0..n; 1 where nothing was seen."""
    counts = np.arange(n + 1)
    chances = binom.cdf(counts[:, None], counts, level)
    chances[:, 0] = 1.0
    return chances


def literal_tests(case, rows, rule, chances):
    """Largest p-value of a rule on some rows; and the raise steps of its positives."""
    opening, threshold = rule
    thresholds = [threshold if t >= opening else np.inf for t in range(1, case.horizon + 1)]
    of_rate, of_precision = chances
    steps = [literal_raise(case.readiness[i], case.lengths[i], thresholds) for i in rows]
    positive = [bool(case.positive[i]) for i in rows]
    negatives = sum(not y for y in positive)
    false_alarms = sum(s is not None and not y for s, y in zip(steps, positive, strict=True))
    p_values = [of_rate[false_alarms, negatives]]
    for until in range(opening, case.horizon + 1):
        among = [y for s, y in zip(steps, positive, strict=True) if s is not None and s <= until]
        wrong = sum(not y for y in among)
        p_values.append(of_precision[wrong, len(among)])
    right = [s for s, y in zip(steps, positive, strict=True) if s is not None and y]
    return max(p_values), right


def literal_path(case, rows, chances):
    tops = set()
    for i in rows:
        values = [v for v in case.readiness[i][: case.lengths[i]] if v > -np.inf]
        if case.positive[i] and values:
            tops.add(float(max(values)))
    tops = sorted(tops)
    if len(tops) > 64:
        tops = [tops[k] for k in np.linspace(0, len(tops) - 1, 64).round().astype(int)]
    candidates = []
    for opening in candidate_openings(case.horizon).tolist():
        for threshold in tops:
            p, right = literal_tests(case, rows, (opening, threshold), chances)
            if p < 1:
                candidates.append((p, -threshold, -opening, len(right), sum(right)))
    path, most, soonest = [], 0, 0
    for _, threshold, opening, n_right, waited in sorted(candidates):
        if n_right > most or (n_right == most and waited < soonest):
            path.append((-opening, -threshold))
            most, soonest = n_right, waited
    return path


def literal_precision(case, rows):
    third = len(rows) // 3
    thresholds = [np.inf] * case.horizon
    chances = [chances_of(len(rows), level) for level in (case.alpha, 1 - case.precision)]
    for opening, threshold in literal_path(case, rows[:third], chances):
        p, _ = literal_tests(case, rows[third:], (opening, threshold), chances)
        if p > case.delta:
            break
        thresholds = [threshold if t >= opening else np.inf for t in range(1, case.horizon + 1)]
    return thresholds


# ---------------------------------------------------------------- random calibration sets


@dataclass(frozen=True)
class Case:
    readiness: np.ndarray
    positive: np.ndarray
    lengths: np.ndarray
    alpha: float
    delta: float
    precision: float

    @property
    def horizon(self):
        return self.readiness.shape[1]


def draw_case(rng, most) -> Case:
    """Mixtures of: few and many streams, T = 1, ties, rare events, -inf, short streams."""
    n = int(rng.integers(0, 12) if rng.random() < 0.2 else rng.integers(12, most))
    horizon = int(rng.integers(1, 6))
    dtype = rng.choice([np.float32, np.float64])
    positive = rng.random(n) < rng.choice([0.1, 0.4, 0.7])
    skill = rng.choice([0.0, 0.5, 0.9]) * positive[:, None] * np.linspace(0.3, 1, horizon)
    readiness = skill + rng.beta(1, rng.choice([3, 8]), (n, horizon))
    scale = rng.choice([1.0, 0.02])  # rare events: probabilities crowd near 0
    readiness = np.clip(readiness * scale, 0, 1)
    kind = rng.integers(4)
    if kind == 1:  # heavily tied
        readiness = np.round(readiness / scale * 4) / 4 * scale
    elif kind == 2:  # as signals round it
        readiness = np.rint(readiness * 65536) / 65536
    elif kind == 3:  # many at the very top and the very bottom
        readiness = np.where(rng.random((n, horizon)) < 0.2, rng.integers(0, 2), readiness)
    readiness = readiness.astype(dtype)
    if rng.random() < 0.3:
        readiness[rng.random(readiness.shape) < rng.choice([0.05, 0.9])] = -np.inf
    lengths = np.full(n, horizon)
    if rng.random() < 0.5:
        lengths = rng.integers(1, horizon + 1, n)
        readiness[np.arange(horizon) >= lengths[:, None]] = rng.choice([np.nan, np.inf, 0.99])
    return Case(
        readiness,
        positive,
        lengths,
        alpha=float(rng.choice([0.05, 0.1, 0.3, rng.uniform(0.01, 0.9)])),
        delta=float(rng.choice([0.1, 0.3, 0.5, rng.uniform(0.01, 0.9)])),
        precision=float(rng.choice([0.1, 0.3, 0.5, 0.8])),
    )


def finite_or_none(thresholds):
    return tuple(float(x) if np.isfinite(x) else None for x in thresholds)


@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_of_a_false_alarm_rate_is_the_last_one_accepted(seed):
    rng = np.random.default_rng([2026, seed])
    values = set()
    for _ in range(150):
        case = draw_case(rng, most=40)
        certificate = calibrate_one_sided(
            case.readiness, case.positive, case.lengths, case.alpha, case.delta
        )
        expected = finite_or_none([literal_alpha_only(case)] * case.horizon)
        assert certificate.thresholds == expected
        assert check_one_sided(certificate, case.readiness, case.positive, case.lengths).agrees
        values.add(certificate.thresholds[0])
    assert None in values
    assert len(values) >= 40


@pytest.mark.parametrize("seed", range(4))
def test_the_rule_of_a_precision_is_the_last_one_accepted_on_its_path(seed):
    rng = np.random.default_rng([2027, seed])
    opened, late, raised = 0, 0, set()
    for _ in range(150):
        case = draw_case(rng, most=160)
        shuffle = bool(rng.integers(2))
        rows = np.arange(len(case.lengths))
        if shuffle:
            rows = np.random.default_rng(seed).permutation(len(case.lengths))
        certificate = calibrate_one_sided(
            case.readiness, case.positive, case.lengths, case.alpha, case.delta,
            precision=case.precision, seed=seed, shuffle=shuffle,
        )  # fmt: skip
        assert certificate.thresholds == finite_or_none(literal_precision(case, rows))
        assert certificate.screening_indices == tuple(rows[: len(rows) // 3])
        assert check_one_sided(certificate, case.readiness, case.positive, case.lengths).agrees
        opened += certificate.certifies
        late += certificate.certifies and certificate.thresholds[0] is None
        raised.add(certificate.halted.halted[-1])
    # The comparison says something only where rules are accepted, and not all alike.
    assert opened >= 15
    assert late >= 3
    assert len(raised) >= 12
