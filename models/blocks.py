"""Scoring in fixed blocks, so that a stream's numbers do not depend on the batch it is in.

A matrix product picks its inner loops by the shape of what it multiplies, and different loops add
in a different order. So every product here has one shape, whatever the size of the batch: rows are
taken `BLOCK` at a time and the last block is filled up with zeros. That leaves the row's position
within the block, which must not matter either: `docs/decisions/0003` says what was measured, and
`position_matters` asks the machine at hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

BLOCK = 256
"""Rows scored together."""

Arrays = tuple["NDArray[Any]", ...]


def in_blocks(function: Callable[..., Arrays], arrays: Sequence[NDArray[Any]]) -> Arrays:
    """Apply `function` to `BLOCK` rows of `arrays` at a time and join its results.

    Parameters
    ----------
    function
        Takes as many arrays as there are in `arrays`, each with `BLOCK` rows, and returns arrays
        with `BLOCK` rows whose row i depends on row i of the arguments only. It must change
        neither its arguments nor, later on, what it returned.
    arrays
        Arrays of n rows each; n may be 0.

    Examples
    --------
    >>> [total] = in_blocks(lambda x: (x.sum(axis=1),), [np.ones((300, 2))])
    >>> total.shape
    (300,)
    """
    n = len(arrays[0])
    padded_n = max(-(-n // BLOCK), 1) * BLOCK
    padded = [_padded(array, padded_n) for array in arrays]
    parts = [
        function(*(array[start : start + BLOCK] for array in padded))
        for start in range(0, padded_n, BLOCK)
    ]
    if len(parts) == 1:
        return tuple(result[:n] for result in parts[0])
    return tuple(np.concatenate(results)[:n] for results in zip(*parts, strict=True))


def position_matters(function: Callable[..., Arrays], row: Sequence[NDArray[Any]]) -> bool:
    """Return whether `function` answers `row` differently in different places of a block.

    `row` holds one row of each argument, without the row axis. Costs one call of `function`.
    """
    results = function(*(np.repeat(value[np.newaxis], BLOCK, axis=0) for value in row))
    return any(
        not np.array_equal(result, np.repeat(result[:1], BLOCK, axis=0)) for result in results
    )


def _padded(array: NDArray[Any], n: int) -> NDArray[Any]:
    if len(array) == n:
        return array
    padded = np.zeros((n, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded
