"""What a tick does to the streams that are due."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from store.rows import StateKey
from streams.clocks import Clocks
from streams.held_back import HeldBack
from streams.job import Job, engine_of, note, streams_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.rows import StateRow
    from streams.inbox import Changes
    from streams.job import Place
    from streams.roster import Roster

ABSENT_S = 86_400.0
"""A stream of a detector that does not run here is looked at again so much later."""


def sweep(
    roster: Roster, partition: int, due: Sequence[StateRow], tick_s: float, changes: Changes
) -> None:
    """Do to the streams that are due what a tick does, and note it in `changes`.

    First it lets go of records that wait, in order; then it closes what is over, and forgets what
    ended long ago. Afterwards none of them is due at this tick any more.
    """
    by_detector: dict[str, list[StateRow]] = defaultdict(list)
    for state in due:
        by_detector[state.detector].append(state)
    for name, states in by_detector.items():
        if name in roster.names:
            _sweep(roster, name, partition, states, tick_s, changes)
            continue
        for state in states:
            key = StateKey(name, state.stream_id)
            changes.states[key] = state._replace(deadline_s=tick_s + ABSENT_S)


def _sweep(
    roster: Roster,
    name: str,
    partition: int,
    states: Sequence[StateRow],
    tick_s: float,
    changes: Changes,
) -> None:
    before = {StateKey(name, state.stream_id): state for state in states}
    places: list[Place] = [(partition, key) for key in before]

    def held(_: int, key: StateKey) -> StateRow | None:
        return before.get(key)

    waiting = HeldBack(roster, name, held, {partition: changes})
    waiting_places = [place for place in places if before[place[1]].pending is not None]
    released = waiting.release_due(waiting_places, tick_s)
    if released.items:
        Job(roster, name, held, {partition: changes}, released, Clocks({})).run()
    now = {place: changes.states.get(place[1], before[place[1]]) for place in places}
    engines = {place: engine_of(roster, name, state) for place, state in now.items()}
    for engine in dict.fromkeys(engines.values()):
        ours = [place for place in places if engines[place] is engine]
        rows = [now[place] for place in ours]
        result, forgotten = engine.tick(streams_of(engine, ours, rows), tick_s)
        every = np.arange(len(ours))
        note({partition: changes}, engine, ours, rows, result, every, by_tick=True)
        for place in [ours[i] for i in np.flatnonzero(forgotten).tolist()]:
            if not waiting.waits(place):
                del changes.states[place[1]]
                changes.forgotten.add(place[1])
    waiting.settle()
