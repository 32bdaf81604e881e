"""What a fitted SS3 is, and how it is stored: JSON and safetensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from models.errors import ModelFileError
from models.text import tokens
from models.text.answer import Answer
from models.text.options import Ss3Options
from models.text.word_files import read_words, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.text.formula import Formula

DESCRIPTION_FILE = "classifier.json"
WORDS_FILE = "words.json"
COUNTS_FILE = "counts.safetensors"
LEAST_COUNT = 2
"""A word that no class has read twice has no value anywhere, and is not stored."""


class Ss3Description(Struct, frozen=True, forbid_unknown_fields=True):
    """What an SS3 classifier says and by which numbers; `classifier.json`."""

    classes: Annotated[tuple[str, ...], Meta(min_length=2)]
    horizon: Annotated[int, Meta(ge=1, le=65535)]
    """Steps after which no answer is asked for; later ones were not learned from."""
    values: Ss3Options
    """The formula that is in force (what tuning chose, if it did)."""
    answer: Answer
    tokens: int = tokens.VERSION
    """Version of the definition of a word."""
    kind: Literal["ss3"] = "ss3"
    schema: Literal[1] = 1

    def formula(self) -> Formula:
        """Return what the words' values are computed by."""
        return self.values.formula()


def save(
    description: Ss3Description,
    words: Sequence[str],
    counts: NDArray[np.int64],
    folder: Path,
) -> None:
    """Write the three files into `folder`, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / DESCRIPTION_FILE, description)
    write_json(folder / WORDS_FILE, list(words))
    arrays = {"counts": np.ascontiguousarray(counts, dtype=np.int64)}
    (folder / COUNTS_FILE).write_bytes(save_tensors(arrays))


def load(folder: Path) -> tuple[Ss3Description, tuple[str, ...], NDArray[np.int64]]:
    """Read the three files; raises ModelFileError unless they are such and fit each other."""
    path = folder / DESCRIPTION_FILE
    try:
        description = msgspec.json.decode(path.read_bytes(), type=Ss3Description)
    except (OSError, msgspec.MsgspecError) as error:
        detail = f"not the description of an SS3 classifier ({error})"
        raise ModelFileError(path, detail) from error
    _check(description, path)
    words = read_words(folder / WORDS_FILE)
    counts = _load_counts(folder / COUNTS_FILE, (len(description.classes), len(words)))
    return description, words, counts


def _check(description: Ss3Description, path: Path) -> None:
    classes = description.classes
    if len(set(classes)) != len(classes):
        raise ModelFileError(path, f"a name stands twice in {', '.join(classes)}")
    if len(description.answer.offsets) != len(classes):
        detail = f"{len(description.answer.offsets)} offsets for {len(classes)} classes"
        raise ModelFileError(path, detail)
    if description.tokens != tokens.VERSION:
        detail = (
            f"its words were cut by definition {description.tokens}; this version has "
            f"definition {tokens.VERSION}"
        )
        raise ModelFileError(path, detail)


def _load_counts(path: Path, shape: tuple[int, int]) -> NDArray[np.int64]:
    try:
        arrays = load_tensors(path.read_bytes())
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(path, f"not a safetensors file ({error})") from error
    if arrays.keys() != {"counts"}:
        raise ModelFileError(path, f"it holds {', '.join(arrays) or 'nothing'}; wanted counts")
    counts = arrays["counts"]
    if counts.dtype != np.int64 or counts.shape != shape:
        detail = f"counts are {counts.dtype} {counts.shape}; wanted int64 {shape}"
        raise ModelFileError(path, detail)
    if counts.size and counts.min() < 0:
        raise ModelFileError(path, "a count is negative")
    return counts
