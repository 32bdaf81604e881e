"""One-sided detectors: from answers to the certificate, and to the numbers of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stopping.metrics.comparison import compare_at_equal_false_alarms
from stopping.metrics.one_sided import report_one_sided
from stopping.onesided import calibrate_one_sided

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from detectors.scoring import Scored, StreamSet
    from stopping.certificate import Certificate

SECONDS_AN_HOUR = 3600.0


class OneSidedRule(Protocol):
    """What a one-sided rule's configuration says; `detectors.config.RuleConfig` does."""

    @property
    def alpha(self) -> float:
        """Largest share of negatives raised."""
        ...

    @property
    def delta(self) -> float:
        """1 - confidence."""
        ...

    @property
    def precision(self) -> float | None:
        """Least share of positives among those raised by any step; None = not promised."""
        ...

    @property
    def mode(self) -> str:
        """Procedure of the calibration."""
        ...


def calibrate(
    scored: Scored,
    labels: NDArray[np.int64],
    rule: OneSidedRule,
    alarm_index: int,
    seed: int,
) -> Certificate:
    """Return the thresholds that keep `rule`, with the evidence for them.

    Parameters
    ----------
    scored
        Answers to streams that nothing was learned from, every one followed to its end; readiness
        is the probability of the alarm label.
    labels
        True class of each, [n].
    alarm_index
        Class index of the alarm label.
    seed
        Of the division into screening and testing part (precision).
    """
    return calibrate_one_sided(
        scored.readiness, labels == alarm_index, scored.length, rule.alpha, rule.delta,
        precision=rule.precision, mode=rule.mode, seed=seed,
    )  # fmt: skip


def evaluation_one_sided(
    scored: Scored,
    streams: StreamSet,
    alarm_index: int,
    *,
    thresholds: ArrayLike | None = None,
    refractory_h: float = 0.5,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what raising did on `streams`, as JSON values.

    The numbers of `stopping.metrics.one_sided.OneSidedReport`, with ``lead_time_unit``: hours
    since the stream's first step where the times of the steps are known, else steps. A stream's
    event is its first step whose own label is the alarm, where step labels are known.

    Parameters
    ----------
    scored, streams
        Answers, and the streams they answer, in the same order.
    alarm_index
        Class index of the alarm label.
    thresholds : [T], optional
        The detector's; with them the alarms are told that would sound again after a silence.
    refractory_h
        That silence, hours.
    seed
        Of the bootstrap.
    """
    raised_step = np.where(scored.label == alarm_index, scored.halt_step, 0)
    above = None
    if thresholds is not None:
        with np.errstate(invalid="ignore"):
            above = scored.readiness >= np.asarray(thresholds)
        above &= np.arange(above.shape[1]) < scored.length[:, None]
    clock_known = streams.times_s is not None
    report = report_one_sided(
        raised_step,
        streams.labels == alarm_index,
        scored.length,
        event_steps(streams, alarm_index),
        hours=elapsed_hours(streams) if clock_known else 1.0,
        subjects=streams.subjects,
        above=above,
        refractory_h=refractory_h,
        seed=seed,
    )
    numbers = report.to_json() | {"lead_time_unit": "hours" if clock_known else "steps"}
    if not clock_known:  # a stream-day is not known either
        numbers |= {
            "false_alarms_per_stream_day": None,
            "false_alarms_per_stream_day_interval": None,
            "repeated_alarms": None,
        }
    return numbers


def event_steps(streams: StreamSet, alarm_index: int) -> NDArray[np.int64]:
    """Return the first step, from 1, whose label is the alarm, [n]; 0 = none, or not known."""
    n = len(streams)
    if streams.step_labels is None:
        return np.zeros(n, np.int64)
    rows = np.flatnonzero(streams.step_labels == alarm_index)
    stream = np.searchsorted(streams.offsets, rows, side="right") - 1
    first = np.zeros(n, np.int64)
    # Backwards, so that the earliest row of a stream is written last.
    first[stream[::-1]] = (rows - streams.offsets[stream] + 1)[::-1]
    return first


def elapsed_hours(streams: StreamSet) -> NDArray[np.float64]:
    """Return the hours from each stream's first step to every step, [n, longest]; NaN past it."""
    if streams.times_s is None:
        return np.ones((len(streams), 0))
    lengths = streams.lengths
    hours = np.full((len(streams), int(lengths.max(initial=0))), np.nan)
    row = np.repeat(np.arange(len(streams)), lengths)
    since = streams.times_s - np.repeat(streams.times_s[streams.offsets[:-1]], lengths)
    hours[row, np.arange(len(row)) - np.repeat(streams.offsets[:-1], lengths)] = since
    return hours / SECONDS_AN_HOUR


def against(
    scored: Scored, other: Scored, streams: StreamSet, alarm_index: int, *, seed: int = 0
) -> dict[str, Any]:
    """Return how another one-sided detector does on the same streams at as many false alarms.

    JSON values, those of `stopping.metrics.comparison.Comparison`; empty where the streams are all
    positive, or all negative.
    """
    found = compare_at_equal_false_alarms(
        scored.label == alarm_index, other.readiness, streams.labels == alarm_index, other.length,
        subjects=streams.subjects, seed=seed,
    )  # fmt: skip
    return {} if found is None else found.to_json()
