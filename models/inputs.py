"""What a step is, in each modality, and how many of them are held: one row of an array a step.

========  ==========================================================================
frames    float32 [n, d], finite
text      object [n] of str: one post, turn, word or token a step
vitals    record [n] of `vitals_dtype(d)`: when, and d named measurements, NaN = none
scores    float32 [n, C], rows that sum to 1: what a model outside answers so far
========  ==========================================================================
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Modality = Literal["frames", "text", "vitals", "scores"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)

Inputs = NDArray[Any]
"""Steps of one modality, a row each."""


@cache
def vitals_dtype(n_channels: int) -> np.dtype[Any]:
    """Return the type of one step of vital signs: a time and the measurements taken then.

    `time_s` counts seconds from 1970, UTC; `values` has a place for each channel, NaN where
    nothing was measured.

    >>> vitals_dtype(2).names
    ('time_s', 'values')
    """
    return np.dtype([("time_s", "<f8"), ("values", "<f4", (n_channels,))])


def no_inputs(modality: Modality, width: int) -> Inputs:
    """Return zero steps of a modality with `width` channels.

    >>> no_inputs("frames", 3).shape
    (0, 3)
    """
    if modality == "text":
        return np.empty(0, dtype=object)
    if modality == "vitals":
        return np.empty(0, dtype=vitals_dtype(width))
    return np.empty((0, width), dtype=np.float32)
