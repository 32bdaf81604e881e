from __future__ import annotations

import sys
import time
import unicodedata

import pytest

from models.text.tokens import LONGEST_WORD, SEPARATOR, split


@pytest.mark.parametrize(
    ("post", "words"),
    [
        ("", []),
        (" \t\n.!?", []),
        ("Don't pay THEM", ["don't", "pay", "them"]),
        ("don\N{RIGHT SINGLE QUOTATION MARK}t", ["don't"]),
        ("'tis rock'n'roll'", ["tis", "rock'n'roll"]),
        ("£250 or $9.99", ["£", "000", "or", "$", "0", "00"]),
        ("call 08712345678", ["call", "00000000000"]),
        ("\u0663\u0664 \uff11\uff12", ["00", "00"]),
        ("snake_case", ["snake_case"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("ΣΊΣΥΦΟΣ σίσυφος", ["σίσυφοσ", "σίσυφοσ"]),
        ("cafe\u0301 café", ["café", "café"]),
        ("\uff37\uff29\uff2e", ["win"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("\u202eabc\u202c def", ["abc", "def"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("a\x00b", ["a", "b"]),
        ("a\ud800b \udfff", ["a", "b"]),
        ("win\N{PARTY POPPER}now", ["win", "now"]),
    ],
)
def test_what_a_word_is(post, words):
    assert split([post]) == words


def test_posts_are_told_apart_whatever_is_in_them():
    posts = ["one", "", "two\x00three", "\x00", "vier"]
    assert split(posts) == [
        "one", SEPARATOR, SEPARATOR, "two", "three", SEPARATOR, SEPARATOR, "vier",
    ]  # fmt: skip
    assert split([]) == split([""]) == []


NEIGHBOURS = [
    "",
    "plain",
    "\N{COMBINING ACUTE ACCENT}",
    "ΑΣ",
    "'",
    "\x00",
    "\ud83d",
    "\u1100",
    "9",
]


@pytest.mark.parametrize(
    "post", ["Σ", "it's 5", "\N{COMBINING ACUTE ACCENT}a", "'x", "\u1161", ""]
)
def test_the_words_of_a_post_do_not_depend_on_the_posts_around_it(post):
    alone = split([post])
    for before in NEIGHBOURS:
        for after in NEIGHBOURS:
            together = split([before, post, after])
            ends = [i for i, word in enumerate(together) if word == SEPARATOR]
            assert together[ends[0] + 1 : ends[1]] == alone


def test_an_ascii_text_reads_the_same_among_others():
    everything = "".join(map(chr, range(1, 128))) * 2
    assert split([everything, "é"]) == [*split([everything]), SEPARATOR, "é"]


def test_every_single_character_is_defined():
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in {"Cs", "Cc", "Zs"}:
            assert split([f"a{chr(code)}b"]) == ["a", "b"]
    assert "x" in split(["".join(map(chr, range(1, 0x3000))) + " x"])


@pytest.mark.parametrize(
    "post",
    [
        "a" + "\u0316\u0301" * 250_000,
        "\u0301" * 500_000,
        "x" * 1_000_000,
        "'a" * 500_000,
        "a'" * 500_000,
        "\x00" * 1_000_000,
        "\ud800" * 1_000_000,
        "\u1100\u1161\u11a8" * 100_000,
        "word " * 200_000,
    ],
    ids=range(9),
)
def test_a_megabyte_is_read_in_passing(post):
    started = time.process_time()
    split([post])
    assert time.process_time() - started < 5  # normalising the first as it is takes minutes


def test_a_word_is_longer_than_the_longest_one_learned_without_trouble():
    assert [len(word) for word in split(["y" * (LONGEST_WORD + 1)])] == [LONGEST_WORD + 1]
