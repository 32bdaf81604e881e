"""The made-up conversations are what their page says: the same everywhere, and not leaking."""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from bench.corpus import first_turns, lengths, telltale
from detectors import config, datasets
from detectors.corpus import SEED, conversations, fingerprint, make
from detectors.corpus.conversations import POOLS, SIZES, conversation
from detectors.corpus.facts import Facts
from detectors.corpus.grammar import Draws, expand, places
from detectors.corpus.plot import LABELS, LONGEST, SHORTEST
from detectors.corpus.templates import slots, templates

CHANCES = 5.0
"""Standard errors that a share may lie from where it should."""


@pytest.fixture(scope="module")
def made():
    return conversations()


@pytest.fixture(scope="module")
def everything(made):
    return [one for them in made.values() for one in them]


def split_by_class(them):
    return [[one for one in them if one.label == label] for label in LABELS]


def plain(text):
    """Return the words alone, so that capitals and marks tell nothing apart."""
    return " ".join(re.findall(r"[a-z]+", text.lower()))


def answers(made, view):
    """Return how often a bag of words, learned on train, is right on the other parts."""
    fit, rest = made["train"], [*made["calibration"], *made["test"]]
    model = make_pipeline(
        TfidfVectorizer(min_df=2, sublinear_tf=True), LogisticRegression(C=5.0, max_iter=2000)
    ).fit([view(one) for one in fit], [one.label for one in fit])
    return model.score([view(one) for one in rest], [one.label for one in rest])


def test_the_content_is_the_recorded_one_on_every_machine(made):
    provenance = tomllib.loads((datasets.BUNDLED / "shop-talk.toml").read_text(encoding="utf-8"))
    assert fingerprint(made) == provenance["sha256"]
    assert fingerprint(conversations(SEED + 1)) != provenance["sha256"]


def test_it_is_named_as_made_up_wherever_it_shows():
    provenance = make().provenance
    assert provenance["made_up"] is True
    for key in ("title", "source"):
        assert "made up" in provenance[key].lower().replace("-", " ")
    detector = (datasets.BUNDLED / "scam.toml").read_text(encoding="utf-8")
    assert "MADE-UP" in detector


def test_the_data_set_holds_the_turns_as_steps(made):
    dataset = datasets.load("shop-talk")
    assert {name: len(part) for name, part in dataset.parts.items()} == SIZES
    assert "shop-talk" in datasets.bundled()
    for name, part in dataset.parts.items():
        assert (part.modality, part.classes, part.channels) == ("text", LABELS, ("text",))
        for i in (0, len(part) - 1):
            steps = part.inputs[part.offsets[i] : part.offsets[i + 1]]
            assert list(steps) == [turn.text for turn in made[name][i].turns]
            assert part.classes[part.labels[i]] == made[name][i].label
        assert len(np.unique(part.subjects)) == len(part)


def test_the_detectors_configuration_fits_the_set():
    chosen = config.read(datasets.BUNDLED / "scam.toml")
    assert (chosen.dataset, chosen.modality, chosen.classifier.kind) == (
        "shop-talk",
        "text",
        "ss3",
    )
    assert chosen.rule.alarm in make().parts["train"].classes


def test_no_template_of_calibration_and_test_occurs_in_train(made):
    assert POOLS == {"train": "train", "calibration": "held", "test": "held"}
    used = {
        part: {turn.template for one in them for turn in one.turns} for part, them in made.items()
    }
    assert used["train"] <= set(templates("train").texts())
    assert not used["train"] & (used["calibration"] | used["test"])
    assert not set(templates("train").texts()) & set(templates("held").texts())
    # Calibration and test draw from one pool, and use nearly all of it.
    pool = set(templates("held").texts())
    assert len(used["calibration"] & used["test"]) > 0.95 * len(pool)


def wordings(template):
    """Return every sentence that a template stands for, its places unfilled, the words alone."""
    found = re.search(r"\[([^\[\]]*)\]", template)
    if found is None:
        return {plain(template)}
    before, after = template[: found.start()], template[found.end() :]
    return {s for wording in found[1].split("|") for s in wordings(before + wording + after)}


def test_no_sentence_can_be_drawn_in_train_and_in_test():
    train, held = (
        {sentence for template in templates(pool).texts() for sentence in wordings(template)}
        for pool in ("train", "held")
    )
    assert len(held) > 1000
    assert not train & held


def test_no_conversation_stands_twice(everything):
    whole = Counter(plain(first_turns(one)) for one in everything)
    assert max(whole.values()) == 1


@pytest.mark.parametrize("pool", ["train", "held"])
def test_every_template_can_be_filled_and_leaves_no_mark_behind(pool):
    for template in templates(pool).texts():
        assert template.count("[") == template.count("]")
        for k in range(5):
            draws = Draws(f"{template}{k}")
            facts = Facts(draws)
            assert all(facts(place) for place in places(template))
            sentence = expand(template, draws, facts)
            assert sentence
            assert not re.search(r"[\[\]{}|]|  |,[,.?]|\?\.|\.\.", sentence), sentence


