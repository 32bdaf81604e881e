"""Make the bundled set `sepsis-small` from the Challenge's training set B.

    python -m bench.sepsis_parts FOLDER_OF_DATA_SETS [--out detectors/bundled]

Takes patients of the large set's *train* part only, so that its test part stays unseen by whatever
learns from the small one, and divides them at random. Whole stays, every row and every value; the
same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.parts import array_sha256, npz_bytes
from detectors.scoring import rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[np.generic]]

NAME, SOURCE = "sepsis-small", "cinc2019_sepsis_setB"
SEED = 20_261_122
"""Of the choice and the division of the patients; chosen before anything was trained."""
SIZES = {"train": 7000, "calibration": 2000, "test": 2000}
PER_STAY = ("y", "first_positive_row", "patient")


def parts(whole: Mapping[str, NDArray[np.generic]]) -> Arrays:
    """Return the arrays of the bundled set from those of the large one."""
    learned_from = np.flatnonzero(whole["split"] == "train")
    drawn = np.random.default_rng(SEED).permutation(learned_from)[: sum(SIZES.values())]
    split = np.repeat(list(SIZES), list(SIZES.values()))
    order = np.argsort(drawn)
    stays = drawn[order].astype(np.int64)
    rows, offsets = rows_of(whole["offsets"].astype(np.int64), stays)
    return {
        # Column by column: a channel's gaps then lie together, which halves the file.
        "values": np.asfortranarray(whole["values"][rows]),
        "offsets": offsets,
        "sepsis_label": whole["sepsis_label"][rows],
        "split": split[order],
        **{key: whole[key] for key in ("columns", "classes")},
        **{key: whole[key][stays] for key in PER_STAY},
    }


def main(arguments: list[str]) -> None:
    """Write the set and print what belongs into its provenance file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help=f"holds {SOURCE}/{SOURCE}.npz")
    parser.add_argument("--out", type=Path, default=Path("detectors/bundled"))
    chosen = parser.parse_args(arguments)
    with np.load(chosen.folder / SOURCE / f"{SOURCE}.npz", allow_pickle=False) as whole:
        made = parts({key: whole[key] for key in whole.files})
    (chosen.out / f"{NAME}.npz").write_bytes(npz_bytes(made))
    print("[sha256]")
    for key in sorted(made):
        print(f'{key} = "{array_sha256(made[key])}"')


if __name__ == "__main__":
    main(sys.argv[1:])
