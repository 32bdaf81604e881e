"""A batch of decoded records against the stored states: what has to be committed.

This is the whole way from records to decisions, as one pure function; `worker` puts the ledger
on both sides of it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from models.inputs import MODALITIES
from streams.clocks import Clocks
from streams.codec import decode as decode_record
from streams.held_back import HeldBack, holds_back
from streams.inbox import Changes, Inbox, dead_letter
from streams.job import Job
from streams.records import Event, RawRecord, Reason, Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from store.rows import StateKey
    from streams.inbox import Held, Item
    from streams.roster import Roster

__all__ = ["Changes", "Inbox", "cut", "decide", "needed_states", "read", "sort"]

NO_CLOCKS = Clocks({})


def read(
    records: Sequence[RawRecord], roster: Roster, topic_id: str, changes: Mapping[int, Changes]
) -> dict[str, Inbox]:
    """Decode records and sort them by detector; the unusable become dead letters in `changes`."""
    inboxes: dict[str, Inbox] = {}
    for source, names in roster.sources:
        decode_one = decode_record if source is None else source.decode
        decoded = [decode_one(raw.value) for raw in records]
        # Under a mapping a fault is one of those detectors', not of the record.
        blamed = None if source is None else names[0]
        inboxes |= sort(records, decoded, roster, topic_id, changes, among=names, blamed=blamed)
    return inboxes


def sort(
    records: Iterable[RawRecord],
    decoded: Iterable[Event | Rejected],
    roster: Roster,
    topic_id: str,
    changes: Mapping[int, Changes],
    *,
    among: Sequence[str] | None = None,
    blamed: str | None = None,
) -> dict[str, Inbox]:
    """Sort decoded records by detector; the unusable become dead letters in `changes`.

    `among` are the detectors that read them so, None = all; `blamed` the one that the dead letters
    name.
    """
    names = roster.names if among is None else among
    items: dict[str, list[Item]] = {name: [] for name in names}
    readers = {modality: roster.readers(modality, names) for modality in (*MODALITIES, None)}
    for raw, event in zip(records, decoded, strict=True):
        if isinstance(event, Rejected):
            changes[raw.partition].dead_letters.append(dead_letter(raw, event, blamed))
            continue
        item = (raw, event, event.event_id or f"{topic_id}:{raw.partition}:{raw.offset}")
        if event.detector is None:
            chosen = readers[event.modality]
            for name in chosen:
                items[name].append(item)
            if not chosen:
                why = Rejected(Reason.NO_READER, f"no detector here reads {event.modality}")
                changes[raw.partition].dead_letters.append(dead_letter(raw, why, blamed))
        elif event.detector in items:
            items[event.detector].append(item)
        else:
            why = Rejected(Reason.UNKNOWN_DETECTOR, f"running here: {', '.join(items) or 'none'}")
            changes[raw.partition].dead_letters.append(dead_letter(raw, why, blamed))
    return {name: Inbox(name, some) for name, some in items.items()}


def needed_states(inboxes: Mapping[str, Inbox]) -> dict[int, list[StateKey]]:
    """Return which states a batch needs, by partition; each once."""
    needed: dict[int, list[StateKey]] = defaultdict(list)
    for inbox in inboxes.values():
        for (partition, _), key in zip(inbox.homes, inbox.keys, strict=True):
            needed[partition].append(key)
    return needed


def cut(inboxes: Mapping[str, Inbox], spans: Mapping[int, tuple[int, int]]) -> dict[str, Inbox]:
    """Return the records of some spans only: from one offset to below another, by partition."""
    found = {}
    for name, inbox in inboxes.items():
        items = []
        for item in inbox.items:
            first, stop = spans.get(item[0].partition, (0, 0))
            if first <= item[0].offset < stop:
                items.append(item)
        found[name] = Inbox(name, items)
    return found


def decide(
    roster: Roster,
    held: Held,
    inboxes: Mapping[str, Inbox],
    changes: Mapping[int, Changes],
    clocks: Clocks = NO_CLOCKS,
) -> None:
    """Score records and note in `changes`, by partition, all that must be committed.

    A stream that began under another version is scored by that one up to its end; its records
    after that belong to the active version, like every new episode.
    """
    for name, inbox in inboxes.items():
        if not inbox.items:
            continue
        if not holds_back(roster, name, held, inbox):
            Job(roster, name, held, changes, inbox, clocks).run()
            continue
        waiting = HeldBack(roster, name, held, changes)
        Job(roster, name, held, changes, waiting.release(inbox, clocks), clocks).run()
        waiting.settle()
