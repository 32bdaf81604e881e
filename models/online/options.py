"""Options of the online classifier of text, as they stand under ``[classifier]``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class RiverOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """How river's naive Bayes counts, and when a word may become known."""

    alpha: Annotated[float, Meta(gt=0.0, le=100.0)] = 1.0
    """Added to every count (Laplace's rule for 1)."""
    least_streams: Annotated[int, Meta(ge=1, le=1000)] = 3
    """Labelled streams a word must have occurred in before it stands in the model: a name that
    one person wrote is not to be read out of an artefact."""
