"""What a one-sided rule did on labelled streams: the numbers printed beside its promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stopping.errors import ShapeError
from stopping.metrics.alarms import onsets
from stopping.metrics.bootstrap import bootstrap_interval, ratio
from stopping.metrics.lead_time import LeadTime, lead_time
from stopping.metrics.proportions import Share
from stopping.raising import check_raise_steps
from stopping.scores import BoolArray, FloatArray, IntArray, check_integers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

HOURS_A_DAY = 24.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A number and its interval; both None where there is nothing to measure."""

    value: float | None
    interval: list[float] | None


@dataclass(frozen=True, slots=True)
class OneSidedReport:
    """Evaluation of a one-sided rule on n labelled streams."""

    n: int
    n_positive: int
    n_raised: int
    n_false_alarms: int
    intervals: Literal["exact", "by subject"]
    """Of the shares: exact where every stream has a subject of its own, else bootstrap."""
    sensitivity: Measured
    """Share of the positives that were raised, before their event or after it."""
    precision: Measured
    """Share of positives among the raised."""
    false_alarm_rate: Measured
    """Share of the negatives that were raised."""
    raised_by_event: Measured
    """Share raised at their event's step or before, of the positives whose event is known."""
    lead_time_h: LeadTime
    false_alarms_per_stream_day: Measured
    """Negatives raised, per day that a stream was watched: until it was raised or ended."""
    repeated: Measured | None
    """The same if a stream were watched to its end and alarmed again after each silence."""
    refractory_h: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values, each with its interval."""
        numbers: dict[str, Any] = {
            "n": self.n,
            "n_negative": self.n - self.n_positive,
            "n_positive": self.n_positive,
            "n_raised": self.n_raised,
            "n_false_alarms": self.n_false_alarms,
            "intervals": self.intervals,
            "lead_time_h": self.lead_time_h.to_json(),
            "repeated_alarms": None,
        }
        for name in (
            "sensitivity",
            "precision",
            "false_alarm_rate",
            "raised_by_event",
            "false_alarms_per_stream_day",
        ):
            measured: Measured = getattr(self, name)
            numbers |= {name: measured.value, f"{name}_interval": measured.interval}
        if self.repeated is not None:
            numbers["repeated_alarms"] = {
                "refractory_h": self.refractory_h,
                "false_alarms_per_stream_day": self.repeated.value,
                "false_alarms_per_stream_day_interval": self.repeated.interval,
            }
        return numbers


def report_one_sided(
    raised_step: ArrayLike,
    positive: ArrayLike,
    lengths: ArrayLike,
    event_step: ArrayLike | None = None,
    *,
    hours: float | ArrayLike = 1.0,
    subjects: ArrayLike | None = None,
    above: ArrayLike | None = None,
    refractory_h: float = 0.5,
    seed: int = 0,
) -> OneSidedReport:
    """Return what raising at `raised_step` gave and cost.

    Parameters
    ----------
    raised_step : [n] int
        Step, from 1, at which each stream was raised; 0 = never.
    positive : [n] bool
    lengths : [n] int
        Steps of each stream, at least 1.
    event_step : [n] int, optional
        Step of the event that the alarm is about, also beyond the stream's length; 0 = not known.
    hours : float or [n, H]
        Hours a step stands for; or hours from the stream's beginning to each step, with columns
        for all steps above.
    subjects : [n] int, optional
        Whose stream it is; every stream its own subject if left out. Intervals are by subject.
    above : [n, T] bool, optional
        Where the readiness reaches its threshold, for the alarms that would sound again.
    refractory_h
        Silence after each of these, hours.
    seed
        Of the bootstrap.

    Raises
    ------
    ShapeError

    Examples
    --------
    >>> report = report_one_sided([2, 0, 3, 0], [1, 1, 0, 0], [4, 4, 4, 4], [4, 3, 0, 0], hours=6)
    >>> report.sensitivity.value, report.precision.value, report.false_alarms_per_stream_day.value
    (0.5, 0.5, 0.3076923076923077)
    >>> report.lead_time_h.median, report.lead_time_h.n_missed
    (12.0, 1)
    """
    ends = check_integers("lengths", lengths, np.asarray(lengths).shape[:1])
    raised_at = check_raise_steps(raised_step, ends)
    truth = check_integers("positive", positive, ends.shape) == 1
    events = np.zeros_like(ends) if event_step is None else event_step
    event_at = check_integers("event_step", events, ends.shape)
    whose = np.arange(len(ends)) if subjects is None else subjects
    streams = _Streams(
        truth,
        raised_at > 0,
        np.where(truth, event_at, 0),
        check_integers("subjects", whose, ends.shape),
        seed,
    )
    times = _Times(hours, len(ends))
    raised_h, event_h = times.at(raised_at), times.at(streams.event_at)
    watched_days = times.at(np.where(streams.raised, raised_at, ends)) / HOURS_A_DAY
    known = streams.event_at > 0
    repeated = None
    if above is not None:
        repeated = _repeated(streams, np.asarray(above, np.bool_), times, ends, refractory_h)
    return OneSidedReport(
        n=len(ends),
        n_positive=int(truth.sum()),
        n_raised=int(streams.raised.sum()),
        n_false_alarms=int((streams.raised & ~truth).sum()),
        intervals="exact" if streams.independent else "by subject",
        sensitivity=streams.share(streams.raised, truth),
        precision=streams.share(truth, streams.raised),
        false_alarm_rate=streams.share(streams.raised, ~truth),
        raised_by_event=streams.share(streams.raised & (raised_at <= streams.event_at), known),
        lead_time_h=lead_time(raised_h, event_h, streams.subjects, seed=seed),
        false_alarms_per_stream_day=streams.rate(streams.raised & ~truth, watched_days),
        repeated=repeated,
        refractory_h=None if above is None else refractory_h,
    )


@dataclass(frozen=True, slots=True)
class _Streams:
    positive: BoolArray
    raised: BoolArray
    event_at: IntArray
    """Step of a positive's event; 0 = none, or not known."""
    subjects: IntArray
    seed: int

    @property
    def independent(self) -> bool:
        return len(np.unique(self.subjects)) == len(self.subjects)

    def share(self, such: BoolArray, among: BoolArray) -> Measured:
        """Return the share of `such` streams `among` some, both [n]."""
        share = Share(int((such & among).sum()), int(among.sum()))
        if not share.n:
            return Measured(None, None)
        if self.independent:
            return Measured(share.value, share.interval)
        return Measured(share.value, self.rate(such & among, among.astype(np.float64)).interval)

    def rate(self, such: BoolArray | IntArray, exposure: FloatArray) -> Measured:
        """Return how many of `such` there are for each unit of `exposure`, both [n]."""
        total = float(exposure.sum())
        if not total > 0:
            return Measured(None, None)
        counted = such.astype(np.float64)
        interval = bootstrap_interval(ratio(counted, exposure), self.subjects, seed=self.seed)
        return Measured(float(counted.sum()) / total, interval)


