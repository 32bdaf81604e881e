"""Where a detector reorders: its records on their way through the buffers of their streams."""

from __future__ import annotations

from math import inf, nan
from typing import TYPE_CHECKING

from store.rows import StateKey, StateRow
from streams.codec import encode as encode_record
from streams.inbox import Inbox, dead_letter
from streams.job import earlier, engine_of, usable
from streams.records import RawRecord
from streams.reorder import Buffer, HeldRecord
from streams.state import encode, fresh

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.clocks import Clocks
    from streams.engine import Engine
    from streams.inbox import Changes, Held, Item
    from streams.job import Place
    from streams.roster import Roster


def holds_back(roster: Roster, name: str, held: Held, inbox: Inbox) -> bool:
    """Return whether some of these streams' records may have to wait, or already do."""
    active = roster.active(name)
    if active.limits.reorder_s > 0:
        return True
    for (partition, _), key in zip(inbox.homes, inbox.keys, strict=True):
        state = held(partition, key)
        if state is None:
            continue
        if state.pending is not None:
            return True
        if state.version != active.detector.version and state.phase != "ended":
            return roster.engine(name, state.version).limits.reorder_s > 0
    return False


class HeldBack:
    """The buffers of some streams of one detector, and who reads what they let go."""

    def __init__(
        self, roster: Roster, name: str, held: Held, changes: Mapping[int, Changes]
    ) -> None:
        self.roster, self.name, self.held, self.changes = roster, name, held, changes
        self._buffers: dict[Place, tuple[Buffer, Engine]] = {}
        self._raws: dict[tuple[int, int], RawRecord] = {}
        self._items: list[Item] = []
        self._times_s: list[float] = []

    def release(self, inbox: Inbox, clocks: Clocks) -> Inbox:
        """Put usable records in; return what may be scored now, the unusable ones too."""
        classifier = self.roster.active(self.name).detector.classifier
        rejected = usable(classifier, [event for _, event, _ in inbox.items]).rejected
        for at, (raw, event, event_id) in enumerate(inbox.items):
            if at in rejected:  # a bad record must not move its stream's clock
                letter = dead_letter(raw, rejected[at], self.name)
                self.changes[raw.partition].dead_letters.append(letter)
                continue
            self._raws[raw.partition, raw.offset] = raw
            place = raw.partition, StateKey(self.name, event.stream_id)
            buffer, engine = self._of(place)
            clock_s = clocks.at(raw.partition, raw.offset)
            event.event_id = event_id
            time_s = nan if event.time is None else event.time.timestamp()
            record = HeldRecord(time_s, raw.offset, event)
            released = buffer.take(record, clock_s, engine.limits.reorder_s)
            if released is None:
                self.changes[raw.partition].n_repeats += 1
            else:
                self._let_go(raw.partition, released)
        return Inbox(self.name, self._items, self._times_s)

    def release_due(self, places: Sequence[Place], tick_s: float) -> Inbox:
        """Return what a tick lets go of."""
        for place in places:
            buffer, engine = self._of(place)
            self._let_go(place[0], buffer.due(tick_s, engine.limits.reorder_s))
        return Inbox(self.name, self._items, self._times_s)

    def waits(self, place: Place) -> bool:
        """Return whether a stream has records that wait."""
        return place in self._buffers and bool(self._buffers[place][0].held)

    def settle(self) -> None:
        """Write the buffers into the states, once what they let go has been scored."""
        for place, (buffer, engine) in self._buffers.items():
            partition, key = place
            if key in self.changes[partition].forgotten:
                continue
            state = self._state(place) or blank_state(engine, key)
            next_s = buffer.next_s(engine.limits.reorder_s)
            deadline_s = earlier(state.deadline_s, None if next_s == inf else next_s)
            state = state._replace(pending=buffer.encode(), deadline_s=deadline_s)
            self.changes[partition].states[key] = state

    def _of(self, place: Place) -> tuple[Buffer, Engine]:
        if place not in self._buffers:
            state = self._state(place)
            buffer = Buffer(None if state is None else state.pending)
            self._buffers[place] = buffer, engine_of(self.roster, self.name, state)
        return self._buffers[place]

    def _state(self, place: Place) -> StateRow | None:
        partition, key = place
        return self.changes[partition].states.get(key) or self.held(partition, key)

    def _let_go(self, partition: int, released: Sequence[HeldRecord]) -> None:
        for record in released:
            raw = self._raws.get((partition, record.offset))
            if raw is None:  # it came with an earlier batch
                raw = RawRecord(partition, record.offset, encode_record(record.event))
            self._items.append((raw, record.event, record.event.event_id or ""))
            self._times_s.append(record.time_s)


def blank_state(engine: Engine, key: StateKey) -> StateRow:
    """Return the state of a stream of which nothing was scored yet."""
    (data,) = encode(engine.layout, fresh(engine.layout, 1))
    return StateRow(key.detector, key.stream_id, engine.detector.version, "", "ended", 0, data)
