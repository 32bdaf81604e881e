"""Learning in the background: it hinders nobody, and says what it cannot do."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from detectors.errors import LearningError
from store.errors import StoreUnavailableError
from streams.drivers import learner
from streams.drivers.learner import LearnerThread


class FakeCourse:
    """Gives what it is told to, one thing a call; a version or an error."""

    def __init__(self, *answers):
        self.answers, self.n_calls = list(answers), 0

    def advance(self):
        self.n_calls += 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            detector = SimpleNamespace(version=answer)
            yield SimpleNamespace(detector=detector, from_version="v0", n_lessons=50)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(learner, "LEARN_S", 0.01)


def run(courses, until):
    thread = LearnerThread(courses)
    thread.start()
    deadline = time.monotonic() + 10
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    thread.stop()
    assert "learner" not in {each.name for each in threading.enumerate()}


def test_it_looks_again_and_again_and_tells_of_each_version(capsys):
    course = FakeCourse(None, "v1", None, "v2")
    run({"talk": lambda: course}, lambda: course.n_calls > 5)
    assert capsys.readouterr().out.count("version_made") == 2


def test_a_store_that_does_not_answer_is_asked_again(capsys):
    gone = StoreUnavailableError("the store", "gone")
    course = FakeCourse(gone, gone, "v1")
    run({"talk": lambda: course}, lambda: course.n_calls > 4)
    shown = capsys.readouterr().out
    assert shown.count("learning_outage") == 2
    assert shown.count("version=v1") == 1


@pytest.mark.parametrize("error", [LearningError("the set has changed"), ZeroDivisionError()])
def test_a_detector_that_cannot_learn_is_given_up_and_others_learn_on(error, capsys):
    broken, whole = FakeCourse(error), FakeCourse(None, None, None, "v1")
    run({"a": lambda: broken, "b": lambda: whole}, lambda: whole.n_calls > 6)
    assert broken.n_calls == 1
    shown = capsys.readouterr().out
    assert shown.count("learning_stopped") == 1
    assert shown.count("version=v1") == 1


def test_what_cannot_even_begin_is_given_up_and_the_thread_ends(capsys):
    def refuse():
        message = "does not learn"
        raise LearningError(message)

    thread = LearnerThread({"a": refuse})
    thread.start()
    thread._thread.join(10)
    assert not thread._thread.is_alive()
    thread.stop()
    assert "does not learn" in capsys.readouterr().out
