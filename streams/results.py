"""What the engine takes and gives: streams in, what a batch changed out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.rounds import Index

if TYPE_CHECKING:
    from store.rows import NewDecision, NewOutcome
    from streams.state import Rows


class Scored(NamedTuple):
    """What one round scored, for whoever watches (calibration, evaluation)."""

    row: Index
    step: Index
    predicted: Index
    probability: NDArray[np.float32]
    readiness: NDArray[np.float64]


Watch = Callable[[Scored], None]


@dataclass(frozen=True)
class Streams:
    """The streams that a batch touches, all under one detector version."""

    stream_ids: Sequence[str]
    episodes: Sequence[str]
    """`event_id` of each episode's first record; empty where none was opened yet."""
    rows: Rows


@dataclass(frozen=True)
class Result:
    """What a batch changed."""

    streams: Streams
    decisions: list[tuple[int, NewDecision]] = field(default_factory=list)
    """With the row of the stream."""
    outcomes: list[tuple[int, NewOutcome]] = field(default_factory=list)
    late: dict[int, float] = field(default_factory=dict)
    """Records refused as older than what was scored already, and by how many seconds."""
    left: Index = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    """Records not applied, for their stream had ended; see `Engine.process`."""
    n_repeats: int = 0
    """Records skipped because their event id was seen before."""
    n_steps: int = 0
