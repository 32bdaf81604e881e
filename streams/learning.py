"""From labels in the store to lessons: what the labelled streams' states remember of them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectors.errors import DetectorError
from models.online.classifier import RiverClassifier
from store import lessons as stored
from streams.errors import StateFormatError
from streams.state import decode, layout_for, part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.engine import Engine

    from detectors.detector import Detector
    from detectors.learning import Position

BATCH = 500
"""Labels read in one query."""
OPEN = "open"
"""Phase of a stream that is not decided yet, as the store says it."""


class Fate(StrEnum):
    """What can be done with a label."""

    LEARN = "learn"
    WAIT = "wait"
    """Its stream is not there yet, or not decided: more of it will come."""
    GONE = "gone"
    """Nothing is left of its stream that could be learned from, or nothing ever came."""
    REPEATED = "repeated"
    """Another label about the same episode came before it; what was learned is not unlearned."""


class Lesson(NamedTuple):
    """A label, and the labelled stream's words."""

    label_id: int
    stream_id: str
    label: str
    fate: Fate
    text: str = ""
    """To learn from; empty unless that is its fate."""


class Lessons:
    """Reads the labels about one detector, in the order in which they were received.

    Parameters
    ----------
    engine
        The store.
    detector
        The active version.
    find
        Loads the version that scored a stream; its words are numbers of that one's vocabulary.
        DetectorError if it is not to be had: then nothing is left of the stream.
    settled_s
        As `store.lessons.due`.
    """

    def __init__(
        self,
        engine: Engine,
        detector: Detector,
        find: Callable[[str], Detector],
        settled_s: float | None = None,
    ) -> None:
        self._engine, self._name = engine, detector.name
        self._classes = detector.classifier.classes
        self._find, self._settled_s = find, settled_s
        self._version: Detector | None = detector

    def after(self, position: Position, limit: int = BATCH) -> list[Lesson]:
        """Return the lessons of the labels behind a position, at most `limit`."""
        rows = stored.due(
            self._engine, self._name, self._classes, after=position.upto, limit=limit,
            settled_s=self._settled_s,
        )  # fmt: skip
        return self._lessons(rows)

    def again(self, position: Position) -> list[Lesson]:
        """Return the lessons of the labels that were put off."""
        rows = stored.again(self._engine, self._name, self._classes, position.waiting)
        return self._lessons(rows)

    def is_there(self, position: Position) -> bool:
        """Return whether the store has had that many labels; if not, it was made anew."""
        return position.upto <= stored.latest(self._engine)

    def _lessons(self, rows: Sequence[stored.Due]) -> list[Lesson]:
        # version by version, so that one at a time need be in memory
        order = sorted(range(len(rows)), key=lambda i: rows[i].version or "")
        made = {i: self._lesson(rows[i]) for i in order}
        return [made[i] for i in range(len(rows))]

    def _lesson(self, row: stored.Due) -> Lesson:
        said = (row.id, row.stream_id, row.label)
        if not row.is_first:
            return Lesson(*said, Fate.REPEATED)
        if row.is_fresh and row.phase in (None, OPEN):
            return Lesson(*said, Fate.WAIT)
        text = self._text(row)
        return Lesson(*said, Fate.LEARN, text) if text else Lesson(*said, Fate.GONE)

    def _text(self, row: stored.Due) -> str:
        """Return the words that are left of a stream; empty if none are."""
        if row.version is None or row.data is None:
            return ""
        detector = self._of(row.version)
        if detector is None or not isinstance(detector.classifier, RiverClassifier):
            return ""
        layout = layout_for(detector.classifier, detector.signal, detector.horizon)
        try:
            rows = decode(layout, [row.data], detector=self._name, version=row.version)
        except StateFormatError:
            return ""  # of an ended episode of an older release
        state = part(rows, "m", layout.model_fields, np.zeros(1, np.intp))
        return detector.classifier.words_of(state, 0)

    def _of(self, version: str) -> Detector | None:
        """Return a version of the detector; None if it is not to be had any more."""
        if self._version is None or self._version.version != version:
            try:
                self._version = self._find(version)
            except DetectorError:
                return None
        return self._version
