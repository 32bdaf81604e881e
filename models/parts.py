"""What every training asks of its streams before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import TrainingError

if TYPE_CHECKING:
    from models.protocol import LabelledStreams


def check_parts(fit: LabelledStreams, tuning: LabelledStreams) -> None:
    """Raise TrainingError unless both parts have streams, and the data at least two classes."""
    for part, name in ((fit, "fitting"), (tuning, "tuning")):
        if not len(part):
            message = f"the {name} part has no streams. Use a larger data set."
            raise TrainingError(message)
    if len(fit.classes) < 2:
        message = f"the data has {len(fit.classes)} class; a classifier needs at least two."
        raise TrainingError(message)
