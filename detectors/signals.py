"""From the signal's name in a configuration to the signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors.errors import CONFIGURATION, ConfigError
from stopping.signals import registry

if TYPE_CHECKING:
    from detectors.config import RuleConfig
    from models.protocol import Classifier
    from stopping.signals.protocol import Signal

AUTO = "auto"
ALARM = "alarm"
_REGISTERED = {"max_probability": "maximum"}
"""Names of configurations whose signal is registered under another one."""


def resolve(name: str, classifier: Classifier, rule: RuleConfig) -> str:
    """Return the signal that ``auto`` stands for.

    ``alarm`` under a one-sided rule; else ``correctness`` if the classifier gives it.

    Raises
    ------
    ConfigError
        If a one-sided rule is asked for with another signal, or the other way round.
    """
    one_sided = rule.control == "one-sided"
    if name != AUTO:
        if (name == ALARM) != one_sided:
            detail = f"`signal` {name} and `control` {rule.control} do not go together"
            raise ConfigError(CONFIGURATION, detail)
        return name
    if one_sided:
        return ALARM
    return "correctness" if "correctness" in classifier.auxiliary else "max_probability"


def create(name: str, classifier: Classifier, alarm: int | None = None) -> Signal:
    """Return the signal; raises MissingInputError if it reads what `classifier` does not give."""
    registered = _REGISTERED.get(name, name)
    parameters = {} if alarm is None else {"alarm": alarm}
    signal = registry.create(registered, **parameters)
    registry.check_needs(name, signal, classifier.auxiliary)
    return signal


def alarm_class(rule: RuleConfig, classifier: Classifier) -> int | None:
    """Return the class index that a one-sided rule may raise early; None under other rules.

    Raises
    ------
    ConfigError
        If the classifier knows no such label.
    """
    if rule.alarm is None:
        return None
    if rule.alarm not in classifier.classes:
        known = ", ".join(classifier.classes)
        detail = f"`alarm` is {rule.alarm!r}, the labels are {known} - at `$.rule.alarm`"
        raise ConfigError(CONFIGURATION, detail)
    return classifier.classes.index(rule.alarm)
