"""Signals by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from stopping.errors import MissingInputError, SignalParameterError, UnknownSignalError
from stopping.signals.alarm import Alarm
from stopping.signals.correctness import Correctness
from stopping.signals.maximum import MaximumProbability

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from stopping.signals.protocol import Signal

SIGNALS: Mapping[str, Callable[..., Signal]] = MappingProxyType(
    {
        "alarm": Alarm,
        "correctness": Correctness,
        "maximum": MaximumProbability,
    }
)
"""Name -> factory, which takes the signal's parameters by keyword. One line a signal."""


def create(name: str, **parameters: object) -> Signal:
    """Return the signal of that name; a parameter that is None counts as not given.

    The signal ``alarm`` needs `alarm`, the class index of the alarm label.

    Raises
    ------
    UnknownSignalError, SignalParameterError

    Examples
    --------
    >>> sorted(create("maximum").needs)
    ['probs']
    >>> create("alarm", alarm=1).bounds
    (0.0, 1.0)
    """
    given = {key: value for key, value in parameters.items() if value is not None}
    if name not in SIGNALS:
        raise UnknownSignalError(name, SIGNALS)
    try:
        return SIGNALS[name](**given)
    except (TypeError, ValueError) as error:
        raise SignalParameterError(name, given, str(error)) from error


def check_needs(name: str, signal: Signal, auxiliary: Collection[str]) -> None:
    """Refuse a signal that reads what a classifier with these auxiliary outputs does not give.

    Raises
    ------
    MissingInputError
    """
    offered = {"probs", *(f"aux:{output}" for output in auxiliary)}
    if missing := signal.needs - offered:
        raise MissingInputError(name, missing, offered)
