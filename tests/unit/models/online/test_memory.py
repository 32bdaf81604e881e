"""What a stream remembers of its words, so that a later label can be learned from."""

from __future__ import annotations

import time

import numpy as np
import pytest

from models.online import memory
from models.online.lessons import Lessons, nothing, words_of
from models.text.errors import PostError
from models.text.tokens import split
from tests.unit.models.online.test_lessons import PILED, same, served


@pytest.fixture(scope="module")
def classifier():
    lessons = Lessons(nothing(("no", "yes")), alpha=1.0, least_streams=1)
    lessons.learn("please pay now for the blue bike", "yes")
    lessons.learn("the bike is blue", "no")
    return served(lessons.learned())


def after(classifier, posts):
    state = classifier.start(1)
    for post in posts:
        state, _ = classifier.step(state, np.array([post], dtype=object))
    return state


def remembered(classifier, *posts):
    return classifier.words_of(after(classifier, posts), 0).split()


def test_known_and_strange_words_are_remembered_as_often_as_they_were_said(classifier):
    found = remembered(classifier, "Pay the ZEBRA now,", "", "the zebra! pay £20")
    assert sorted(found) == sorted(
        ["pay", "the", "zebra", "now", "the", "zebra", "pay", "£", "00"]
    )


def test_to_learn_from_the_memory_is_to_learn_from_the_posts(classifier):
    posts = [
        "Don't pay for the bike!",
        "ÄÖÜ ΑΘΗΝΑ £ 17",
        "秘密 हिन्दी",
        "\x00 a\x00b",
        "İstanbul ß",
    ]
    whole, left = (Lessons(nothing(("no", "yes")), alpha=1.0, least_streams=1) for _ in range(2))
    whole.learn("\n".join(posts), "yes")
    left.learn(classifier.words_of(after(classifier, posts), 0), "yes")
    assert same(whole.learned(), left.learned())


def test_the_first_words_stay_and_later_ones_find_no_room(classifier):
    known = ["pay now"] * (memory.KNOWN // 2 + 3)
    strange = [f"x{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(memory.STRANGE + 9)]
    found = remembered(classifier, *known, *strange, "bike")
    assert found[: memory.KNOWN] == ["pay", "now"] * (memory.KNOWN // 2)
    assert found[memory.KNOWN :] == strange[: memory.STRANGE]


def test_a_strange_word_that_takes_too_many_bytes_is_left_out_and_takes_no_place(classifier):
    fits, long = "y" * memory.SPELLING_BYTES, "z" * (memory.SPELLING_BYTES + 1)
    wide = "й" * (memory.SPELLING_BYTES // 2 + 1)
    assert remembered(classifier, f"{long} {fits} {wide} ok") == [fits, "ok"]


def test_each_stream_of_a_batch_remembers_its_own(classifier):
    posts = np.array(["pay", "", "zebra pay zebra", "bike"], dtype=object)
    state, _ = classifier.step(classifier.start(4), posts)
    state, _ = classifier.step(state, posts[::-1].copy())
    found = [classifier.words_of(state, i).split() for i in range(4)]
    assert found == [["pay", "bike"], ["pay", "zebra", "zebra"], ["pay", "zebra", "zebra"],
                     ["bike", "pay"]]  # fmt: skip


@pytest.mark.parametrize(
    "post", ["\x00", "\ud800", "\ud800pay\udfff", "\u202eyap\u202c pay", "a\x00pay", PILED]
)
def test_odd_posts_are_remembered_as_what_can_be_learned(classifier, post):
    text = classifier.words_of(after(classifier, [post]), 0)
    assert text.isprintable()
    assert split([text]) == text.split(" ") if text else not words_of(post)


def test_a_post_of_a_megabyte_is_read_within_a_second_and_remembered_in_part(classifier):
    for post in ("pay " * 262_144, "zebra" * 209_715, "ä" * 1_000_000, "ж ф " * 262_144):
        began = time.process_time()
        state = after(classifier, [post])
        assert time.process_time() - began < 3.0
        assert len(classifier.words_of(state, 0).split()) <= memory.KNOWN + memory.STRANGE
        assert sum(array.nbytes for array in state.values()) < 2048


def test_what_is_no_post_is_refused(classifier):
    for wrong in (None, 7, b"pay"):
        with pytest.raises(PostError):
            classifier.step(classifier.start(1), np.array([wrong], dtype=object))
