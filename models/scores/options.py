"""Options of the pass-through classifier, as they stand under ``[classifier]``."""

from __future__ import annotations

from msgspec import Struct


class PassThroughOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """There is nothing to choose: the model is outside."""
