"""Learning in the background of the embedded service, on a thread of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from detectors.errors import DetectorError
from store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.course import Course

LEARN_S = 5.0
"""Between two looks at the labels."""

_log = structlog.get_logger("tocsin.learner")


class LearnerThread:
    """Lets courses advance until told to stop; deciding never waits for them.

    A store that does not answer is asked again. A detector that cannot go on learning is given
    up with one line in the log: it serves on as it is.

    Parameters
    ----------
    courses
        By the detector's name, what makes its course; called on the thread, for data is read.
    """

    def __init__(self, courses: Mapping[str, Callable[[], Course]]) -> None:
        self._make = dict(courses)
        self._courses: dict[str, Course] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="learner")

    def start(self) -> None:
        """Begin to learn."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the version that is being made."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while self._make and not self._over.wait(LEARN_S):
            for name in list(self._make):
                self._advance(name)

    def _advance(self, name: str) -> None:
        try:
            if name not in self._courses:
                self._courses[name] = self._make[name]()
            for made in self._courses[name].advance():
                _log.info(
                    "version_made", detector=name, version=made.detector.version,
                    from_version=made.from_version, lessons=made.n_lessons,
                )  # fmt: skip
                if self._over.is_set():
                    return
        except StoreError as error:
            _log.warning("learning_outage", detector=name, trouble=str(error))
        except DetectorError as error:
            self._give_up(name, str(error))
        except Exception as error:  # noqa: BLE001  # whatever it is, deciding must go on
            _log.exception("learning_failed", detector=name, error=type(error).__name__)
            self._give_up(name, "see the line before")

    def _give_up(self, name: str, trouble: str) -> None:
        _log.error("learning_stopped", detector=name, trouble=trouble)
        del self._make[name]
