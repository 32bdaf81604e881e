"""The records of a batch for one detector, scored: by the version each stream began under."""

from __future__ import annotations

from itertools import repeat
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from store.rows import StateRow
from streams.engine import Streams
from streams.inbox import dead_letter
from streams.inputs.stack import Stacked, stack
from streams.records import Reason, Rejected
from streams.rounds import Arrivals, event_hashes
from streams.state import STORED_PHASE, Phase, Rows, decode, encode, fits, fresh, remembered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.protocol import Classifier
    from store.rows import StateKey
    from streams.clocks import Clocks
    from streams.engine import Engine, Result
    from streams.inbox import Changes, Held, Inbox
    from streams.records import Event
    from streams.roster import Roster
    from streams.rounds import Index

    Place = tuple[int, StateKey]
    """Partition and key: where a stream's state is kept."""


class Job:
    """The usable records of one batch for one detector, column by column."""

    def __init__(
        self,
        roster: Roster,
        name: str,
        held: Held,
        changes: Mapping[int, Changes],
        inbox: Inbox,
        clocks: Clocks,
    ) -> None:
        self.roster, self.name, self.held, self.changes = roster, name, held, changes
        self.homes, self.keys = inbox.homes, inbox.keys
        events = [event for _, event, _ in inbox.items]
        classifier = roster.active(name).detector.classifier
        self.inputs, self.n_steps, rejected, remarks = usable(classifier, events)
        self.items, self.row, times_s = inbox.items, inbox.row, inbox.times_s
        for at, why in sorted((rejected | remarks).items()):
            raw = inbox.items[at][0]
            changes[raw.partition].dead_letters.append(dead_letter(raw, why, name))
        if rejected:
            kept = [at for at in range(len(events)) if at not in rejected]
            self.items, self.row = [inbox.items[at] for at in kept], inbox.row[kept]
            times_s = None if times_s is None else [times_s[at] for at in kept]
        self.event_ids = [event_id for _, _, event_id in self.items]
        self.hashes = event_hashes(self.event_ids)
        self.ends = np.array([event.end for _, event, _ in self.items], dtype=np.bool_)
        self.times = [event.time for _, event, _ in self.items]
        if times_s is None:
            self.times_s = clocks.times_s(self.items, self.times)
        else:
            self.times_s = np.array(times_s, dtype=np.float64)

    def run(self) -> None:
        """Score all records, and note what they change."""
        left = np.arange(len(self.row))
        while len(left):
            left = self._go_through(left)

    def _go_through(self, left: Index) -> Index:
        """Score the given records; return those that come after the end of an older version."""
        homes = np.unique(self.row[left])
        states = [self._state(home) for home in homes.tolist()]
        active = self.roster.active(self.name).detector.version
        versions = [
            state.version if state is not None and state.phase != "ended" else active
            for state in states
        ]
        later = []
        for version in dict.fromkeys(versions):
            ours = [i for i, other in enumerate(versions) if other == version]
            place = np.full(len(self.homes), -1)
            place[homes[ours]] = np.arange(len(ours))
            chosen = left[place[self.row[left]] >= 0]
            later.append(
                self._score(
                    self.roster.engine(self.name, version), homes[ours].tolist(),
                    [states[i] for i in ours], place, chosen, until_end=version != active,
                )
            )  # fmt: skip
        return np.sort(np.concatenate(later))

    def _state(self, home: int) -> StateRow | None:
        """Return a stream's state as this batch has left it so far."""
        partition, key = self.homes[home][0], self.keys[home]
        return self.changes[partition].states.get(key) or self.held(partition, key)

    def _score(
        self,
        engine: Engine,
        homes: Sequence[int],
        states: Sequence[StateRow | None],
        place: Index,
        chosen: Index,
        *,
        until_end: bool,
    ) -> Index:
        """Run the engine over some records of streams of one version; return what it left.

        `place` says where in `homes` a stream stands, `states` what it was there.
        """
        places = [(self.homes[home][0], self.keys[home]) for home in homes]
        streams = streams_of(engine, places, states)
        result = engine.process(streams, self._arrivals(place, chosen), until_end=until_end)
        changed = np.flatnonzero(result.streams.rows["n_records"] != streams.rows["n_records"])
        note(self.changes, engine, places, states, result, changed)
        for at, late_s in result.late.items():
            raw = self.items[chosen[at]][0]
            detail = f"{late_s:.6g} s older than what was scored of its stream already"
            letter = dead_letter(raw, Rejected(Reason.LATE, detail), self.name)
            self.changes[raw.partition].dead_letters.append(letter)
        return chosen[result.left]

    def _arrivals(self, place: Index, chosen: Index) -> Arrivals:
        """Return the chosen records as the engine takes them."""
        used = np.zeros(len(self.row), dtype=np.bool_)
        used[chosen] = True
        some = chosen.tolist()
        return Arrivals(
            row=place[self.row[chosen]],
            event_ids=[self.event_ids[at] for at in some],
            hashes=self.hashes[chosen],
            n_steps=self.n_steps[chosen],
            ends=self.ends[chosen],
            inputs=self.inputs[np.repeat(used, self.n_steps)],
            times=[self.times[at] for at in some],
            times_s=self.times_s[chosen],
        )


