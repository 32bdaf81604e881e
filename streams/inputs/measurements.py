"""Measurements by name, with gaps: into columns, each record with its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.inputs import vitals_dtype
from streams.inputs.frames import LARGEST
from streams.records import Reason, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from models.inputs import Inputs
    from streams.records import Event

    Ranges = Mapping[str, tuple[float, float]]


def stack_measurements(
    events: Sequence[Event], channels: Sequence[str]
) -> tuple[Inputs, NDArray[np.intp], dict[int, Rejected]]:
    """Return the measurements of the events; see `streams.inputs.stack.stack`.

    A channel that is not named, or null, was not measured. A record with a name that the detector
    does not know is refused: a misspelt channel would silently be a gap.

    >>> from datetime import UTC, datetime
    >>> from streams.records import Event
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> rows, _, why = stack_measurements(
    ...     [Event("a", time=at, measurements={"HR": 80}), Event("a", measurements={"HR": 80})],
    ...     ["HR", "Temp"],
    ... )
    >>> rows["values"].tolist(), why[1].reason
    ([[80.0, nan]], <Reason.NO_TIME: 'no_time'>)
    """
    place = {name: at for at, name in enumerate(channels)}
    rejected = {i: why for i, event in enumerate(events) if (why := _fault(event, place))}
    kept = [event for i, event in enumerate(events) if i not in rejected]
    n_steps = np.fromiter((bool(event.measurements) for event in kept), np.intp, len(kept))
    inputs = np.empty(int(n_steps.sum()), dtype=vitals_dtype(len(channels)))
    values = np.full((len(inputs), len(channels)), np.nan, dtype=np.float32)
    rows: list[int] = []
    columns: list[int] = []
    found: list[float] = []
    times: list[float] = []
    for event in kept:
        if event.measurements and event.time is not None:
            named = [(place[k], v) for k, v in event.measurements.items() if v is not None]
            rows += [len(times)] * len(named)
            columns += [column for column, _ in named]
            found += [value for _, value in named]
            times.append(event.time.timestamp())
    values[rows, columns] = found
    inputs["time_s"], inputs["values"] = times, values
    return inputs, n_steps, rejected


def unbelievable(inputs: Inputs, channels: Sequence[str], ranges: Ranges) -> dict[int, Rejected]:
    """Return, by step, what is outside of the range in which its channel can be believed.

    Such a value is read as a gap by the classifier, and its record is used: so this is a remark
    about a record, with the name of its first such channel and never the value.

    >>> steps = np.zeros(1, vitals_dtype(2))
    >>> steps["values"] = [[80.0, 98.6]]
    >>> unbelievable(steps, ["HR", "Temp"], {"Temp": (20.0, 45.0)})[0].detail
    'Temp is not between 20 and 45 and was left out: another unit, or a typing error'
    """
    names = [name for name in channels if name in ranges]
    columns = [channels.index(name) for name in names]
    low, high = (np.array([ranges[name][end] for name in names], np.float64) for end in (0, 1))
    values = inputs["values"][:, columns]
    with np.errstate(invalid="ignore"):
        outside = (values < low) | (values > high)
    remarks = {}
    for step in np.flatnonzero(outside.any(axis=1)).tolist():
        name = names[int(outside[step].argmax())]
        believed = f"between {ranges[name][0]:g} and {ranges[name][1]:g}"
        detail = f"{name} is not {believed} and was left out: another unit, or a typing error"
        remarks[step] = Rejected(Reason.OUT_OF_RANGE, detail)
    return remarks


def _fault(event: Event, place: Mapping[str, int]) -> Rejected | None:
    measurements = event.measurements
    if not measurements:
        return None
    if event.time is None:
        return Rejected(Reason.NO_TIME, "measurements need the time they were taken at")
    unknown = len(measurements.keys() - place.keys())
    if unknown:
        detail = f"{unknown} of {len(measurements)} channels are not known; known: "
        return Rejected(Reason.UNKNOWN_CHANNEL, detail + ", ".join(place))
    for name, value in measurements.items():
        if value is not None and not abs(value) <= LARGEST:
            return Rejected(Reason.NOT_FINITE, f"{name} is beyond single precision")
    return None
