"""Texts: whatever a person wrote is a step, the empty string too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.inputs import Inputs
    from streams.records import Event, Rejected


def stack_texts(
    events: Sequence[Event],
) -> tuple[Inputs, NDArray[np.intp], dict[int, Rejected]]:
    """Return the texts of the events; see `streams.inputs.stack.stack`.

    >>> from streams.records import Event
    >>> texts, n_steps, _ = stack_texts([Event("a", text="hi"), Event("a", end=True)])
    >>> texts.tolist(), n_steps.tolist()
    (['hi'], [1, 0])
    """
    texts = [event.text for event in events if event.text is not None]
    n_steps = np.fromiter((event.text is not None for event in events), np.intp, len(events))
    inputs = np.empty(len(texts), dtype=object)
    inputs[:] = texts
    return inputs, n_steps, {}
