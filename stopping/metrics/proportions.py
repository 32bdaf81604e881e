"""Shares with the interval that goes with them."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import beta

CONFIDENCE = 0.95
"""Of all intervals of this package."""


@dataclass(frozen=True, slots=True)
class Share:
    """k of n.

    >>> Share(0, 10).value, [round(x, 4) for x in Share(0, 10).interval]
    (0.0, [0.0, 0.3085])
    >>> Share(0, 0).value is None
    True
    """

    k: int
    n: int

    @property
    def value(self) -> float | None:
        """Return k / n; None where there is nothing to count."""
        return self.k / self.n if self.n else None

    @property
    def interval(self) -> list[float]:
        """Return the exact (Clopper-Pearson) interval, for n independent draws."""
        tail = (1 - CONFIDENCE) / 2
        low = float(beta.ppf(tail, self.k, self.n - self.k + 1)) if self.k else 0.0
        high = float(beta.ppf(1 - tail, self.k + 1, self.n - self.k)) if self.k < self.n else 1.0
        return [low, high]
