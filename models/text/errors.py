"""Errors raised by classifiers of text; the tree stands in `models.errors`.

* InputError
  - PostError    what was given as posts is not an array of strings
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.errors import InputError, ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PostError(InputError):
    """What was given as posts is not an array of strings; the state given was not changed."""

    def __init__(self, got: NDArray[Any], shape: tuple[int, ...]) -> None:
        ModelError.__init__(
            self,
            f"posts are {got.dtype} {got.shape}; wanted an object array {shape} of str. "
            "Decode them first, and give an empty string where nothing was written.",
        )
