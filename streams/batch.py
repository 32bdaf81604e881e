"""A batch of decoded records against the stored states: what has to be committed.

This is the whole way from records to decisions, as one pure function; `worker` puts the ledger
on both sides of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.rows import NewDeadLetter, NewDecision, NewOutcome, StateKey, StateRow
from streams.codec import decode as decode_record
from streams.engine import Engine, Result, Streams
from streams.frames import stack_frames
from streams.records import Event, RawRecord, Reason, Rejected
from streams.rounds import Arrivals, event_hash
from streams.state import STORED_PHASE, Phase, Rows, decode, encode, fresh, remembered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streams.roster import Roster

KEPT_PAYLOAD_BYTES = 65_536
"""A dead letter keeps this much of its record."""


class Item(NamedTuple):
    """A decoded record and where it came from."""

    raw: RawRecord
    event: Event
    event_id: str


@dataclass
class Changes:
    """What the records of one partition change; grows while a batch is worked through."""

    states: dict[StateKey, StateRow] = field(default_factory=dict)
    decisions: list[NewDecision] = field(default_factory=list)
    outcomes: list[NewOutcome] = field(default_factory=list)
    dead_letters: list[NewDeadLetter] = field(default_factory=list)
    n_repeats: int = 0
    """Records skipped because their event id was seen before."""
    n_steps: int = 0


Held = Callable[[int, StateKey], StateRow | None]
"""Looks up the state that a stream of a partition had before the batch."""


def read(
    records: Iterable[RawRecord], roster: Roster, topic_id: str, changes: Mapping[int, Changes]
) -> dict[str, list[Item]]:
    """Decode records and sort them by detector; the unusable become dead letters in `changes`."""
    items: dict[str, list[Item]] = {name: [] for name in roster.names}
    for raw in records:
        event = decode_record(raw.value)
        if isinstance(event, Rejected):
            changes[raw.partition].dead_letters.append(dead_letter(raw, event))
            continue
        item = Item(raw, event, event.event_id or f"{topic_id}:{raw.partition}:{raw.offset}")
        if event.detector is None:
            for some in items.values():
                some.append(item)
        elif event.detector in items:
            items[event.detector].append(item)
        else:
            why = Rejected(Reason.UNKNOWN_DETECTOR, f"running here: {', '.join(items) or 'none'}")
            changes[raw.partition].dead_letters.append(dead_letter(raw, why))
    return items


def dead_letter(raw: RawRecord, why: Rejected, detector: str | None = None) -> NewDeadLetter:
    """Return the dead letter of a record."""
    payload = (raw.value or b"")[:KEPT_PAYLOAD_BYTES]
    return NewDeadLetter(raw.offset, why.reason, why.detail, detector, payload)


def needed_states(items: Mapping[str, Sequence[Item]]) -> dict[int, set[StateKey]]:
    """Return which states a batch needs, by partition."""
    needed: dict[int, set[StateKey]] = defaultdict(set)
    for name, some in items.items():
        for raw, event, _ in some:
            needed[raw.partition].add(StateKey(name, event.stream_id))
    return needed


def decide(
    roster: Roster, held: Held, items: Mapping[str, Sequence[Item]], changes: Mapping[int, Changes]
) -> None:
    """Score `items` and note in `changes`, by partition, all that must be committed.

    A stream that began under another version is scored by that one up to its end marker; its
    records after that belong to the active version, like every new episode.
    """
    for name, some in items.items():
        job = _Job(roster, name, held, changes, *_usable(roster.active(name), some, changes))
        left: Sequence[int] = range(len(job.items))
        while left:
            left = job.go_through(left)


def _usable(
    engine: Engine, items: Sequence[Item], changes: Mapping[int, Changes]
) -> tuple[Sequence[Item], NDArray[np.float32]]:
    width = len(engine.detector.classifier.channels)
    frames, rejected = stack_frames([item.event for item in items], width)
    for at, why in rejected.items():
        raw = items[at].raw
        changes[raw.partition].dead_letters.append(dead_letter(raw, why, engine.detector.name))
    if rejected:
        items = [item for at, item in enumerate(items) if at not in rejected]
    return items, frames


Home = tuple[int, str]
"""Partition and stream id: where a stream's state lives."""


