"""The fitted numbers of an LSTM classifier: what they are, and how they are stored."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from models.errors import ModelFileError
from models.frames import logmel
from models.frames.options import LogMelOptions

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DESCRIPTION_FILE = "classifier.json"
WEIGHTS_FILE = "weights.safetensors"


class LstmDescription(Struct, frozen=True, forbid_unknown_fields=True):
    """What an LSTM classifier reads and says; `classifier.json`."""

    classes: Annotated[tuple[str, ...], Meta(min_length=2)]
    channels: Annotated[tuple[str, ...], Meta(min_length=1)]
    hidden: Annotated[int, Meta(ge=1, le=1024)]
    horizon: Annotated[int, Meta(ge=1, le=65535)]
    """Steps after which no answer is asked for; bounds what is kept for the explanation."""
    frontend: LogMelOptions | None = None
    """What makes features of frames; None = the frames are the features."""
    kind: Literal["lstm"] = "lstm"
    schema: Literal[1] = 1

    @property
    def width(self) -> int:
        """Features of a step: what the LSTM reads."""
        return len(self.channels) if self.frontend is None else self.frontend.bands


@dataclass(frozen=True, slots=True)
class LstmWeights:
    """Fitted parameters; d features, H hidden units, C classes. All float32 but the prior."""

    input_mean: NDArray[np.float32]
    """Mean of each feature over the training steps, [d]."""
    input_scale: NDArray[np.float32]
    """Standard deviation of each feature over the training steps, positive, [d]."""
    recurrent: NDArray[np.float32]
    """From (standardised features, h) to the gates input, forget, cell, output: [d + H, 4H]."""
    recurrent_bias: NDArray[np.float32]
    """[4H]."""
    head: NDArray[np.float32]
    """From h to the class logits and, last, the correctness logit: [H, C + 1]."""
    head_bias: NDArray[np.float32]
    """[C + 1]."""
    prior: NDArray[np.int16]
    """Log-odds of each class among the training streams, in units of 1/1024 nat, [C]."""


def shapes(description: LstmDescription) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the dtype and shape that each array of `LstmWeights` must have."""
    d, h, c = description.width, description.hidden, len(description.classes)
    return {
        "input_mean": ("float32", (d,)),
        "input_scale": ("float32", (d,)),
        "recurrent": ("float32", (d + h, 4 * h)),
        "recurrent_bias": ("float32", (4 * h,)),
        "head": ("float32", (h, c + 1)),
        "head_bias": ("float32", (c + 1,)),
        "prior": ("int16", (c,)),
    }


def save(description: LstmDescription, weights: LstmWeights, folder: Path) -> None:
    """Write both files into `folder`, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(description), indent=2)
    (folder / DESCRIPTION_FILE).write_bytes(text + b"\n")
    arrays = {
        field.name: np.ascontiguousarray(getattr(weights, field.name)) for field in fields(weights)
    }
    (folder / WEIGHTS_FILE).write_bytes(save_tensors(arrays))


def load(folder: Path) -> tuple[LstmDescription, LstmWeights]:
    """Read both files; raises ModelFileError unless every name, dtype, shape and value fits."""
    path = folder / DESCRIPTION_FILE
    try:
        description = msgspec.json.decode(path.read_bytes(), type=LstmDescription)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ModelFileError(
            path, f"not the description of an LSTM classifier ({error})"
        ) from error
    for names in (description.classes, description.channels):
        if len(set(names)) != len(names):
            raise ModelFileError(path, f"a name stands twice in {', '.join(names)}")
    if description.frontend is not None:
        detail = logmel.fault(description.frontend, len(description.channels))
        if detail is not None:
            raise ModelFileError(path, detail)
    return description, _load_weights(folder / WEIGHTS_FILE, description)


def _load_weights(path: Path, description: LstmDescription) -> LstmWeights:
    try:
        arrays = load_tensors(path.read_bytes())
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(path, f"not a safetensors file ({error})") from error
    wanted = shapes(description)
    if arrays.keys() != wanted.keys():
        names = ", ".join(sorted(arrays.keys() ^ wanted.keys()))
        raise ModelFileError(path, f"arrays missing or unknown: {names}")
    for name, (dtype, shape) in wanted.items():
        array = arrays[name]
        if array.dtype != dtype or array.shape != shape:
            detail = f"{name} is {array.dtype} {array.shape}; wanted {dtype} {shape}"
            raise ModelFileError(path, detail)
        if not np.isfinite(array).all():
            raise ModelFileError(path, f"{name} holds a value that is not finite")
    if not (arrays["input_scale"] > 0).all():
        raise ModelFileError(path, "input_scale holds a value that is not positive")
    return LstmWeights(**arrays)
