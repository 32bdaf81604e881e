"""The steps of a batch's records, for a classifier of any modality."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.inputs import Inputs
from streams.inputs.frames import stack_frames
from streams.inputs.measurements import stack_measurements, unbelievable
from streams.inputs.scores import stack_scores
from streams.inputs.texts import stack_texts
from streams.records import Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.protocol import Classifier
    from streams.records import Event


class Stacked(NamedTuple):
    """The steps of the usable records, and what is to be said of records."""

    inputs: Inputs
    """Steps as `models.inputs` holds them, [sum of steps over the usable events]."""
    n_steps: NDArray[np.intp]
    """Steps of each usable event; 0 for a bare end marker."""
    rejected: dict[int, Rejected]
    """Why an event is not usable, by position in the events; it is used whole or not at all."""
    remarks: dict[int, Rejected]
    """What was left out of a usable event, by position in the events."""


def stack(classifier: Classifier, events: Sequence[Event]) -> Stacked:
    """Return the steps of all usable events, one below the other, and the unusable events.

    Parameters
    ----------
    classifier
        Whoever reads them: its modality and channels say what a step must hold.
    events
        Decoded records, each of the classifier's modality or a bare end marker.

    """
    if classifier.modality == "text":
        return Stacked(*stack_texts(events), {})
    if classifier.modality == "vitals":
        return _measured(classifier, events)
    if classifier.modality == "scores":
        return Stacked(*stack_scores(events, classifier.classes), {})
    return Stacked(*stack_frames(events, len(classifier.channels)), {})


def _measured(classifier: Classifier, events: Sequence[Event]) -> Stacked:
    inputs, n_steps, rejected = stack_measurements(events, classifier.channels)
    ranges = getattr(classifier, "ranges", {})
    found = unbelievable(inputs, classifier.channels, ranges) if ranges else {}
    if not found:
        return Stacked(inputs, n_steps, rejected, {})
    used = np.array([at for at in range(len(events)) if at not in rejected])
    event_of = np.repeat(used, n_steps)
    return Stacked(
        inputs, n_steps, rejected, {int(event_of[at]): why for at, why in found.items()}
    )
