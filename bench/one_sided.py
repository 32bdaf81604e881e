"""What one-sided calibration gives away to chance, and how fast it is.

``python -m bench.one_sided`` prints three tables in Markdown: false alarms allowed by the number
of negatives; rate, sensitivity and precision reached on a made-up population (6 % positive, whose
signs grow with time), mean and standard deviation over many calibration draws; processor
seconds. About a minute on two cores.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from stopping.onesided import calibrate_one_sided
from stopping.pvalues import critical_counts, streams_needed
from stopping.raising import raise_steps

ALPHA, DELTA, LEVEL, HORIZON, PREVALENCE = 0.1, 0.05, 0.3, 24, 0.06
DRAWS, POPULATION = 100, 40_000


def made_up(rng: np.random.Generator, n: int) -> tuple[Any, Any, Any]:
    """Return readiness [n, T], positive [n] and lengths [n] of made-up streams."""
    positive = rng.random(n) < PREVALENCE
    elapsed = np.linspace(0, 1, HORIZON)
    risk = rng.normal(0, 0.5, (n, 1)) + rng.normal(0, 0.5, (n, HORIZON)).cumsum(axis=1) / 4
    risk = risk + positive[:, None] * 2.5 * elapsed - 3.5
    readiness = np.rint(65536 / (1 + np.exp(-risk))) / 65536
    return readiness, positive, rng.integers(6, HORIZON + 1, n)


def print_allowed() -> None:
    """Print the share of false alarms that is accepted, by alpha and number of negatives."""
    sizes = (100, 300, 1000, 3000, 10_000)
    print(f"| alpha, delta = {DELTA} | none allowed from | " + " | ".join(map(str, sizes)) + " |")
    print("| --- | --- |" + " --- |" * len(sizes))
    for alpha in (0.2, 0.1, 0.05, 0.01):
        counts = critical_counts(max(sizes), alpha, DELTA)
        shares = [f"{counts[n] / n:.4f}" if counts[n] >= 0 else "-" for n in sizes]
        print(f"| {alpha} | {streams_needed(alpha, DELTA)} | " + " | ".join(shares) + " |")


def print_power() -> None:
    """Print means over calibration draws of what the rules do in the population."""
    rng = np.random.default_rng(1)
    population = made_up(rng, POPULATION)
    columns = ["streams", "promise", "raises at all", "false alarms", "sensitivity", "precision"]
    print(f"| {' | '.join(columns)} |")
    print("| --- | --- | --- | --- | --- | --- |")
    for n in (500, 1000, 2000, 4000, 8000):
        for name, level in (("rate", None), (f"rate and precision {LEVEL}", LEVEL)):
            found = np.array([_draw(rng, population, n, level) for _ in range(DRAWS)])
            raises = found[:, 1] > 0
            means = [f"{np.nanmean(x):.3f} ± {np.nanstd(x):.3f}" for x in found.T]
            print(f"| {n} | {name} | {raises.mean():.2f} | " + " | ".join(means) + " |")


def _draw(
    rng: np.random.Generator, population: tuple[Any, Any, Any], n: int, level: float | None
) -> list[float]:
    readiness, positive, lengths = population
    rows = rng.integers(0, len(lengths), n)
    certificate = calibrate_one_sided(
        readiness[rows], positive[rows], lengths[rows], ALPHA, DELTA, precision=level
    )
    raised = raise_steps(readiness, certificate.threshold_array(), lengths) > 0
    precision = positive[raised].mean() if raised.any() else np.nan
    return [raised[~positive].mean(), raised[positive].mean(), precision]


def print_seconds() -> None:
    """Print the median processor time of five calibrations."""
    print("| streams x steps | rate | rate and precision |")
    print("| --- | --- | --- |")
    for n in (4000, 40_000):
        streams = made_up(np.random.default_rng(2), n)
        seconds = [f"{_median_seconds(streams, level):.3f} s" for level in (None, LEVEL)]
        print(f"| {n} x {HORIZON} | {' | '.join(seconds)} |")


def _median_seconds(streams: tuple[Any, Any, Any], level: float | None) -> float:
    taken = []
    for _ in range(5):
        began = time.process_time()
        calibrate_one_sided(*streams, ALPHA, DELTA, precision=level)
        taken.append(time.process_time() - began)
    return float(np.median(taken))


def main() -> None:
    """Print the tables."""
    for table in (print_allowed, print_power, print_seconds):
        table()
        print()


if __name__ == "__main__":
    main()
