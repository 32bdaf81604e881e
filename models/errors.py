"""Errors raised by classifiers.

* ModelError
  - UnknownKindError    no classifier of that name
  - InputError          frames of the wrong shape or type
  - ModelFileError      a saved classifier cannot be used
  - TrainingError       training cannot start, or went wrong
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray


class ModelError(Exception):
    """Root of this room's errors."""


class UnknownKindError(ModelError, LookupError):
    """No classifier of that name."""

    def __init__(self, kind: str, known: Iterable[str]) -> None:
        super().__init__(
            f"there is no classifier {kind!r}; this version has: {', '.join(known)}. "
            "Choose one of them (`--model`, or `kind` under [classifier])."
        )


class InputError(ModelError, ValueError):
    """Frames of the wrong shape or type; the state given was not changed."""

    def __init__(self, got: NDArray[Any], shape: tuple[int, ...]) -> None:
        super().__init__(
            f"frames are {got.dtype} {got.shape}; wanted float32 {shape}. Convert them first."
        )


class ModelFileError(ModelError, ValueError):
    """A saved classifier cannot be used; nothing was loaded."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"{path}: {detail}. Copy it again from where it was trained, or train it anew."
        )


class TrainingError(ModelError, ValueError):
    """Training cannot start, or went wrong; no classifier was made."""