class _Times:
    """When steps are, in hours from the stream's beginning."""

    def __init__(self, hours: float | ArrayLike, n: int) -> None:
        self._hours = np.asarray(hours, np.float64)
        if self._hours.ndim and (self._hours.ndim != 2 or len(self._hours) != n):
            raise ShapeError("hours", f"{list(self._hours.shape)}", f"one number or [{n}, H]")

    def at(self, steps: IntArray) -> FloatArray:
        """Return the time of each stream's own step, [n]; NaN for step 0."""
        if not self._hours.ndim:
            return np.where(steps > 0, steps * self._hours, np.nan)
        if steps.size and steps.max() > self._hours.shape[1]:
            wanted = f"as many columns as the latest step, {steps.max()}"
            raise ShapeError("hours", f"{list(self._hours.shape)}", wanted)
        rows = np.arange(len(steps))
        return np.where(steps > 0, self._hours[rows, np.maximum(steps, 1) - 1], np.nan)

    def matrix(self, n: int, horizon: int) -> FloatArray:
        """Return the times of the first steps, [n, horizon]."""
        if self._hours.ndim:
            return self._hours[:, :horizon]
        return np.tile(np.arange(1, horizon + 1) * self._hours, (n, 1))


def _repeated(
    streams: _Streams, above: BoolArray, times: _Times, lengths: IntArray, refractory_h: float
) -> Measured:
    sounded = onsets(above, times.matrix(*above.shape), refractory_h).sum(axis=1)
    false_alarms = np.where(streams.positive, 0, sounded)
    return streams.rate(false_alarms, times.at(lengths) / HOURS_A_DAY)
