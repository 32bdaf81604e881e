r"""From posts to words, the same wherever a post stands.

A word is a letter or digit and what follows of letters, digits and combining marks, with single
apostrophes inside it; a
currency sign is a word of its own; everything else separates. Case is folded and every digit reads
``0``: a number is known by how long it is. Other than ASCII is brought to Unicode's compatibility
form (NFKC) first. So defined are all strings: the empty one, control characters and lone
surrogates (they separate), right-to-left scripts (words come in the order they are stored in).
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = 1
"""Of the definition above; a classifier that was trained under another one must not be used."""
SEPARATOR = "\x00"
"""Stands between the posts in what `split` returns; no word."""
LONGEST_WORD = 64
"""Characters; longer runs are never learned, so that a vocabulary holds words only."""
MOST_MARKS = 8
"""Combining marks kept in a row. Normal text has few, and normalising very many is very slow."""

_LAST_MARK = 0x1FFFF
_DIGITS = str.maketrans("123456789", "000000000")
_DIGIT = re.compile(r"\d")
_DIGIT_BYTES = bytes.maketrans(b"123456789", b"000000000")
_WORD = r"\w+(?:'\w+)*|[$£€¥₹₽₩]|\x00"
_ASCII_WORD = re.compile(_WORD, re.ASCII)
_LATIN_WORD = re.compile(_WORD)


def split(posts: Sequence[str]) -> list[str]:
    r"""Return the words of all posts in order, with `SEPARATOR` between two posts.

    The words of a post do not depend on the posts around it. Time is linear in the characters;
    posts that are all ASCII are the quickest.

    Examples
    --------
    >>> split(["Don't pay £250!", "", "tel 07123"])
    ["don't", 'pay', '£', '000', '\x00', '\x00', 'tel', '00000']
    """
    text = SEPARATOR.join(posts)
    if text.count(SEPARATOR) >= max(len(posts), 1):
        text = SEPARATOR.join([post.replace(SEPARATOR, " ") for post in posts])
    if text.isascii():
        return _ASCII_WORD.findall(text.casefold().translate(_DIGITS))
    word, many_marks = _patterns()
    is_wide = _is_wide(text)
    if is_wide:
        text = many_marks.sub(r"\1", text)
    text = unicodedata.normalize("NFKC", text).casefold()
    text = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    # By way of bytes: a quarter of the time that it takes to translate a string beyond ASCII.
    text = (
        text.encode(errors="surrogatepass").translate(_DIGIT_BYTES).decode(errors="surrogatepass")
    )
    if is_wide:
        return word.findall(_DIGIT.sub("0", text))
    return _LATIN_WORD.findall(text)


def _is_wide(text: str) -> bool:
    """Return whether there is more than Latin-1, which has neither marks nor other digits."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return True
    return False


def may_be_learned(word: str) -> bool:
    """Return whether a word may stand in a vocabulary.

    Not those longer than any word is, and not those few that read otherwise when they are read
    again (piled-up marks do): a model that holds one could not be loaded.

    >>> may_be_learned("pay"), may_be_learned("a" * 100)
    (True, False)
    """
    return len(word) <= LONGEST_WORD and (word.isascii() or split([word]) == [word])


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    r"""Return what a word and what a run of too many marks looks like in any script.

    Python's ``\w`` leaves out combining marks, without which Hindi or Thai falls to pieces.
    """
    marks = [
        code for code in range(0x300, _LAST_MARK) if unicodedata.category(chr(code))[0] == "M"
    ]
    runs = [
        [code for _, code in run] for _, run in groupby(enumerate(marks), lambda at: at[1] - at[0])
    ]
    ranges = "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)
    word = _WORD.replace(r"\w+", rf"\w[\w{ranges}]*")
    return re.compile(word), re.compile(rf"([{ranges}]{{{MOST_MARKS}}})[{ranges}]+")
