"""What a ledger commit carries: plain values, no ORM.

A batch of one partition becomes one `PartitionCommit`. Either all of it is stored or, when
another worker has claimed the partition since (its epoch moved), nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  # annotations may be read while running
from typing import Any, NamedTuple
from uuid import UUID  # noqa: TC003


class StateKey(NamedTuple):
    """Which stream, under which detector."""

    detector: str
    stream_id: str


class Claim(NamedTuple):
    """The answer to a claim: write under `epoch`, go on reading at `next_offset`."""

    epoch: int
    next_offset: int
    clock_s: float | None = None
    """The partition's clock: the latest tick committed there, seconds from 1970 UTC."""


class StateRow(NamedTuple):
    """One stream's state after a batch (a tuple: hundreds of thousands are made a second)."""

    detector: str
    stream_id: str
    version: str
    """Detector version the episode began with."""
    episode: str
    """`event_id` of the episode's first record."""
    phase: str
    """``open``, ``halted`` or ``ended``; as the state's own flag, for queries."""
    steps: int
    """Steps seen in this episode, those after the halt included."""
    data: bytes
    """`streams.state` encoding."""
    deadline_s: float | None = None
    """The first tick at or after this time must look at the stream; it may find that nothing is
    due yet. -inf: any tick. None: none need."""
    pending: bytes | None = None
    """Records held back to be brought into order; `streams.reorder` encoding."""


@dataclass(frozen=True, slots=True)
class NewDecision:
    """A decision to insert unless (detector, stream_id, episode) has one already."""

    id: UUID
    detector: str
    version: str
    stream_id: str
    episode: str
    label: str
    probability: float
    halt_step: int
    reason: str
    """``threshold``, ``horizon``, ``end`` or ``idle``."""
    readiness: float | None
    """Readiness at the halt; None where it was not eligible (-inf)."""
    threshold: float | None
    """Threshold in force at the halt; None = that step never stops early."""
    shadow: bool
    explanation: dict[str, Any]
    trajectory: list[dict[str, Any]]
    event_time: datetime | None
    """Time the deciding record carries, UTC; None if it carries none. Where the clock decided, the
    time of the stream's last record."""


@dataclass(frozen=True, slots=True)
class NewOutcome:
    """What a shadow stream answered at its end; never changes the decision."""

    detector: str
    stream_id: str
    episode: str
    late_label: str
    late_probability: float
    length: int
    """T_i: the stream's end as the engine saw it (end marker, time-out or horizon), in steps."""


@dataclass(frozen=True, slots=True)
class NewDeadLetter:
    """A record that could not be used."""

    offset: int
    reason: str
    """Machine-readable, one of `streams.records.Reason`."""
    detail: str
    """What was got and wanted; never the payload or a part of it."""
    detector: str | None
    payload: bytes
    """The record as it came, cut at 64 KiB."""


@dataclass(frozen=True, slots=True)
class PartitionCommit:
    """Everything one batch of one partition changes."""

    partition: int
    epoch: int
    next_offset: int
    states: tuple[StateRow, ...] = ()
    decisions: tuple[NewDecision, ...] = ()
    outcomes: tuple[NewOutcome, ...] = ()
    dead_letters: tuple[NewDeadLetter, ...] = ()
    clock_s: float | None = None
    """Where the partition's clock moves to; None: it stays."""
    forgotten: tuple[StateKey, ...] = ()
    """States to delete; none of them is among `states`."""
