"""SS3's values, held to those of the authors' package (`bench/ss3_golden.py` printed them)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.text.counts import LazyValues, WordCounts
from models.text.formula import Formula, confidence_table, local_value, sanction, significance
from models.text.vocabulary import Vocabulary

TEXTS = {
    "a": "sad sad sad tired tired alone night night work home",
    "b": "game game game win win team team night work home",
    "c": "cook cook cook rice rice team night work home sad",
}
WORDS = ("sad", "tired", "night", "team", "work")
POST = "so sad and tired tonight. night work team"
CARD = [
    (
        "vanilla", "gv", "abc",
        [(0.995980, 0, 0.000377), (0.833219, 0, 0), (0.827068, 0.000376, 0.000376),
         (0, 0.809034, 0.000392), (0, 0, 0)],
        (2.656267, 0.809409, 0.001144),
    ),
    ("xai", "norm_gv_xai", "abc", [(0, 0, 0), (1, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0)],
     (1, 0, 0)),
    (
        "vanilla", "gv", "ab",
        [(1, 0), (0.833219, 0), (0.138406, 0.001077), (0, 0.833219), (0.001501, 0.001501)],
        (1.973125, 0.835796),
    ),
    ("xai", "norm_gv_xai", "ab", [(1, 0), (0.833219, 0), (0, 0), (0, 0.833219), (0, 0)],
     (1.833219, 0.833219)),
]  # fmt: skip
"""Mode, classes, cv of `WORDS`, sums of `POST`; each text learned three times."""
PACKAGE = json.loads(Path(__file__).with_name("pyss3_values.json").read_text())


def learned(texts, times=3):
    counts = WordCounts(len(texts))
    for _ in range(times):
        for label, text in enumerate(texts):
            counts.learn([text], label)
    return counts


@pytest.mark.parametrize(("sg", "cv", "classes", "values", "sums"), CARD)
def test_the_golden_table_holds_in_every_cell(sg, cv, classes, values, sums):
    formula = Formula(sg=sg, cv=cv)
    counts = learned([TEXTS[name] for name in classes])
    words, table = counts.table()
    known = Vocabulary(words, confidence_table(table, formula))
    lazy = LazyValues(counts, formula)
    for word, wanted in zip(WORDS, values, strict=True):
        assert known.table[:, words.index(word)] == pytest.approx(wanted, abs=1e-6)
        assert lazy.of(word) == pytest.approx(wanted, abs=1e-6)
    assert known.sums(known.read([POST]), 1)[:, 0] == pytest.approx(sums, abs=1e-6)


@pytest.mark.parametrize(("sg", "cv"), [("vanilla", "norm_gv"), ("xai", "gv")])
def test_the_mixed_modes_give_what_the_package_gives(sg, cv):
    counts = learned(TEXTS.values())
    words, table = counts.table()
    found = dict(
        zip(words, confidence_table(table, Formula(sg=sg, cv=cv)).T.tolist(), strict=True)
    )
    if cv == "gv":
        assert found["tired"] == pytest.approx([0.833219, 0, 0], abs=1e-6)
        assert found["sad"] == [0, 0, 0]
    else:
        assert found["sad"] == pytest.approx([1, 0, 0.000377], abs=1e-6)
        assert found["tired"] == pytest.approx([0.836582, 0, 0], abs=1e-6)
        assert found["night"] == pytest.approx([0.830407, 0.000376, 0.000376], abs=1e-6)


@pytest.mark.parametrize("case", PACKAGE, ids=lambda c: f"{len(c['texts'])} {c['sg']} {c['cv']}")
def test_random_texts_have_the_values_that_the_package_gives_them(case):
    formula = Formula(*case["point"], sg=case["sg"], cv=case["cv"])
    counts = learned(case["texts"], times=1)
    words, table = counts.table()
    values = confidence_table(table, formula)
    lazy = LazyValues(counts, formula)
    for word, wanted in case["values"].items():
        assert lazy.of(word) == pytest.approx(wanted, abs=1e-9)
        if word in words:
            assert values[:, words.index(word)] == pytest.approx(wanted, abs=1e-9)


def test_a_word_read_once_has_no_value_but_counts_as_read():
    counts = np.array([[1, 4, 4], [4, 1, 0]])
    lv = local_value(counts, np.array([4, 4]), 0.45)
    assert lv.tolist() == [[0, 1, 1], [1, 0, 0]]
    three = np.array([[4, 4], [0, 1], [0, 0]])
    sg = significance(local_value(three, np.array([4, 4, 4]), 0.45), three, Formula())
    assert sg[0] == pytest.approx(1.0)
    assert sg[1].tolist() == [0.0, pytest.approx(0.0024726, abs=1e-6)]


def test_half_significance_is_lambda_deviations_above_the_median():
    lv = np.array([[0.5], [0.2], [0.2], [0.2]])  # median .2, deviation .075
    sg = significance(lv, np.ones((4, 1), int), Formula(lambda_=4.0))
    assert sg[0, 0] == pytest.approx(0.5)


def test_the_sanction_is_none_alone_and_full_in_company():
    assert sanction(np.array([[1.0], [0.0], [0.0]]), 1.0)[:, 0].tolist() == [1.0, 0.25, 0.25]
    assert sanction(np.ones((3, 1)), 2.0)[:, 0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("cv", ["gv", "norm_gv", "norm_gv_xai"])
@pytest.mark.parametrize("sg", ["vanilla", "xai"])
def test_values_are_finite_and_between_nought_and_one(sg, cv):
    random = np.random.default_rng(2)
    for n in (2, 3, 7, 30):
        counts = random.integers(0, 5, (n, 200)) ** random.integers(0, 4, (n, 200))
        counts[0] = 0  # a class that read nothing
        values = confidence_table(counts, Formula(sg=sg, cv=cv, lambda_=0.1, rho=3.0))
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1


def test_an_empty_vocabulary_has_an_empty_table():
    assert confidence_table(np.zeros((3, 0), np.int64), Formula(cv="norm_gv")).shape == (3, 0)
