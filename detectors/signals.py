"""From the signal's name in a configuration to the signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stopping.signals import registry

if TYPE_CHECKING:
    from models.protocol import Classifier
    from stopping.signals.protocol import Signal

AUTO = "auto"
_REGISTERED = {"max_probability": "maximum"}
"""Names of configurations whose signal is registered under another one."""


def resolve(name: str, classifier: Classifier) -> str:
    """Return the signal that ``auto`` stands for: ``correctness`` if the classifier gives it."""
    if name != AUTO:
        return name
    return "correctness" if "correctness" in classifier.auxiliary else "max_probability"


def create(name: str, classifier: Classifier) -> Signal:
    """Return the signal; raises MissingInputError if it reads what `classifier` does not give."""
    registered = _REGISTERED.get(name, name)
    signal = registry.create(registered)
    registry.check_needs(name, signal, classifier.auxiliary)
    return signal
