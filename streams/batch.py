"""A batch of decoded records against the stored states: what has to be committed.

This is the whole way from records to decisions, as one pure function; `worker` puts the ledger
on both sides of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from store.rows import NewDeadLetter, NewDecision, NewOutcome, StateKey, StateRow
from streams.codec import decode as decode_record
from streams.engine import Engine, Result, Streams
from streams.frames import stack_frames
from streams.records import Event, RawRecord, Reason, Rejected
from streams.rounds import Arrivals, Index, event_hashes
from streams.state import STORED_PHASE, Phase, Rows, decode, encode, fits, fresh, remembered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streams.roster import Roster

KEPT_PAYLOAD_BYTES = 65_536
"""A dead letter keeps this much of its record."""


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
Home = tuple[int, str]
"""Partition and stream id: where a stream's state lives."""
Item = tuple[RawRecord, Event, str]
"""A decoded record, where it came from, and its event id. (A plain tuple: one is made for every
record, and a named one takes several times as long.)"""


class Inbox:
    """The records of a batch for one detector, and the streams that they belong to."""

    def __init__(self, detector: str, items: Sequence[Item]) -> None:
        self.items = items
        places: dict[Home, int] = {}
        self.row = np.array(
            [
                places.setdefault((raw.partition, event.stream_id), len(places))
                for raw, event, _ in items
            ],
            dtype=np.intp,
        )
        """Which stream each record belongs to: its place in `homes`."""
        self.homes: Sequence[Home] = list(places)
        self.keys = [StateKey(detector, stream_id) for _, stream_id in places]


def read(
    records: Sequence[RawRecord], roster: Roster, topic_id: str, changes: Mapping[int, Changes]
) -> dict[str, Inbox]:
    """Decode records and sort them by detector; the unusable become dead letters in `changes`."""
    return sort(records, [decode_record(raw.value) for raw in records], roster, topic_id, changes)


def sort(
    records: Iterable[RawRecord],
    decoded: Iterable[Event | Rejected],
    roster: Roster,
    topic_id: str,
    changes: Mapping[int, Changes],
) -> dict[str, Inbox]:
    """Sort decoded records by detector; the unusable become dead letters in `changes`."""
    items: dict[str, list[Item]] = {name: [] for name in roster.names}
    for raw, event in zip(records, decoded, strict=True):
        if isinstance(event, Rejected):
            changes[raw.partition].dead_letters.append(dead_letter(raw, event))
            continue
        item = (raw, event, event.event_id or f"{topic_id}:{raw.partition}:{raw.offset}")
        if event.detector is None:
            for some in items.values():
                some.append(item)
        elif event.detector in items:
            items[event.detector].append(item)
        else:
            why = Rejected(Reason.UNKNOWN_DETECTOR, f"running here: {', '.join(items) or 'none'}")
            changes[raw.partition].dead_letters.append(dead_letter(raw, why))
    return {name: Inbox(name, some) for name, some in items.items()}


def dead_letter(raw: RawRecord, why: Rejected, detector: str | None = None) -> NewDeadLetter:
    """Return the dead letter of a record."""
    payload = (raw.value or b"")[:KEPT_PAYLOAD_BYTES]
    return NewDeadLetter(raw.offset, why.reason, why.detail, detector, payload)


def needed_states(inboxes: Mapping[str, Inbox]) -> dict[int, list[StateKey]]:
    """Return which states a batch needs, by partition; each once."""
    needed: dict[int, list[StateKey]] = defaultdict(list)
    for inbox in inboxes.values():
        for (partition, _), key in zip(inbox.homes, inbox.keys, strict=True):
            needed[partition].append(key)
    return needed


def decide(
    roster: Roster, held: Held, inboxes: Mapping[str, Inbox], changes: Mapping[int, Changes]
) -> None:
    """Score records and note in `changes`, by partition, all that must be committed.

    A stream that began under another version is scored by that one up to its end marker; its
    records after that belong to the active version, like every new episode.
    """
    for name, inbox in inboxes.items():
        job = _Job(roster, name, held, changes, inbox)
        left = np.arange(len(job.row))
        while len(left):
            left = job.go_through(left)


