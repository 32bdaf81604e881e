from __future__ import annotations

import numpy as np
import pytest

from models.text import counts as counts_module
from models.text.counts import LazyValues, WordCounts
from models.text.formula import Formula, confidence_table
from models.text.tokens import LONGEST_WORD


def drawn(n=200, seed=0):
    random = np.random.default_rng(seed)
    words = [f"w{chr(97 + k // 26)}{chr(97 + k % 26)}" for k in range(60)]
    return [
        (" ".join(random.choice(words, 8) if label else random.choice(words[:40], 8)), int(label))
        for label in random.integers(0, 3, n)
    ]


def learned(texts):
    counts = WordCounts(3)
    for text, label in texts:
        counts.learn([text], label)
    return counts


def test_the_order_of_learning_does_not_matter():
    texts = drawn()
    one, other = learned(texts), learned(texts[::-1])
    assert one.table()[0] == other.table()[0]
    assert np.array_equal(one.table()[1], other.table()[1])
    assert one.largest == other.largest


def test_words_are_counted_by_class_however_they_are_cut_into_posts():
    whole, cut = WordCounts(2), WordCounts(2)
    whole.learn(["Pay now, pay later"], 1)
    cut.learn(["Pay now,", "", "pay later"], 1)
    assert whole.of("pay") == cut.of("pay") == (0, 2)
    assert whole.of("never") == (0, 0)
    assert cut.table()[0] == ("later", "now", "pay")


def test_runs_too_long_for_a_word_are_not_learned():
    counts = WordCounts(2)
    counts.learn(["x" * LONGEST_WORD, "x" * (LONGEST_WORD + 1)], 0)
    assert counts.table()[0] == ("x" * LONGEST_WORD,)


def test_rare_words_can_be_left_out():
    counts = WordCounts(2)
    counts.learn(["once twice twice"], 0)
    counts.learn(["once"], 1)
    assert counts.table(least=2)[0] == ("twice",)


@pytest.mark.parametrize("cv", ["gv", "norm_gv"])
def test_a_lazy_value_is_that_of_the_whole_table_at_every_moment(cv):
    formula = Formula(cv=cv)
    counts = WordCounts(3)
    lazy = LazyValues(counts, formula)
    for text, label in drawn(60):
        counts.learn([text], label)
        words, table = counts.table()
        values = confidence_table(table, formula)
        for word in text.split():
            assert lazy.of(word) == tuple(values[:, words.index(word)])


def test_nothing_is_computed_while_learning_and_nothing_twice(monkeypatch):
    computed = []

    def counting(*arguments):
        computed.append(1)
        return original(*arguments)

    original = counts_module.global_value
    monkeypatch.setattr(counts_module, "global_value", counting)
    counts = learned(drawn(50))
    lazy = LazyValues(counts, Formula())
    assert not computed
    lazy.of("waa")
    lazy.of("waa")
    assert len(computed) == 1
    epoch = counts.epoch
    counts.learn(["quite new"], 0)
    assert counts.epoch == epoch
    lazy.of("waa")
    assert len(computed) == 1  # neither its counts nor a class's largest count changed
    counts.learn(["waa " * 500], 0)
    assert counts.epoch > epoch
    lazy.of("waa")
    assert len(computed) == 2


def test_a_word_that_reads_otherwise_when_read_again_is_not_learned():
    odd = "a" + "\u0344" * 8
    counts = WordCounts(2)
    counts.learn([f"{odd} pay", odd], label=0)
    words, _ = counts.table()
    assert words == ("pay",)
