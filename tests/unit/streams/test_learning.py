"""From labels in the store to versions in the registry, with the worker that serves."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, select, update

from detectors import datasets
from detectors.errors import DatasetError, LearningError, RegistryError
from detectors.learning import labels_up_to, n_labels
from store.session import writing
from store.tables import DecisionTable, LabelTable, StateTable
from streams import course as courses
from streams.course import Course
from streams.learning import Fate
from tests.talk import Serving, train_talk, write_talk
from tests.toys import toy_detector


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_talk(tmp_path_factory.mktemp("talk"))


@pytest.fixture(scope="module")
def talk(place):
    return train_talk(place)


@pytest.fixture
def serving(store_engine, tmp_path, talk):
    return Serving(store_engine, tmp_path / "registry", talk)


def test_a_labelled_streams_words_are_read_back_from_its_state(serving):
    serving.say("a", "Sax quokka!", "QUOKKA nbk")
    serving.label("a", "yes")
    (lesson,) = serving.lessons()
    assert (lesson.stream_id, lesson.label, lesson.fate) == ("a", "yes", Fate.LEARN)
    assert sorted(lesson.text.split()) == ["nbk", "quokka", "quokka", "sax"]


def test_a_label_waits_for_its_stream_and_for_its_decision(serving):
    serving.label("a", "yes")
    assert [each.fate for each in serving.lessons()] == [Fate.WAIT]
    serving.say("a", "", end=False)  # no word of any kind: nobody could decide
    assert [each.fate for each in serving.lessons()] == [Fate.WAIT]
    serving.say("a", "sax")
    assert [(each.fate, each.text) for each in serving.lessons()] == [(Fate.LEARN, "sax")]


def test_an_old_label_takes_what_is_there_or_nothing(serving):
    serving.say("a", "", end=False)
    serving.label("a", "yes")
    serving.label("b", "yes")
    with writing(serving.engine) as connection:
        long_ago = datetime(2026, 1, 1, tzinfo=UTC)
        connection.execute(update(LabelTable).values(received_at=long_ago))
    assert [each.fate for each in serving.lessons()] == [Fate.GONE, Fate.GONE]


def test_a_forgotten_stream_teaches_nothing_in_the_end(serving):
    serving.say("a", "sax quokka")
    serving.label("a", "yes")
    with writing(serving.engine) as connection:
        connection.execute(delete(StateTable))
        long_ago = datetime(2026, 1, 1, tzinfo=UTC)
        connection.execute(update(LabelTable).values(received_at=long_ago))
    assert [each.fate for each in serving.lessons()] == [Fate.GONE]


def test_a_state_of_a_version_that_is_not_to_be_had_teaches_nothing(serving):
    serving.say("a", "sax quokka")
    serving.label("a", "yes")
    with writing(serving.engine) as connection:
        connection.execute(update(StateTable).values(version="gone"))
    assert [each.fate for each in serving.lessons()] == [Fate.GONE]


def test_a_state_that_cannot_be_read_teaches_nothing(serving):
    for data in (b"", b"\x01\x00\x00\x00\x00", b"rubbish" * 99):
        stream = f"a{len(data)}"
        serving.say(stream, "sax quokka")
        serving.label(stream, "yes")
        with writing(serving.engine) as connection:
            which = StateTable.stream_id == stream
            connection.execute(update(StateTable).where(which).values(data=data))
    assert [each.fate for each in serving.lessons()] == [Fate.GONE] * 3


def test_of_contradicting_labels_the_first_is_learned(serving):
    serving.say("a", "sax quokka")
    serving.label("a", "yes")
    serving.label("a", "no")
    assert [each.fate for each in serving.lessons()] == [Fate.LEARN, Fate.REPEATED]


def test_after_so_many_lessons_there_is_a_new_active_version(serving):
    serving.teach("quokka", "yes", 5)
    course = serving.course(every=4)
    (made,) = course.advance()
    assert made.n_lessons == 4
    assert made.from_version == serving.talk.version
    assert serving.active() == made.detector.version != serving.talk.version
    assert "quokka" in made.detector.classifier.learned.words
    assert course.n_lessons == 1
    assert list(course.advance()) == []


def test_finish_makes_one_of_what_is_left_and_none_of_nothing(serving):
    serving.teach("quokka", "yes", 3)
    course = serving.course()
    (made,) = course.advance(finish=True)
    assert (made.n_lessons, n_labels(made.detector)) == (3, 3)
    assert list(course.advance(finish=True)) == []
    assert serving.active() == made.detector.version


def test_a_learner_that_is_ended_at_any_time_leaves_nothing_undone_or_done_twice(serving):
    """Another one, begun after each number of lessons, comes to the same version."""
    serving.teach("quokka", "yes", 4)
    serving.teach("numbat", "no", 3)
    ended = serving.course(every=4)
    iterator = ended.advance()
    first = next(iterator)
    del ended, iterator  # after the first version, three lessons were not looked at
    (second,) = serving.course().advance(finish=True)
    assert second.from_version == first.detector.version
    assert n_labels(second.detector) == 7
    whole = Learned(serving, "quokka", "numbat")
    assert whole["quokka"] == (8, 0)
    assert whole["numbat"] == (0, 6)


class Learned(dict):
    """Counts (yes, no) of words in the active version."""

    def __init__(self, serving, *words):
        learned = serving.registry.load(f"talk@{serving.active()}").classifier.learned
        no, yes = (learned.classes.index(c) for c in ("no", "yes"))
        for word in words:
            at = learned.words.index(word)
            self[word] = (int(learned.counts[yes, at]), int(learned.counts[no, at]))


def test_a_learner_that_dies_before_its_version_is_active_makes_the_same_one_again(
    serving, monkeypatch
):
    serving.teach("quokka", "yes", 3)
    add, begun = serving.registry.add, serving.course()

    def dies(made, **how):
        add(made, activate=False)
        raise KeyboardInterrupt

    monkeypatch.setattr(serving.registry, "add", dies)
    with pytest.raises(KeyboardInterrupt):
        list(begun.advance(finish=True))
    assert serving.active() == serving.talk.version
    monkeypatch.undo()
    (left,) = serving.versions() - {serving.talk.version}
    (made,) = serving.course().advance(finish=True)
    assert made.detector.version == left == serving.active()


def test_a_course_whose_version_could_not_be_kept_learns_its_lessons_again(serving, monkeypatch):
    serving.teach("quokka", "yes", 3)
    course = serving.course()

    def full(made, **how):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(serving.registry, "add", full)
    with pytest.raises(OSError, match="No space"):
        list(course.advance(finish=True))
    monkeypatch.undo()
    (made,) = course.advance(finish=True)
    assert (made.n_lessons, made.from_version) == (3, serving.talk.version)


def test_labels_that_were_put_off_are_learned_later_also_by_the_next_learner(serving):
    serving.label("late", "yes")
    serving.teach("quokka", "yes", 3)
    course = serving.course()
    (made,) = course.advance(finish=True)
    assert (course.n_waiting, made.n_lessons) == (1, 3)
    assert len(labels_up_to(made.detector).waiting) == 1
    serving.say("late", "quokka quokka")
    (after,) = serving.course().advance(finish=True)
    assert after.n_lessons == 1
    assert labels_up_to(after.detector).waiting == ()
    assert Learned(serving, "quokka")["quokka"] == (8, 0)


def test_no_more_than_so_many_labels_are_put_off_and_the_oldest_go_first(serving, monkeypatch):
    monkeypatch.setattr(courses, "MOST_WAITING", 3)
    for n in range(5):
        serving.label(f"nobody-{n}", "yes")
    course = serving.course()
    assert list(course.advance()) == []
    assert (course.n_waiting, course.passed_over[Fate.GONE]) == (3, 2)
    serving.say("nobody-0", "sax")
    serving.say("nobody-2", "sax")
    (made,) = course.advance(finish=True)
    assert made.n_lessons == 1


def test_recorded_streams_of_the_calibration_part_are_no_lessons(serving, place):
    calibration = datasets.load(str(place)).parts["calibration"]
    for n in range(4):
        serving.say(calibration.stream_id(n), "quokka sax")
        serving.label(calibration.stream_id(n), "yes")
    course = serving.course()
    assert list(course.advance(finish=True)) == []
    assert course.passed_over == {"own": 4}


def test_words_of_streams_under_an_older_version_are_read_by_its_numbers(serving):
    """State numbers are those of the vocabulary at the time; the newer one has others."""
    serving.say("old", "sax ybk numbat")
    serving.teach("aardvark", "yes", 3)  # sorts before all others, and moves their numbers
    (made,) = serving.course().advance(finish=True)
    serving.roster.adopt(made.detector)
    serving.say("new", "sax ybk numbat")
    for stream in ("old", "new"):
        serving.label(stream, "no")
    fates = {each.stream_id: sorted(each.text.split()) for each in serving.lessons()[3:]}
    assert fates == {"old": ["numbat", "sax", "ybk"], "new": ["numbat", "sax", "ybk"]}


def test_streams_under_way_end_under_the_version_they_began_with(serving):
    serving.say("begun", "", end=False)
    serving.teach("quokka", "yes", 3)
    (made,) = serving.course().advance(finish=True)
    serving.roster.adopt(made.detector)
    serving.say("begun", "sax")
    serving.say("after", "sax")
    with serving.engine.connect() as connection:
        query = select(DecisionTable.stream_id, DecisionTable.version)
        found = dict(tuple(row) for row in connection.execute(query))
    assert found["begun"] == serving.talk.version
    assert found["after"] == made.detector.version


def test_a_version_that_somebody_activated_is_where_learning_goes_on(serving):
    """And what was looked at before is not looked at again: going back would be for nothing."""
    serving.teach("quokka", "yes", 3)
    course = serving.course()
    (made,) = course.advance(finish=True)
    serving.registry.activate("talk", serving.talk.version)
    assert list(course.advance(finish=True)) == []
    serving.teach("numbat", "no", 3)
    (after,) = course.advance(finish=True)
    assert after.from_version == serving.talk.version
    assert "numbat" in after.detector.classifier.learned.words
    assert "quokka" not in after.detector.classifier.learned.words
    assert after.detector.version != made.detector.version


def test_what_a_retired_version_learned_is_not_learned_again_by_the_next_learner(serving):
    serving.teach("quokka", "yes", 3)
    (made,) = serving.course().advance(finish=True)
    serving.registry.activate("talk", serving.talk.version)
    serving.registry.retire("talk", made.detector.version)
    assert list(serving.course().advance(finish=True)) == []
    assert serving.active() == serving.talk.version


def test_a_store_that_was_made_anew_is_learned_from_its_beginning(serving):
    serving.teach("quokka", "yes", 4)
    (made,) = serving.course().advance(finish=True)
    assert labels_up_to(made.detector).upto >= 4
    with writing(serving.engine) as connection:
        connection.execute(delete(LabelTable))
    if serving.engine.name == "sqlite":
        with writing(serving.engine) as connection:
            connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = 'labels'")
    else:
        with writing(serving.engine) as connection:
            connection.exec_driver_sql("ALTER SEQUENCE labels_id_seq RESTART")
    serving.teach("numbat", "no", 2)
    (after,) = serving.course().advance(finish=True)
    assert after.n_lessons == 2


def test_without_an_active_version_nothing_is_learned(serving):
    serving.registry.retire("talk", serving.talk.version)
    with pytest.raises(RegistryError, match="no version of it is active"):
        serving.course()


def test_an_unknown_detector_is_named_with_those_that_are_there(serving):
    with pytest.raises(RegistryError, match=r"'nobody' cannot learn.*talk@"):
        Course(
            serving.engine, serving.registry, "nobody", load=datasets.load, every=5,
            today=lambda: "2026-11-23",
        )  # fmt: skip


def test_a_detector_that_does_not_learn_is_refused_before_its_data_is_looked_for(serving):
    class Only:
        def entries(self, name=None):
            return serving.registry.entries("talk")

        def load(self, reference):
            return toy_detector(name="talk", version=serving.talk.version)

    with pytest.raises(LearningError, match="does not learn while it serves"):
        Course(serving.engine, Only(), "talk", load=None, every=5, today=lambda: "2026-11-23")


def test_a_set_that_is_gone_or_changed_is_said(serving, tmp_path):
    other = write_talk(tmp_path, seed=3)
    with pytest.raises(LearningError, match="trained on a set with the SHA-256"):
        serving.course(load=lambda _: datasets.load(str(other)))
    with pytest.raises(DatasetError, match="there is no data set"):
        serving.course(load=lambda _: datasets.load(str(tmp_path / "gone")))
