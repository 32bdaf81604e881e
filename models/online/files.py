"""How an online classifier is stored: JSON and safetensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from models.errors import ModelFileError
from models.online.lessons import Learned
from models.online.options import RiverOptions
from models.text import tokens
from models.text.answer import Answer
from models.text.word_files import read_words, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DESCRIPTION_FILE = "classifier.json"
WORDS_FILE = "words.json"
COUNTS_FILE = "counts.safetensors"
ARRAYS = ("counts", "streams", "waiting", "waiting_counts", "waiting_streams")

MOST = 2**40
"""Of any count; sums of what is larger could pass beyond 64 bits."""


class RiverDescription(Struct, frozen=True, forbid_unknown_fields=True):
    """What an online classifier says and by which numbers; ``classifier.json``."""

    classes: Annotated[tuple[str, ...], Meta(min_length=2)]
    horizon: Annotated[int, Meta(ge=1, le=65535)]
    """Steps after which no answer is asked for."""
    options: RiverOptions
    answer: Answer
    """How sums become probabilities; fitted in training, kept while learning goes on."""
    tokens: int = tokens.VERSION
    """Version of the definition of a word."""
    kind: Literal["river"] = "river"
    schema: Literal[1] = 1


def save(description: RiverDescription, learned: Learned, folder: Path) -> None:
    """Write the three files into `folder`, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / DESCRIPTION_FILE, description)
    write_json(folder / WORDS_FILE, list(learned.words))
    arrays = {name: np.ascontiguousarray(getattr(learned, name)) for name in ARRAYS}
    (folder / COUNTS_FILE).write_bytes(save_tensors(arrays))


def load(folder: Path) -> tuple[RiverDescription, Learned]:
    """Read the three files; raises ModelFileError unless they are such and fit each other."""
    path = folder / DESCRIPTION_FILE
    try:
        description = msgspec.json.decode(path.read_bytes(), type=RiverDescription)
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelFileError(path, f"not the description of an online one ({error})") from error
    classes = description.classes
    if len(set(classes)) != len(classes) or len(description.answer.offsets) != len(classes):
        raise ModelFileError(path, "its classes and offsets do not fit each other")
    if description.tokens != tokens.VERSION:
        raise ModelFileError(path, f"its words were cut by definition {description.tokens}")
    words = read_words(folder / WORDS_FILE)
    if list(words) != sorted(words):
        raise ModelFileError(folder / WORDS_FILE, "its words are not in order")
    arrays = _arrays(folder / COUNTS_FILE, len(classes), len(words))
    return description, Learned(classes, words, **arrays)


def _arrays(path: Path, n_classes: int, n_words: int) -> dict[str, NDArray[Any]]:
    try:
        arrays: dict[str, NDArray[Any]] = load_tensors(path.read_bytes())
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(path, f"not a safetensors file ({error})") from error
    if arrays.keys() != set(ARRAYS):
        raise ModelFileError(path, f"it holds {', '.join(arrays)}; wanted {', '.join(ARRAYS)}")
    n_waiting = arrays["waiting"].size
    wanted = {
        "counts": (n_classes, n_words), "streams": (n_classes,), "waiting": (n_waiting,),
        "waiting_counts": (n_classes, n_waiting), "waiting_streams": (n_waiting,),
    }  # fmt: skip
    for name, shape in wanted.items():
        array, dtype = arrays[name], np.uint64 if name == "waiting" else np.int64
        if array.dtype != dtype or array.shape != shape:
            detail = f"{name} is {array.dtype} {array.shape}; wanted {np.dtype(dtype)} {shape}"
            raise ModelFileError(path, detail)
        if name != "waiting" and array.size and not 0 <= array.min() <= array.max() <= MOST:
            raise ModelFileError(path, f"a value of {name} is not from 0 to {MOST}")
    if (arrays["waiting"][1:] <= arrays["waiting"][:-1]).any():
        raise ModelFileError(path, "its waiting words are not different ones in order")
    return arrays
