from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from models.errors import InputError
from models.protocol import take
from models.text.largest import PLACES
from models.text.tokens import split
from tests.contract.walking import equal, everything, walk
from tests.unit.models.text.made_up import OWN, SHARED, array, drawn, fitted


@pytest.fixture(scope="module", params=[(2, {}), (2, {"cv": "norm_gv", "sg": "xai"}), (5, {})])
def classifier(request):
    n_classes, options = request.param
    return fitted(n_classes, **options)


def inputs_for(classifier, n, steps, seed=0):
    return drawn(n, steps, seed, len(classifier.classes))


def values(classifier, word):
    words = classifier.vocabulary.words
    n = len(classifier.classes)
    return classifier.vocabulary.table[:, words.index(word)] if word in words else np.zeros(n)


def test_the_state_holds_the_plain_sums_of_the_words_values(classifier):
    inputs = inputs_for(classifier, 20, 9)
    state = walk(classifier, inputs)[0][-1]
    for i in range(20):
        read = " ".join(inputs[i]).split()
        wanted = sum((values(classifier, word) for word in read), np.zeros(1))
        assert np.array_equal(state["cv"][i], wanted)


def test_one_more_post_gives_what_reading_everything_anew_gives(classifier):
    inputs = inputs_for(classifier, 30, 12)
    states, outputs = walk(classifier, inputs)
    for t in range(1, 13):
        at_once = array([" ".join(row[:t]) for row in inputs])
        state, output = classifier.step(classifier.start(30), at_once)
        assert np.array_equal(state["cv"], states[t]["cv"])
        assert np.array_equal(output.probabilities, outputs[t - 1].probabilities)


def test_a_prefix_is_answered_the_same_whatever_comes_after(classifier):
    inputs = inputs_for(classifier, 30, 12)
    states, outputs = walk(classifier, inputs)
    for stop in (1, 5, 11):
        again, answers = walk(classifier, inputs[:, :stop])
        assert equal(
            everything(again[-1], answers[-1]), everything(states[stop], outputs[stop - 1])
        )


def test_a_stream_gets_the_same_in_any_batch_to_the_last_bit(classifier):
    inputs = inputs_for(classifier, 600, 6)
    inputs[::7, 5] = "Ünïcode \N{COMBINING ACUTE ACCENT} \u0434\u0430 " + inputs[::7, 5]
    states, _ = walk(classifier, inputs)
    whole = everything(*classifier.step(states[5], inputs[:, 5]))
    random = np.random.default_rng(1)
    for n in (1, 2, 3, 255, 256, 257, *random.integers(1, 600, 40)):
        rows = random.permutation(600)[:n]
        there = everything(*classifier.step(take(states[5], rows), inputs[rows, 5]))
        assert equal(there, take(whole, rows))


def test_a_step_changes_no_argument_and_keeps_no_reference(classifier):
    inputs = inputs_for(classifier, 50, 4)
    state = walk(classifier, inputs[:, :3])[0][-1]
    post = inputs[:, 3].copy()
    for values_ in (*state.values(), post):
        values_.flags.writeable = False
    found = everything(*classifier.step(state, post))
    kept = {name: values_.copy() for name, values_ in found.items()}
    for values_ in (*state.values(), post):
        values_.flags.writeable = True
        values_.fill(1 if values_.dtype != object else "x")
    assert equal(found, kept)


def test_the_state_has_its_announced_fields_and_stays_small(classifier):
    fields = classifier.fields()
    state = classifier.start(3)
    for t in range(60):
        state, output = classifier.step(state, inputs_for(classifier, 3, 1, seed=t)[:, 0])
        assert {name: (a.dtype.name, a.shape[1:]) for name, a in state.items()} == {
            name: (field.dtype, field.shape) for name, field in fields.items()
        }
    assert sum(a.nbytes for a in state.values()) == 3 * (8 * len(classifier.classes) + 4 + 12 * 16)
    assert output.probabilities.dtype == np.float32
    np.testing.assert_allclose(output.probabilities.sum(axis=1), 1, atol=1e-6)


def test_no_streams_are_no_trouble(classifier):
    state, output = classifier.step(classifier.start(0), np.empty(0, dtype=object))
    assert output.probabilities.shape == (0, len(classifier.classes))
    assert all(len(array_) == 0 for array_ in state.values())


def test_posts_that_say_nothing_leave_the_answer_as_it_is(classifier):
    start = classifier.start(6)
    nothing = array(["", " \n", "\x00", "\ud800", "??", "neverlearned"])
    state, output = classifier.step(start, nothing)
    assert not state["cv"].any()
    assert (state["step"] == 1).all()
    assert not state["top_times"].any()
    offsets = np.exp(classifier.description.answer.offsets)
    wanted = (offsets / offsets.sum()).astype(np.float32)
    assert np.allclose(output.probabilities, wanted)