def test_no_address_is_anyones_and_no_phone_number_is_said(everything):
    texts = [turn.text for one in everything for turn in one.turns]
    addresses = [word for text in texts for word in re.findall(r"\S+\.\w+/\S+", text)]
    assert addresses
    assert all(re.search(r"\.example/", address) for address in addresses)
    assert not [text for text in texts if re.search(r"https?:|www\.|@|\d{6,}", text)]
    assert all("." not in host for host in slots()["links"]["hosts"])


def test_every_conversation_is_a_stream_of_4_to_14_turns_with_one_turning_point(everything):
    for one in everything:
        assert SHORTEST <= len(one.turns) <= LONGEST
        assert all(turn.text for turn in one.turns)
        first = next(i for i, turn in enumerate(one.turns) if turn.telling)
        assert 1 <= first <= len(one.turns) - 2
        assert len({turn.template for turn in one.turns}) == len(one.turns)


def test_hard_ones_are_there_in_both_classes(everything):
    ordinary, scams = split_by_class(everything)
    hard = {
        (setting, theme.name)
        for setting, themes in templates("train").ordinary.items()
        for theme in themes
        if theme.hard
    }
    share = np.mean([(one.setting, one.theme) in hard for one in ordinary])
    assert 0.4 < share < 0.6
    late = [sum(turn.telling for turn in one.turns) <= 2 for one in scams]
    assert np.mean(late) > 0.15  # scams that show themselves in two turns at most


def test_a_scam_may_sound_like_shop_talk_for_long(everything):
    _, scams = split_by_class(everything)
    before = [next(i for i, turn in enumerate(one.turns) if turn.telling) for one in scams]
    assert np.mean(np.array(before) >= 5) > 0.1


def test_lengths_settings_and_turning_points_are_the_same_in_both_classes():
    them = [one for seed in range(3) for part in conversations(seed).values() for one in part]
    classes = split_by_class(them)

    def close(of):
        first, second = (np.array([of(one) for one in each], dtype=float) for each in classes)
        error = math.hypot(
            first.std() / math.sqrt(len(first)), second.std() / math.sqrt(len(second))
        )
        return abs(first.mean() - second.mean()) < CHANCES * error

    assert close(lambda one: len(one.turns))
    assert close(lambda one: one.setting == "market")
    assert close(lambda one: next(i for i, turn in enumerate(one.turns) if turn.telling))
    assert close(lambda one: one.turns[0].role in ("buyer", "customer"))
    n_words = [
        np.mean([len(turn.text.split()) for one in each for turn in one.turns]) for each in classes
    ]
    assert abs(n_words[0] - n_words[1]) < 0.5  # of about nine
    for part in conversations(0).values():
        scams = np.mean([one.label == "scam" for one in part])
        assert abs(scams - 0.5) < CHANCES * 0.5 / math.sqrt(len(part))


def test_lengths_and_digits_and_addresses_do_not_give_the_class_away(made):
    assert answers(made, telltale) < 0.6
    rest = [*made["calibration"], *made["test"]]
    model = LogisticRegression(max_iter=2000).fit(
        lengths(made["train"]), [one.label for one in made["train"]]
    )
    assert model.score(lengths(rest), [one.label for one in rest]) < 0.6


def test_it_is_neither_too_easy_nor_too_hard_and_the_signal_grows(made):
    first, half, whole = (
        answers(made, lambda one, n=n: first_turns(one, n)) for n in (1, 4, None)
    )
    assert first < 0.6
    assert 0.68 < half < 0.82
    assert 0.9 < whole < 0.97


def test_calibration_and_test_follow_one_law_and_train_another(made):
    """The parts are told apart only where the templates differ."""

    def told_apart(one, other):
        texts = [first_turns(each) for each in (*one, *other)]
        which = np.repeat([0, 1], [len(one), len(other)])
        order = np.random.default_rng(0).permutation(len(texts))
        fit, rest = order[::2], order[1::2]
        model = make_pipeline(TfidfVectorizer(min_df=2), LogisticRegression(C=5.0, max_iter=2000))
        model.fit([texts[i] for i in fit], which[fit])
        return model.score([texts[i] for i in rest], which[rest])

    assert told_apart(made["calibration"], made["test"]) < 0.58
    assert told_apart(made["train"][:400], made["test"]) > 0.9


def test_a_conversation_does_not_depend_on_the_others(made):
    assert conversation(f"{SEED}/test/7", "held") == made["test"][7]


def test_draws_are_the_same_for_the_same_seed_and_cover_their_range():
    draws = Draws("a")
    seen = [draws.index(3) for _ in range(300)]
    again = Draws("a")
    assert seen == [again.index(3) for _ in range(300)]
    assert set(seen) == {0, 1, 2}
    picked = Counter(draws.weighted((("a", 3.0), ("b", 1.0))) for _ in range(4000))
    assert abs(picked["a"] / 4000 - 0.75) < CHANCES * math.sqrt(0.75 * 0.25 / 4000)


def test_brackets_may_stand_in_brackets():
    found = {expand("[a [b|c]|d] e", Draws(str(k)), str) for k in range(60)}
    assert found == {"a b e", "a c e", "d e"}
