"""The arrays that calibration reads, checked once on the way in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stopping.errors import LabelError, LevelError, ReadinessError, ShapeError

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a set of finished streams looked like at every step; build it with `checked`."""

    readiness: FloatArray
    """[n, T], float32 or float64; -inf = not eligible at this step."""
    loss: BoolArray
    """[n, T]: is there a loss if the stream halts at this step."""
    lengths: IntArray
    """[n], each in 1..T; what stands past a stream's length is never read."""

    @property
    def n(self) -> int:
        """Number of streams."""
        return len(self.lengths)

    @property
    def horizon(self) -> int:
        """T, the most steps a stream can have."""
        return int(self.readiness.shape[1])

    def rows(self, rows: IntArray) -> Scores:
        """Return the given streams only, in the given order."""
        return Scores(self.readiness[rows], self.loss[rows], self.lengths[rows])


def checked(
    readiness: ArrayLike,
    loss: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    unit_interval: bool = False,
) -> Scores:
    """Return the three arrays as `Scores`, or say what is wrong with them.

    Parameters
    ----------
    readiness : [n, T] float32 or float64
        NaN only past a stream's length.
    loss : [n, T] bool
        Loss of halting at each step; ignored past a stream's length.
    lengths : [n] int, optional
        Steps of each stream; T for all if left out.
    unit_interval
        Refuse readiness outside [0, 1] too (-inf stays allowed), as a grid of thresholds that was
        fixed on [0, 1] wants it.

    Raises
    ------
    ShapeError, ReadinessError
    """
    readiness, loss = check_matrix("readiness", readiness), np.asarray(loss)
    if loss.shape != readiness.shape or loss.dtype != np.bool_:
        raise ShapeError("loss", _kind(loss), f"bool {list(readiness.shape)}, as readiness")
    steps = check_lengths(lengths, *readiness.shape)
    check_readiness(readiness, steps, unit_interval=unit_interval)
    return Scores(readiness, loss, steps)


def check_matrix(name: str, values: ArrayLike) -> FloatArray:
    """Return `values` if they are float32 or float64 [n, T] with T of at least 1."""
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] < 1 or not _is_float(array):
        raise ShapeError(name, _kind(array), "float32 or float64 [n, T] with T >= 1")
    return array


def check_lengths(lengths: ArrayLike | None, n: int, horizon: int) -> IntArray:
    """Return `lengths` as int64 [n]; `horizon` for every stream where they are left out."""
    if lengths is None:
        return np.full(n, horizon, np.int64)
    steps = check_integers("lengths", lengths, (n,))
    if steps.size and not (steps.min() >= 1 and steps.max() <= horizon):
        got = f"between {steps.min()} and {steps.max()}"
        raise ShapeError("lengths", got, f"between 1 and {horizon}, the steps that readiness has")
    return steps


def check_integers(name: str, values: ArrayLike, shape: tuple[int, ...]) -> IntArray:
    """Return `values` as int64 of the given shape; floats are refused, not rounded."""
    array = np.asarray(values)
    if array.shape != shape or array.dtype.kind not in "iub":
        raise ShapeError(name, _kind(array), f"integers {list(shape)}")
    return array.astype(np.int64)


def check_classes(
    predicted: ArrayLike, label: ArrayLike, lengths: ArrayLike | None
) -> tuple[IntArray, IntArray, IntArray]:
    """Return predicted [n, T], label [n] and lengths [n] as int64.

    Class indices are 0 or above; `predicted` may hold anything past a stream's length.

    Raises
    ------
    ShapeError, LabelError
    """
    array = np.asarray(predicted)
    if array.ndim != 2 or array.shape[1] < 1:
        raise ShapeError("predicted", _kind(array), "integers [n, T] with T >= 1")
    classes = check_integers("predicted", array, array.shape)
    truth = check_integers("label", label, array.shape[:1])
    steps = check_lengths(lengths, *array.shape)
    seen = np.where(inside(steps, array.shape[1]), classes, 0)
    for name, values in (("label", truth), ("predicted", seen.min(axis=1))):
        for stream in np.flatnonzero(values < 0)[:1]:
            raise LabelError(name, int(values[stream]), int(stream))
    return classes, truth, steps


def check_readiness(readiness: FloatArray, lengths: IntArray, *, unit_interval: bool) -> None:
    """Raise ReadinessError at the first value inside a stream that cannot be used."""
    within = inside(lengths, readiness.shape[1])
    with np.errstate(invalid="ignore"):
        unusable = within & (np.isnan(readiness) | (readiness == np.inf))
        outside = within & (readiness != -np.inf) & ((readiness < 0) | (readiness > 1))
    _refuse_any(
        unusable,
        readiness,
        "inside a stream it must be a number, or -inf where the step is not eligible; "
        "NaN may stand only past the stream's length.",
    )
    if unit_interval:
        _refuse_any(
            outside,
            readiness,
            "the reference mode has thresholds from 0 to 1 and needs readiness in [0, 1] "
            "(or -inf); use a signal bounded so, or map it there before calibration.",
        )


def check_level(name: str, value: float) -> float:
    """Return `value` if it can be a level, strictly between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating):
        raise LevelError(name, value)
    if not (math.isfinite(value) and 0 < value < 1):
        raise LevelError(name, value)
    return float(value)


def finite_or_none(values: FloatArray) -> tuple[float | None, ...]:
    """Return `values` as floats, None for those that are not finite; JSON has no infinity.

    >>> finite_or_none(np.array([0.5, np.inf, np.nan]))
    (0.5, None, None)
    """
    return tuple(float(x) if math.isfinite(x) else None for x in values)


def inside(lengths: IntArray, horizon: int) -> BoolArray:
    """Say which of [n, T] steps exist.

    >>> inside(np.array([1, 3]), 3).tolist()
    [[True, False, False], [True, True, True]]
    """
    within: BoolArray = np.arange(horizon) < lengths[:, None]
    return within


def _refuse_any(bad: BoolArray, readiness: FloatArray, wanted: str) -> None:
    count = int(bad.sum())
    if count:
        stream, column = (int(k) for k in np.unravel_index(int(bad.argmax()), bad.shape))
        raise ReadinessError(float(readiness[stream, column]), stream, column + 1, count, wanted)


def _is_float(array: NDArray[Any]) -> bool:
    return array.dtype in (np.dtype(np.float32), np.dtype(np.float64))


def _kind(array: NDArray[Any]) -> str:
    return f"{array.dtype} {list(array.shape)}"