def test_hostile_posts_do_not_disturb_their_neighbours(classifier):
    plain = inputs_for(classifier, 4, 1)[:, 0]
    alone = everything(*classifier.step(classifier.start(4), plain))
    word = OWN[1][0]
    hostile = array(
        [
            f"{word} " * 200_000,
            "\x00".join([word] * 9),
            "שלום \u202e",
            "\ud83d" + word,
            "e\u0301" * 9,
        ]
    )
    state, output = classifier.step(classifier.start(9), np.concatenate((plain, hostile)))
    assert equal(take(everything(state, output), range(4)), alone)
    assert np.array_equal(state["cv"][4], 200_000 * values(classifier, word))
    assert np.array_equal(state["cv"][5], 9 * values(classifier, word))
    assert np.isfinite(output.probabilities).all()


@pytest.mark.parametrize(
    "posts",
    [
        array(["a", None]),
        array(["a", 7]),
        array(["a", b"b"]),
        array(["a"]),
        array([["a", "b"]]),
        np.zeros((2, 3), np.float32),
    ],
)
def test_what_is_no_array_of_strings_is_refused(classifier, posts):
    with pytest.raises(InputError, match=r"posts are .*Decode them first"):
        classifier.step(classifier.start(2), posts)


def test_short_streams_are_explained_word_for_word(classifier):
    inputs = inputs_for(classifier, 40, 3)
    states, outputs = walk(classifier, inputs)
    for i in range(40):
        label = int(outputs[-1].probabilities[i].argmax())
        read = Counter(word for post in inputs[i] for word in split([post]))
        first = {
            word: min(t for t in range(3) if word in inputs[i, t].split()) + 1 for word in read
        }
        found = classifier.explain(states[-1], i, label)
        others = outputs[-1].probabilities[i].copy()
        others[label] = -1
        other = int(others.argmax())
        table = {word: values(classifier, word) for word in read}
        wanted = {
            word: (first[word], times * (table[word][label] - table[word][other]), times)
            for word, times in read.items()
            if table[word][label] != table[word][other]
        }
        if len([word for word in read if np.ptp(table[word]) > 0]) <= PLACES:
            assert {
                c.evidence["word"]: (c.step, c.weight, c.evidence["times"])
                for c in found.contributions
            } == wanted
        assert found.unit == "confidence value"
        assert repr(classifier.classes[other]) in found.method


def test_weights_and_rest_are_the_labels_lead(classifier):
    inputs = inputs_for(classifier, 20, 60)
    states, outputs = walk(classifier, inputs)
    for t in (1, 7, 60):
        for i in range(20):
            for label in range(len(classifier.classes)):
                found = classifier.explain(states[t], i, label)
                others = outputs[t - 1].probabilities[i].astype(float)
                others[label] = -1
                cv = states[t]["cv"][i]
                lead = cv[label] - cv[others.argmax()]
                assert sum(c.weight for c in found.contributions) + found.rest == lead
                sizes = [abs(c.weight) for c in found.contributions]
                assert sizes == sorted(sizes, reverse=True)
                assert len(sizes) <= PLACES


def largest_one_by_one(classifier, posts):
    """Keep the largest words as the module says, one word after another."""
    size = dict(zip(classifier.vocabulary.words, classifier.vocabulary.size, strict=False))
    kept = {}
    for step, post in enumerate(posts, 1):
        new = {}
        for word, times in Counter(post.split()).items():
            if size.get(word, 0) == 0:
                continue
            if word in kept:
                kept[word] = (kept[word][0] + times, kept[word][1])
            else:
                new[word] = (times, step)
        both = kept | new
        order = sorted(both, key=lambda w: (-both[w][0] * size[w], both[w][1], w))
        kept = {word: both[word] for word in order[:PLACES]}
    return kept


def test_long_streams_keep_the_words_that_a_plain_loop_keeps(classifier):
    inputs = inputs_for(classifier, 25, 80, seed=4)
    state = walk(classifier, inputs)[0][-1]
    full = 0
    for i in range(25):
        used = np.flatnonzero(state["top_times"][i])
        found = {
            classifier.vocabulary.words[state["top_word"][i, place]]: (
                int(state["top_times"][i, place]),
                int(state["top_step"][i, place]),
            )
            for place in used
        }
        assert found == largest_one_by_one(classifier, inputs[i])
        full += len(used) == PLACES
    assert full > 5


def test_a_stream_that_has_seen_nothing_is_explained_by_nothing(classifier):
    found = classifier.explain(classifier.start(1), 0, 0)
    assert found.contributions == ()
    assert found.rest == 0


def test_words_of_the_other_classes_speak_against():
    classifier = fitted(2)
    post = array([f"{OWN[0][0]} {OWN[0][0]} {OWN[1][0]} {SHARED[0]}"])
    state, output = classifier.step(classifier.start(1), post)
    assert output.probabilities[0].argmax() == 0
    weights = {c.evidence["word"]: c.weight for c in classifier.explain(state, 0, 0).contributions}
    assert weights[OWN[0][0]] > 0 > weights[OWN[1][0]]
