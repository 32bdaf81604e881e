"""Choices that more than one command offers."""

from __future__ import annotations

from enum import StrEnum


class Control(StrEnum):
    """What the promise is about."""

    MARGINAL = "marginal"
    CONDITIONAL = "conditional"
    ONE_SIDED = "one-sided"


class Mode(StrEnum):
    """Which procedure calibrates."""

    REFERENCE = "reference"
    IMPROVED = "improved"
