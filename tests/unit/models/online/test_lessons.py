"""What is learned is river's naive Bayes, whatever the order and the interruptions."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river.feature_extraction import BagOfWords
from river.naive_bayes import MultinomialNB

from models.online.classifier import RiverClassifier, load
from models.online.files import RiverDescription
from models.online.lessons import Lessons, learn_all, nothing, words_of
from models.online.options import RiverOptions
from models.text.answer import Answer
from models.text.tokens import split

CLASSES = ("no", "yes")
WORDS = ["pay", "now", "please", "bike", "blue", "size", "ünïcode", "00", "£", "don't"]

text = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
lesson = st.tuples(text, st.sampled_from(CLASSES))
odd_text = st.text(max_size=40)


def begun(learned=None, least=2, alpha=1.0, classes=CLASSES):
    return Lessons(learned or nothing(classes), alpha=alpha, least_streams=least)


def same(one, other):
    for name in ("counts", "streams", "waiting", "waiting_counts", "waiting_streams"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    return (one.classes, one.words) == (other.classes, other.words)


def served(learned, folder=None, alpha=1.0):
    """Return the snapshot that answers by naive Bayes and nothing else: no damping, no scale."""
    prior = np.log(learned.streams / learned.streams.sum())
    description = RiverDescription(
        classes=learned.classes, horizon=50, options=RiverOptions(alpha=alpha),
        answer=Answer("none", 1.0, tuple(prior.tolist())),
    )  # fmt: skip
    classifier = RiverClassifier(description, learned)
    if folder is None:
        return classifier
    classifier.save(folder)
    return load(folder)


def answers(classifier, posts):
    state = classifier.start(1)
    for post in posts:
        state, output = classifier.step(state, np.array([post], dtype=object))
    return output.probabilities[0]


@pytest.mark.parametrize("alpha", [0.1, 1.0, 7.5])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_snapshot_answers_as_the_river_pipeline_does(tmp_path, alpha, n_classes):
    random = np.random.default_rng(n_classes)
    classes = tuple(f"c{k}" for k in range(n_classes))
    lessons = begun(least=1, alpha=alpha, classes=classes)
    for n in range(80):
        said = random.choice(WORDS, random.integers(1, 12)).tolist()
        lessons.learn(" ".join(said), classes[n % n_classes])
    classifier = served(lessons.learned(), tmp_path, alpha)
    for _ in range(50):
        posts = [" ".join(random.choice(WORDS, 5).tolist()) for _ in range(4)]
        theirs = lessons.pipeline.predict_proba_one(" ".join(posts))
        ours = answers(classifier, posts)
        np.testing.assert_allclose(ours, [theirs[c] for c in classes], atol=1e-6)


def test_the_pipeline_is_rivers_own_on_words_cut_our_way():
    """Without the rule on rare words it is river's naive Bayes on river's bag of words."""
    theirs = BagOfWords(tokenizer=words_of, lowercase=False) | MultinomialNB(alpha=1.0)
    lessons = begun(least=1)
    random = np.random.default_rng(5)
    for n in range(40):
        said = " ".join(random.choice(WORDS, 6).tolist())
        theirs.learn_one(said, CLASSES[n % 2])
        lessons.learn(said, CLASSES[n % 2])
    question = "please pay £ 12 for the blue bike"
    ours = lessons.pipeline.predict_proba_one(question)
    assert ours == pytest.approx(theirs.predict_proba_one(question), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(lesson, max_size=12), st.data())
def test_order_and_interruptions_change_nothing(lessons, data):
    straight = begun()
    learn_all(straight, *(zip(*lessons, strict=True) if lessons else ((), ())))
    mixed = data.draw(st.permutations(lessons))
    cut = data.draw(st.integers(0, len(lessons)))
    first = begun()
    for said, label in mixed[:cut]:
        first.learn(said, label)
    second = begun(first.learned())
    for said, label in mixed[cut:]:
        second.learn(said, label)
    assert same(second.learned(), straight.learned())


@settings(max_examples=30, deadline=None)
@given(st.lists(lesson, min_size=1, max_size=12), st.integers(0, 12))
def test_a_save_and_load_between_two_lessons_changes_nothing(tmp_path_factory, lessons, cut):
    straight, first = begun(), begun()
    for said, label in lessons:
        straight.learn(said, label)
    for said, label in lessons[:cut]:
        first.learn(said, label)
    folder = tmp_path_factory.mktemp("saved")
    description = RiverDescription(
        classes=CLASSES, horizon=9, options=RiverOptions(least_streams=2),
        answer=Answer("none", 1.0, (0.0, 0.0)),
    )  # fmt: skip
    RiverClassifier(description, first.learned()).save(folder)
    again = begun(load(folder).learned)
    for said, label in lessons[cut:]:
        again.learn(said, label)
    assert same(again.learned(), straight.learned())


def test_a_lesson_counts_for_its_stream_even_without_a_word():
    lessons = begun()
    lessons.learn("", "yes")
    lessons.learn("...", "yes")
    assert lessons.learned().streams.tolist() == [0, 2]
    assert lessons.learned().words == ()


def test_a_label_that_is_no_class_is_refused_and_changes_nothing():
    lessons = begun()
    lessons.learn("pay now", "yes")
    before = lessons.learned()
    with pytest.raises(KeyError, match="maybe"):
        lessons.learn("pay now", "maybe")
    assert same(lessons.learned(), before)


@pytest.mark.parametrize("least", [2, 3, 5])
def test_a_word_stands_in_the_model_once_enough_streams_had_it_with_all_its_counts(least):
    lessons = begun(least=least)
    for nth in range(1, least + 1):
        assert lessons.learned().words == (), nth
        lessons.learn("zebra zebra", CLASSES[nth % 2])
    learned = lessons.learned()
    assert learned.words == ("zebra",)
    assert learned.counts.sum() == 2 * least
    assert learned.counts[1, 0] == 2 * len(range(1, least + 1, 2))
    assert not learned.waiting.size


def test_saying_a_word_often_in_one_stream_does_not_make_it_known():
    lessons = begun(least=2)
    lessons.learn("zebra " * 50, "yes")
    assert lessons.learned().words == ()


def test_a_rare_word_stands_nowhere_in_the_files(tmp_path):
    """Neither spelled, nor by a hash that could be read back: 8 bytes of BLAKE2b."""
    lessons = begun(least=3)
    names = ["margarethe", "zwiebelfisch", "ΑΘΗΝΑ", "秘密", "müller"]
    for said in (*names, *names):
        lessons.learn(f"please pay {said}", "yes")
    lessons.learn("please pay", "no")
    classifier = served(lessons.learned(), tmp_path)
    assert classifier.learned.words == ("pay", "please")
    assert len(classifier.learned.waiting) == len(names)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for name in names:
        folded = split([name])[0]
        for form in (name, folded):
            for encoding in ("utf-8", "utf-16-le", "utf-32-le"):
                assert form.encode(encoding) not in content
            assert msgspec.json.encode(form)[1:-1] not in content
            escaped = form.encode("ascii", "backslashreplace")
            assert escaped not in content
        digest = hashlib.blake2b(folded.encode(), digest_size=8).digest()
        assert digest in content  # what does stand there: who guesses the word can check the guess


PILED = "a" + "\u0344" * 8
"""Reads as another word once it has been read: each mark comes apart into two."""


def test_a_word_that_reads_otherwise_when_read_again_is_not_learned(tmp_path):
    """Else whoever may write a post could make a version that nobody can load."""
    assert split(split([PILED])) != split([PILED])
    assert words_of(f"pay {PILED} now") == ["pay", "now"]
    lessons = begun(least=1)
    lessons.learn(f"pay {PILED}", "yes")
    lessons.learn("now", "no")
    assert served(lessons.learned(), tmp_path).learned.words == ("now", "pay")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(odd_text, st.sampled_from(CLASSES)), min_size=2, max_size=4))
def test_whatever_was_learned_can_be_saved_and_loaded(tmp_path_factory, lessons):
    learner = begun(least=1)
    for said, label in (*lessons, ("a", "no"), ("b", "yes")):
        learner.learn(said, label)
    learned = learner.learned()
    assert same(served(learned, tmp_path_factory.mktemp("odd")).learned, learned)


@pytest.mark.parametrize("said", ["\x00", "\ud800", "\ud800pay\udfff", "\u202e\u200f", "a\x00b"])
def test_odd_characters_are_no_trouble(tmp_path, said):
    lessons = begun(least=1)
    lessons.learn(said, "yes")
    lessons.learn("pay", "no")
    classifier = served(lessons.learned(), tmp_path)
    assert np.isfinite(answers(classifier, [said, "pay", said])).all()
