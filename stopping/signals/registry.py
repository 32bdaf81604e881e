"""Signals by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from stopping.errors import MissingInputError, SignalParameterError, UnknownSignalError
from stopping.signals.correctness import Correctness
from stopping.signals.maximum import MaximumProbability

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from stopping.signals.protocol import Signal

SIGNALS: Mapping[str, Callable[..., Signal]] = MappingProxyType(
    {
        "correctness": Correctness,
        "maximum": MaximumProbability,
    }
)
"""Name -> factory, which takes the signal's parameters by keyword. One line a signal."""


def create(name: str, **parameters: object) -> Signal:
    """Return the signal of that name.

    Raises
    ------
    UnknownSignalError, SignalParameterError

    Examples
    --------
    >>> sorted(create("maximum").needs)
    ['probs']
    """
    if name not in SIGNALS:
        raise UnknownSignalError(name, SIGNALS)
    try:
        return SIGNALS[name](**parameters)
    except TypeError as error:
        raise SignalParameterError(name, parameters, str(error)) from error


def check_needs(name: str, signal: Signal, auxiliary: Collection[str]) -> None:
    """Refuse a signal that reads what a classifier with these auxiliary outputs does not give.

    Raises
    ------
    MissingInputError
    """
    offered = {"probs", *(f"aux:{output}" for output in auxiliary)}
    if missing := signal.needs - offered:
        raise MissingInputError(name, missing, offered)
