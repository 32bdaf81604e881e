"""Scores in NPZ files, and one row of each group out of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

KNOWN = ("readiness", "predicted", "label", "lengths", "group")


class Draw(NamedTuple):
    """How one row of each group was chosen."""

    n_rows: int
    n_groups: int
    seed: int


def load_scores(path: Path, needed: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Read the arrays of an NPZ file; nothing in it is ever unpickled."""
    import zipfile
    import zlib

    import numpy as np

    try:
        with path.open("rb") as stream:  # ours to close: numpy leaves a damaged file open
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                message = f"{path} holds one bare array; write the arrays with numpy.savez"
                raise CommandError(message)
            arrays = {name: file[name] for name in KNOWN if name in file.files}
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        message = (
            f"{path} cannot be read as an NPZ file of plain arrays ({error}); "
            "write it with numpy.savez, without object arrays"
        )
        raise CommandError(message) from error
    missing = [name for name in needed if name not in arrays]
    if missing:
        shapes = {"readiness": "[n, T]", "predicted": "[n, T]", "label": "[n]"}
        message = (
            f"{path} has no array {', '.join(missing)}; it needs "
            f"{', '.join(f'{name} {shapes[name]}' for name in needed)} "
            "and, if streams differ in length, lengths [n]"
        )
        raise CommandError(message)
    return arrays


def one_row_a_group(
    arrays: Mapping[str, NDArray[Any]], seed: int
) -> tuple[dict[str, NDArray[Any]], Draw]:
    """Return the arrays with one row of each group, drawn at random, in the order of the file.

    The group says whose row it is: rows of one subject are not independent of each other, and the
    promise needs rows that are. Raises CommandError if `group` is not one name or number a row.
    """
    import numpy as np

    group = arrays["group"]
    n = len(arrays["readiness"]) if arrays["readiness"].ndim else 0
    if group.shape != (n,) or group.dtype.kind not in "iubUS":
        message = (
            f"the array group is {group.dtype} {list(group.shape)}, but must be integers or text "
            f"[{n}], one for each row of readiness; leave it out of the NPZ file, or ignore it "
            "with --no-group, if every row is a subject of its own"
        )
        raise CommandError(message)
    # Not the stream of numbers that divides the rows into halves under the same seed.
    shuffled = np.random.default_rng([seed, 1]).permutation(n)
    _, first = np.unique(group[shuffled], return_index=True)
    rows = np.sort(shuffled[first])
    kept = {
        name: array[rows] if array.ndim and len(array) == n else array
        for name, array in arrays.items()
        if name != "group"
    }
    return kept, Draw(n, len(rows), seed)