class _Job:
    """The usable records of one batch for one detector."""

    def __init__(
        self,
        roster: Roster,
        name: str,
        held: Held,
        changes: Mapping[int, Changes],
        items: Sequence[Item],
        frames: NDArray[np.float32],
    ) -> None:
        self.roster, self.name, self.held, self.changes = roster, name, held, changes
        self.items, self.frames = items, frames
        self.n_frames = np.array([len(item.event.frames or ()) for item in items], dtype=np.intp)
        self.ends = np.array([item.event.end for item in items], dtype=np.bool_)
        self.hashes = np.array([event_hash(item.event_id) for item in items], dtype=np.uint64)
        self.stops = np.cumsum(self.n_frames)

    def go_through(self, left: Sequence[int]) -> list[int]:
        """Score the given items; return those that come after the end of an older version."""
        active = self.roster.active(self.name)
        groups: dict[str, dict[Home, StateRow | None]] = defaultdict(dict)
        chosen: dict[str, list[int]] = defaultdict(list)
        version_of: dict[Home, str] = {}
        closing: set[Home] = set()
        later = []
        for at in left:
            raw, event, _ = self.items[at]
            home = (raw.partition, event.stream_id)
            version = version_of.get(home)
            if version is None:
                state = self.state(home)
                pinned = state is not None and state.phase != "ended"
                version = state.version if pinned and state else active.detector.version
                version_of[home] = version
                groups[version][home] = state
            if version == active.detector.version:
                chosen[version].append(at)
            elif home in closing:
                later.append(at)
            else:
                chosen[version].append(at)
                if event.end:
                    closing.add(home)
        for version, homes in groups.items():
            self.score(self.roster.engine(self.name, version), homes, chosen[version])
        return later

    def state(self, home: Home) -> StateRow | None:
        """Return a stream's state as this batch has left it so far."""
        partition, stream_id = home
        key = StateKey(self.name, stream_id)
        return self.changes[partition].states.get(key) or self.held(partition, key)

    def score(
        self, engine: Engine, homes: Mapping[Home, StateRow | None], chosen: Sequence[int]
    ) -> None:
        """Run the engine over some items of streams of one version."""
        order = list(homes)
        place = {home: i for i, home in enumerate(order)}
        streams = Streams(
            [stream_id for _, stream_id in order],
            [state.episode if state else "" for state in homes.values()],
            _rows(engine, list(homes.values())),
        )
        result = engine.process(streams, self.arrivals(place, chosen))
        self.note(order, streams, engine, result)

    def arrivals(self, place: Mapping[Home, int], chosen: Sequence[int]) -> Arrivals:
        """Return the chosen items as the engine takes them."""
        some = [self.items[at] for at in chosen]
        row = [place[item.raw.partition, item.event.stream_id] for item in some]
        at, frames = np.array(chosen, dtype=np.intp), self.frames
        if len(chosen) < len(self.items):
            used = np.zeros(len(self.items), dtype=np.bool_)
            used[at] = True
            frames = frames[np.repeat(used, self.n_frames)]
        return Arrivals(
            row=np.array(row, dtype=np.intp),
            event_ids=[item.event_id for item in some],
            hashes=self.hashes[at],
            n_frames=self.n_frames[at],
            ends=self.ends[at],
            frames=frames,
            times=[item.event.time for item in some],
        )

    def note(self, order: Sequence[Home], before: Streams, engine: Engine, after: Result) -> None:
        """Write what a run of the engine changed into `changes`."""
        rows = after.streams.rows
        changed = np.flatnonzero(rows["n_records"] != before.rows["n_records"])
        blobs = encode(engine.layout, rows[changed])
        steps = (rows["t"] + rows["unscored"]).tolist()
        phases = rows["phase"].tolist()
        for at, blob in zip(changed.tolist(), blobs, strict=True):
            partition, stream_id = order[at]
            self.changes[partition].states[StateKey(self.name, stream_id)] = StateRow(
                self.name, stream_id, engine.detector.version, after.streams.episodes[at],
                STORED_PHASE[phases[at]], steps[at], blob,
            )  # fmt: skip
        for at, decision in after.decisions:
            self.changes[order[at][0]].decisions.append(decision)
        for at, outcome in after.outcomes:
            self.changes[order[at][0]].outcomes.append(outcome)
        if order:
            self.changes[order[0][0]].n_repeats += after.n_repeats
            self.changes[order[0][0]].n_steps += after.n_steps


def _rows(engine: Engine, states: Sequence[StateRow | None]) -> Rows:
    """Return states as rows of the engine's layout.

    An ended episode of another version leaves only what it remembers of event ids.
    """
    version = engine.detector.version
    rows = fresh(engine.layout, len(states))
    own = [i for i, state in enumerate(states) if state is not None and state.version == version]
    if own:
        rows[own] = decode(
            engine.layout,
            [state.data for state in states if state is not None and state.version == version],
            detector=engine.detector.name,
            version=version,
        )
    for i, state in enumerate(states):
        if state is not None and state.version != version:
            n_records, recent = remembered(state.data)
            rows["phase"][i], rows["n_records"][i] = Phase.ENDED, n_records
            rows["recent"][i, : len(recent)] = recent
    return rows
