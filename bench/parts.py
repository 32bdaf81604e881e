"""Make the bundled set `pendigits-parts` from the archive's PenDigits.

    python -m bench.parts FOLDER_OF_DATA_SETS [--out detectors/bundled]

The archive's train part stays the train part. Its test part, drawings by other writers, is divided
at random into a calibration and a test part of equal size. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

NAME = "pendigits-parts"
SEED = 20_261_122
"""Of the division of the archive's test part; chosen before anything was trained."""
EARLIEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)

Arrays = dict[str, "NDArray[np.generic]"]


def parts(archive: Mapping[str, NDArray[np.generic]]) -> Arrays:
    """Return the arrays of the bundled set from those of the archive's."""
    n = len(archive["y_test"])
    order = np.random.default_rng(SEED).permutation(n)
    rows = {"calibration": np.sort(order[: n // 2]), "test": np.sort(order[n // 2 :])}
    made: Arrays = {key: archive[key] for key in ("classes", "channels")}
    for key in ("X", "y", "lengths"):
        made[f"{key}_train"] = archive[f"{key}_train"]
        for part, chosen in rows.items():
            made[f"{key}_{part}"] = archive[f"{key}_test"][chosen]
    for part, chosen in rows.items():
        made[f"archive_row_{part}"] = chosen.astype(np.int64)
    return made


def array_sha256(array: NDArray[np.generic]) -> str:
    """Return the SHA-256 of an array's type, shape and values, whatever file it came from."""
    plain = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{plain.dtype.str} {plain.shape}".encode())
    digest.update(plain.tobytes())
    return digest.hexdigest()


def npz_bytes(arrays: Arrays) -> bytes:
    """Return a compressed .npz without times in it, its arrays in the order of their names."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for key in sorted(arrays):
            content = io.BytesIO()
            np.lib.format.write_array(content, arrays[key], allow_pickle=False)
            entry = zipfile.ZipInfo(f"{key}.npy", EARLIEST_ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue(), compresslevel=9)
    return file.getvalue()


def main(arguments: list[str]) -> None:
    """Write the set and print what belongs into its provenance file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="holds PenDigits/PenDigits.npz")
    parser.add_argument("--out", type=Path, default=Path("detectors/bundled"))
    chosen = parser.parse_args(arguments)
    with np.load(chosen.folder / "PenDigits" / "PenDigits.npz", allow_pickle=False) as archive:
        made = parts(archive)
    (chosen.out / f"{NAME}.npz").write_bytes(npz_bytes(made))
    print("[sha256]")
    for key in sorted(made):
        print(f'{key} = "{array_sha256(made[key])}"')


if __name__ == "__main__":
    main(sys.argv[1:])
