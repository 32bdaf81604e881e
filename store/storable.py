"""What both databases can hold, checked before anything is written.

PostgreSQL takes no null byte in a text and minds the length; SQLite takes all. A ledger must
answer alike on both, so names are checked here, and free texts and JSON are cleaned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from store.errors import CommitRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from store.rows import PartitionCommit

NOT_UNICODE = "a name that is not valid Unicode"
REPLACEMENT = "\ufffd"
LIMITS = {
    "detector": 64,
    "version": 64,
    "stream_id": 256,
    "episode": 256,
    "label": 128,
    "late_label": 128,
}
"""Longest name in characters, as the columns of `store.tables` have it."""
STATE_NAMES = ("detector", "stream_id", "version", "episode")
DECISION_NAMES = (*STATE_NAMES, "label")
OUTCOME_NAMES = ("detector", "stream_id", "episode", "late_label")


def check(commits: Sequence[PartitionCommit]) -> None:
    """Raise CommitRefusedError if a name cannot be stored or a thing comes twice.

    The message names the place and never shows the name itself, which may be a person's.
    """
    if len({commit.partition for commit in commits}) < len(commits):
        trouble = "a partition comes twice in one call"
        raise CommitRefusedError(trouble)
    for commit in commits:
        keys = {(state.detector, state.stream_id) for state in commit.states}
        if len(keys) < len(commit.states):
            trouble = f"two states of one stream in partition {commit.partition}"
            raise CommitRefusedError(trouble)
        if not keys.isdisjoint(commit.forgotten):
            trouble = f"a state both kept and forgotten in partition {commit.partition}"
            raise CommitRefusedError(trouble)
        _check_names("states", STATE_NAMES, commit.states)
        _check_names("decisions", DECISION_NAMES, commit.decisions)
        _check_names("outcomes", OUTCOME_NAMES, commit.outcomes)


def _check_names(what: str, names: Iterable[str], rows: Sequence[Any]) -> None:
    for name in names:
        limit = LIMITS[name]
        for i, row in enumerate(rows):
            value: str = getattr(row, name)
            if len(value) > limit or "\x00" in value:
                trouble = "holds a null byte" if "\x00" in value else f"exceeds {limit} characters"
                place = f"{name} of {what}[{i}] {trouble}"
                raise CommitRefusedError(place)


def clean_text(text: str) -> str:
    r"""Return `text` with what UTF-8 or PostgreSQL cannot hold replaced by U+FFFD.

    >>> clean_text("a\x00b\ud800") == "a\ufffdb\ufffd"
    True
    """
    if "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text):
        return text
    return "".join(REPLACEMENT if c == "\x00" or "\ud800" <= c <= "\udfff" else c for c in text)


def clean_json(value: Any) -> str:  # noqa: ANN401  # whatever JSON can hold
    r"""Encode `value`; its texts are cleaned as by `clean_text`, NaN and infinities become null.

    >>> clean_json({"word": "a\x00b", "nats": float("inf")}) == '{"word":"a\ufffdb","nats":null}'
    True
    """
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_clean(value)).decode()
    if b"\\u0000" in encoded:
        encoded = msgspec.json.encode(_clean(value))
    return encoded.decode()


def _clean(value: Any) -> Any:  # noqa: ANN401  # whatever JSON can hold
    match value:
        case str():
            return clean_text(value)
        case dict():
            return {_clean(name): _clean(item) for name, item in value.items()}
        case list() | tuple():
            return [_clean(item) for item in value]
        case _:
            return value