def usable(classifier: Classifier, events: Sequence[Event]) -> Stacked:
    """Return what a classifier reads in some records, and why some cannot be used."""
    wanted, rejected = classifier.modality, {}
    fitting = []
    for at, event in enumerate(events):
        if event.modality in (wanted, None):
            fitting.append(at)
        else:
            detail = f"the record holds {event.modality}, the detector reads {wanted}"
            rejected[at] = Rejected(Reason.WRONG_MODALITY, detail)
    found = stack(classifier, [events[at] for at in fitting])
    rejected |= {fitting[at]: why for at, why in found.rejected.items()}
    remarks = {fitting[at]: why for at, why in found.remarks.items()}
    return Stacked(found.inputs, found.n_steps, rejected, remarks)


def engine_of(roster: Roster, name: str, state: StateRow | None) -> Engine:
    """Return the engine that a stream's next record is for, as far as one can know before it."""
    if state is None or state.phase == "ended":
        return roster.active(name)
    return roster.engine(name, state.version)


def streams_of(
    engine: Engine, places: Sequence[Place], states: Sequence[StateRow | None]
) -> Streams:
    """Return stored states as the engine takes them."""
    return Streams(
        [key.stream_id for _, key in places],
        [state.episode if state else "" for state in states],
        _rows(engine, states),
    )


def note(
    changes: Mapping[int, Changes],
    engine: Engine,
    places: Sequence[Place],
    states: Sequence[StateRow | None],
    result: Result,
    changed: Index,
    *,
    by_tick: bool = False,
) -> None:
    """Write what a run of the engine changed into `changes`.

    A deadline stays as it is while it only moves on: a tick will find that it has moved. Moved
    with every record, it would cost the ledger an index entry each.
    """
    rows, version = result.streams.rows, engine.detector.version
    fields = {name: rows[name][changed] for name in ("phase", "first_s", "last_s")}
    deadlines = engine.limits.deadlines(fields).tolist() if engine.limits.any else repeat(inf)
    columns = zip(
        changed.tolist(),
        fields["phase"].tolist(),
        (rows["t"] + rows["unscored"])[changed].tolist(),
        encode(engine.layout, rows[changed]),
        deadlines,
        strict=False,
    )
    for at, number, steps, blob, due_s in columns:
        partition, key = places[at]
        before, phase = states[at], STORED_PHASE[number]
        deadline_s = None if due_s == inf else due_s
        if before is not None and before.deadline_s is not None and not by_tick:
            stays = before.phase == phase
            deadline_s = earlier(before.deadline_s, deadline_s) if stays else deadline_s
        changes[partition].states[key] = StateRow(
            key.detector, key.stream_id, version, result.streams.episodes[at], phase, steps, blob,
            deadline_s, None if before is None else before.pending,
        )  # fmt: skip
    for at, decision in result.decisions:
        changes[places[at][0]].decisions.append(decision)
    for at, outcome in result.outcomes:
        changes[places[at][0]].outcomes.append(outcome)
    if places:
        first = changes[places[0][0]]
        first.n_repeats += result.n_repeats
        first.n_steps += result.n_steps


def earlier(one_s: float | None, other_s: float | None) -> float | None:
    """Return the earlier of two deadlines; None = there is none.

    >>> earlier(None, 7.0), earlier(3.0, 7.0)
    (7.0, 3.0)
    """
    if one_s is None or other_s is None:
        return other_s if one_s is None else one_s
    return min(one_s, other_s)


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