class _Job:
    """The usable records of one batch for one detector, column by column."""

    def __init__(
        self,
        roster: Roster,
        name: str,
        held: Held,
        changes: Mapping[int, Changes],
        inbox: Inbox,
    ) -> None:
        self.roster, self.name, self.held, self.changes = roster, name, held, changes
        self.homes, self.keys = inbox.homes, inbox.keys
        events = [event for _, event, _ in inbox.items]
        width = len(roster.active(name).detector.classifier.channels)
        self.frames, self.n_frames, rejected = stack_frames(events, width)
        kept = np.array([at for at in range(len(events)) if at not in rejected], dtype=np.intp)
        for at, why in rejected.items():
            raw = inbox.items[at][0]
            changes[raw.partition].dead_letters.append(dead_letter(raw, why, name))
        self.row = inbox.row[kept]
        self.event_ids = [inbox.items[at][2] for at in kept.tolist()]
        self.hashes = event_hashes(self.event_ids)
        self.ends = np.array([event.end for event in events], dtype=np.bool_)[kept]
        self.times = [events[at].time for at in kept.tolist()]

    def go_through(self, left: Index) -> Index:
        """Score the given records; return those that come after the end of an older version."""
        homes = np.unique(self.row[left])
        states = [self.state(home) for home in homes.tolist()]
        active = self.roster.active(self.name).detector.version
        versions = [
            state.version if state is not None and state.phase != "ended" else active
            for state in states
        ]
        later = np.zeros(len(left), dtype=np.bool_)
        for version in dict.fromkeys(versions):
            ours = [i for i, other in enumerate(versions) if other == version]
            place = np.full(len(self.homes), -1)
            place[homes[ours]] = np.arange(len(ours))
            chosen = place[self.row[left]] >= 0
            if version != active:
                behind = chosen & self.behind_an_end(left)
                later |= behind
                chosen &= ~behind
            self.score(
                self.roster.engine(self.name, version),
                homes[ours], [states[i] for i in ours], place, left[chosen],
            )  # fmt: skip
        return left[later]

    def behind_an_end(self, left: Index) -> NDArray[np.bool_]:
        """Return which of these records have an end marker of their stream before them."""
        row, n = self.row[left], len(left)
        first_end = np.full(len(self.homes), n)
        ends = np.flatnonzero(self.ends[left])
        np.minimum.at(first_end, row[ends], ends)
        behind: NDArray[np.bool_] = np.arange(n) > first_end[row]
        return behind

    def state(self, home: int) -> StateRow | None:
        """Return a stream's state as this batch has left it so far."""
        partition, key = self.homes[home][0], self.keys[home]
        return self.changes[partition].states.get(key) or self.held(partition, key)

    def score(
        self,
        engine: Engine,
        homes: Index,
        states: Sequence[StateRow | None],
        place: Index,
        chosen: Index,
    ) -> None:
        """Run the engine over some records of streams of one version.

        `place` says where in `homes` a stream stands, `states` what it was there.
        """
        order = homes.tolist()
        streams = Streams(
            [self.homes[home][1] for home in order],
            [state.episode if state else "" for state in states],
            _rows(engine, states),
        )
        result = engine.process(streams, self.arrivals(place, chosen))
        self.note(order, streams, engine, result)

    def arrivals(self, place: Index, chosen: Index) -> Arrivals:
        """Return the chosen records as the engine takes them."""
        used = np.zeros(len(self.row), dtype=np.bool_)
        used[chosen] = True
        some = chosen.tolist()
        return Arrivals(
            row=place[self.row[chosen]],
            event_ids=[self.event_ids[at] for at in some],
            hashes=self.hashes[chosen],
            n_frames=self.n_frames[chosen],
            ends=self.ends[chosen],
            frames=self.frames[np.repeat(used, self.n_frames)],
            times=[self.times[at] for at in some],
        )

    def note(self, order: Sequence[int], before: Streams, engine: Engine, after: Result) -> None:
        """Write what a run of the engine changed into `changes`."""
        rows, name, version = after.streams.rows, self.name, engine.detector.version
        changed = np.flatnonzero(rows["n_records"] != before.rows["n_records"])
        columns = zip(
            changed.tolist(),
            rows["phase"][changed].tolist(),
            (rows["t"] + rows["unscored"])[changed].tolist(),
            encode(engine.layout, rows[changed]),
            strict=True,
        )
        for at, phase, steps, blob in columns:
            partition, stream_id = self.homes[order[at]]
            self.changes[partition].states[self.keys[order[at]]] = StateRow(
                name, stream_id, version, after.streams.episodes[at], STORED_PHASE[phase], steps,
                blob,
            )  # fmt: skip
        for at, decision in after.decisions:
            self.changes[self.homes[order[at]][0]].decisions.append(decision)
        for at, outcome in after.outcomes:
            self.changes[self.homes[order[at]][0]].outcomes.append(outcome)
        if order:
            first = self.changes[self.homes[order[0]][0]]
            first.n_repeats += after.n_repeats
            first.n_steps += after.n_steps


def _rows(engine: Engine, states: Sequence[StateRow | None]) -> Rows:
    """Return states as rows of the engine's layout.

    An ended episode of another version, or written by another release, leaves only what it
    remembers of event ids.
    """
    layout, version = engine.layout, engine.detector.version
    past = {
        i: state
        for i, state in enumerate(states)
        if state is not None and state.phase == "ended" and not fits(layout, state.data)
    }
    own = [i for i, state in enumerate(states) if state is not None and i not in past]
    stored = decode(
        layout,
        [state.data for i, state in enumerate(states) if state is not None and i not in past],
        detector=engine.detector.name,
        version=version,
    )
    if len(own) == len(states):
        return stored
    rows = fresh(layout, len(states))
    rows[own] = stored
    for i, state in past.items():
        n_records, recent = remembered(state.data)
        rows["phase"][i], rows["n_records"][i] = Phase.ENDED, n_records
        rows["recent"][i, : len(recent)] = recent
    return rows
