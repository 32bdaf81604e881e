"""The course of learning: labels become lessons, and now and then lessons become a version.

Nothing is remembered between two calls that is not in the registry too: a version's card says
which labels it has dealt with. Whoever is ended in between learns the rest again, and the same
lessons make the same version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detectors.errors import LearningError, RegistryError
from detectors.learning import Learner, Position, go_on, learning
from streams.learning import BATCH, Fate, Lessons
from streams.scoring import score

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from detectors.datasets import Dataset
    from detectors.detector import Detector
    from detectors.registry import Registry
    from streams.learning import Lesson

MOST_WAITING = 1000
"""Labels put off at a time; beyond that the oldest are given up."""

Load = Callable[[str], "Dataset"]
OWN = "own"
"""Passed over: a recorded stream that versions are calibrated or tested on."""


@dataclass(frozen=True)
class Made:
    """A version that was put into the registry and made active."""

    detector: Detector
    from_version: str
    n_lessons: int


class Course:
    """Learns for one detector from the labels in a store.

    Parameters
    ----------
    engine, registry
        Where labels and states are, and where versions are kept.
    name
        The detector's; its active version learns.
    load
        Gives the data set that a configuration names.
    today
        Date for the cards.
    every
        Lessons after which a version is made.
    settled_s
        As `store.lessons.due`.

    Raises
    ------
    LearningError, RegistryError, DatasetError
        Here and in `advance`: the detector does not learn or has no active version, or the data
        set is not to be had, or not the one that it was trained on.
    """

    def __init__(
        self,
        engine: Engine,
        registry: Registry,
        name: str,
        *,
        load: Load,
        today: Callable[[], str],
        every: int,
        settled_s: float | None = None,
    ) -> None:
        self._engine, self._registry, self._name = engine, registry, name
        self._load, self._today = load, today
        self._every, self._settled_s = every, settled_s
        self.passed_over: Counter[str] = Counter()
        """Labels that nothing was learned from, by `Fate` or `OWN`."""
        self._begin()

    @property
    def active(self) -> Detector:
        """The version that learning goes on from."""
        return self._active

    @property
    def n_lessons(self) -> int:
        """Learned since the active version was made."""
        return self._learner.n_lessons

    @property
    def n_waiting(self) -> int:
        """Labels put off, their streams not being there or not decided yet."""
        return len(self._position.waiting)

    def advance(self, *, finish: bool = False) -> Iterator[Made]:
        """Learn from all labels that came; yield each version that is made on the way.

        `finish`: make one at the end too, however few lessons it has. A version is made active
        before it is yielded.
        """
        self._keep_up()
        put_off = self._lessons.again(self._position)
        self._waiting = {lesson.label_id: None for lesson in put_off}
        yield from self._learn(put_off)
        while batch := self._lessons.after(self._position, BATCH):
            yield from self._learn(batch)
        if finish and self.n_lessons:
            yield from self._publish()

    def _begin(self, position: Position | None = None) -> None:
        """Go on from the active version, behind `position` or where its card says."""
        self._active = self._version(self._active_version())
        learning(self._active)  # before its data set is looked for
        self._lessons = Lessons(self._engine, self._active, self._version, self._settled_s)
        dataset = self._load(self._active.config.dataset)
        self._learner = Learner(self._active, dataset, score)
        entries = self._registry.entries(self._name)
        retired = [self._version(entry.version) for entry in entries if entry.retired]
        self._position = position or go_on(self._active, retired)
        if not self._lessons.is_there(self._position):
            self._position = Position()
        self._waiting = dict.fromkeys(self._position.waiting)
        self._is_sound = True

    def _keep_up(self) -> None:
        """Go on from another version if somebody made it active.

        What was looked at so far is not looked at again: whoever goes back to an older version
        does not want back what was learned since.
        """
        if self._active_version() != self._active.version:
            self._begin(self._position)
        elif not self._is_sound:
            self._begin()

    def _active_version(self) -> str:
        entries = self._registry.entries(self._name)
        for entry in entries:
            if entry.active:
                return entry.version
        what = "no version of it is active" if entries else "it is not in the registry"
        detail = f"{self._name!r} cannot learn: {what}."
        raise RegistryError(detail, [e.reference for e in entries or self._registry.entries()])

    def _version(self, version: str) -> Detector:
        return self._registry.load(f"{self._name}@{version}")

    def _learn(self, lessons: list[Lesson]) -> Iterator[Made]:
        for lesson in lessons:
            self._take(lesson)
            upto = max(self._position.upto, lesson.label_id)
            self._position = Position(upto, tuple(self._waiting))
            if self.n_lessons >= self._every:
                yield from self._publish()

    def _take(self, lesson: Lesson) -> None:
        if lesson.fate is Fate.WAIT:
            self._waiting[lesson.label_id] = None
            if len(self._waiting) > MOST_WAITING:
                del self._waiting[min(self._waiting)]
                self.passed_over[Fate.GONE] += 1
            return
        self._waiting.pop(lesson.label_id, None)
        if lesson.fate is not Fate.LEARN:
            self.passed_over[lesson.fate] += 1
        elif not self._learner.may_learn(lesson.stream_id):
            self.passed_over[OWN] += 1
        else:
            self._learner.learn(lesson.text, lesson.label)

    def _publish(self) -> Iterator[Made]:
        """Make a version, put it into the registry and make it active."""
        self._keep_up()
        if not self.n_lessons:  # somebody made another version active, and all begins anew
            return
        n_lessons, before = self.n_lessons, self._active.version
        self._is_sound = False
        made = self._learner.version(self._position, made_on=self._today())
        if any(e.retired and e.version == made.version for e in self._registry.entries(made.name)):
            message = (
                f"what was learned makes {made.name}@{made.version} again, which was retired. "
                "Activate it if it shall serve after all."
            )
            raise LearningError(message)
        self._registry.add(made)
        self._active, self._is_sound = made, True
        yield Made(made, before, n_lessons)
