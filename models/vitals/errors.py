"""Errors raised by classifiers of vital signs; the tree stands in `models.errors`.

* InputError
  - RecordError    what was given as records is not an array of `vitals_dtype`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.errors import InputError, ModelError

if TYPE_CHECKING:
    from numpy import dtype
    from numpy.typing import NDArray


class RecordError(InputError):
    """What was given is not one record a stream; the state given was not changed."""

    def __init__(self, got: NDArray[Any], wanted: dtype[Any], n: int) -> None:
        ModelError.__init__(
            self,
            f"records are {got.dtype} {got.shape}; wanted {wanted} ({n},). Make them with "
            "`models.inputs.vitals_dtype`.",
        )
