"""What a stream of measurements is remembered by: a few numbers a channel, however long it is.

Records come at unequal times and most of their values are missing, so an average here weighs a
new value by the time since the channel's last one: after a gap of `tau` hours the new value
counts one half. That weight, ``gap / (gap + tau)``, is one step of the implicit Euler method for
an exponential average. It needs no exponential function: sums, products, quotients and square
roots are rounded alike on every machine and in every batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.protocol import Field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from models.protocol import State

    Float32 = NDArray[np.float32]
    Bools = NDArray[np.bool_]

FAST_H, SLOW_H = np.float32(3), np.float32(12)
"""Gaps in hours after which a new value counts one half in the short and in the long average."""
LEAST_GAP_H = np.float32(0.25)
"""The gap that values count with which come closer together, or at the same time."""
MOST_HOURS = np.float32(87_660)
"""Ten years; a stream's clock stops there."""
MOST_COUNT = 65_535
FARTHEST = np.float32(1e18)
"""Plausible ranges end here, so that no square of a difference is infinite."""
SECONDS_PER_HOUR = 3600.0
PER_CHANNEL = ("last", "read_hour", "fast", "slow", "variance")
NONE, ONE = np.float32(0), np.float32(1)


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """Folds one record into each of n streams.

    Parameters
    ----------
    columns
        Which of a record's channels are remembered, [u].
    ranges
        Least and most plausible value of each of these, float32 [u, 2]. A value outside is read
        as missing and counted in ``implausible``.
    """

    columns: NDArray[np.intp]
    ranges: Float32

    def fields(self) -> Mapping[str, Field]:
        """Return the arrays of a state."""
        u = len(self.columns)
        return {
            "start_s": Field("float64"),
            "hour": Field("float32"),
            "step": Field("int32"),
            "implausible": Field("int32"),
            "busy": Field("float32"),
            "count": Field("uint16", (u,)),
            "read_step": Field("uint16", (u,)),
            **{name: Field("float32", (u,)) for name in PER_CHANNEL},
        }

    def start(self, n: int) -> State:
        """Return the state of n streams that have seen nothing."""
        state: State = {
            name: np.zeros((n, *field.shape), field.dtype) for name, field in self.fields().items()
        }
        state["start_s"] = np.full(n, np.nan)
        return state

    def step(self, state: State, inputs: NDArray[Any]) -> tuple[State, Float32]:
        """Return the state after one record a stream, and how many of its values were refused.

        A record stamped before an earlier one is read as if it came at the same time as that, and
        so is one whose time is not finite: a stream's clock does not run backwards.
        """
        start_s, hour = _clock(state, inputs["time_s"])
        step = state["step"] + np.int32(1)
        values = inputs["values"][:, self.columns]
        seen = (values >= self.ranges[:, 0]) & (values <= self.ranges[:, 1])
        refused = (~np.isnan(values) & ~seen).sum(axis=1, dtype=np.int32)
        idle = hour - state["hour"]
        lately = state["busy"] * (FAST_H / (idle + FAST_H))
        now = np.minimum(step, MOST_COUNT).astype(np.uint16)
        after: State = {
            "start_s": start_s,
            "hour": hour,
            "step": step,
            "implausible": state["implausible"] + refused,
            "busy": lately + seen.sum(axis=1, dtype=np.int32).astype(np.float32),
            "count": state["count"] + (seen & (state["count"] < MOST_COUNT)),
            "read_step": np.where(seen, now[:, np.newaxis], state["read_step"]),
            "last": np.where(seen, values, state["last"]),
            "read_hour": np.where(seen, hour[:, np.newaxis], state["read_hour"]),
            **_averages(state, values, seen, hour),
        }
        return after, refused.astype(np.float32)


def _clock(state: State, time_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], Float32]:
    """Return when each stream began, and the hours from then to its latest record."""
    known = np.where(np.isfinite(time_s), time_s, np.nan)
    start_s = np.where(np.isnan(state["start_s"]), known, state["start_s"])
    with np.errstate(over="ignore"):  # times may lie 1e308 s apart
        since = (known - start_s) / SECONDS_PER_HOUR
    # fmax: a record without a time, or before the stream's first, leaves the clock where it is.
    near = np.clip(since, 0.0, float(MOST_HOURS)).astype(np.float32)
    hour = np.fmax(near, state["hour"])
    return start_s, hour


def _averages(state: State, values: Float32, seen: Bools, hour: Float32) -> State:
    """Return the averages after `values`, [n, u]; where none was `seen` they stay as they are."""
    first = seen & (state["count"] == 0)
    gap = np.maximum(hour[:, np.newaxis] - state["read_hour"], LEAST_GAP_H)
    x = np.where(seen, values, NONE)
    fast = np.where(seen, gap / (gap + FAST_H), NONE)
    slow = np.where(seen, gap / (gap + SLOW_H), NONE)
    fast[first] = slow[first] = ONE
    off = x - state["slow"]
    return {
        "fast": state["fast"] + fast * (x - state["fast"]),
        "slow": state["slow"] + slow * off,
        "variance": (ONE - slow) * (state["variance"] + slow * off * off),
    }
