"""JSON files of the classifiers of text, and the vocabulary among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from models.errors import ModelFileError
from models.text import tokens

if TYPE_CHECKING:
    from pathlib import Path

Word = Annotated[str, Meta(min_length=1, max_length=tokens.LONGEST_WORD)]


def write_json(path: Path, content: Any) -> None:  # noqa: ANN401  # whatever msgspec encodes
    """Write a value so that people can read it; the same value gives the same bytes."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def read_words(path: Path) -> tuple[str, ...]:
    """Return the vocabulary in a file; raises ModelFileError unless it is different words."""
    try:
        words = msgspec.json.decode(path.read_bytes(), type=tuple[Word, ...])
    except (OSError, msgspec.MsgspecError) as error:
        # Not the decoder's words beyond the place: a vocabulary is what people wrote.
        raise ModelFileError(path, f"not a list of words ({error})") from error
    if len(set(words)) != len(words):
        raise ModelFileError(path, "a word stands in it twice")
    if any(tokens.split([text]) != [text] for text in words):
        raise ModelFileError(path, "it holds what is not one word")
    return words
