"""Take the fingerprints of `detectors/catalogue.toml` from known good copies.

    python -m bench.catalogue FOLDER_OF_DATA_SETS

Prints one line a set, and exits with 1 if one differs from the catalogue.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from detectors.fetch import catalogue, content_sha256

if TYPE_CHECKING:
    from detectors.upstream import Arrays, TextStreams


def stored(folder: Path, name: str) -> Arrays | TextStreams:
    """Return what a folder of data sets holds under a name."""
    arrays, lines = folder / name / f"{name}.npz", folder / name / f"{name}.jsonl.gz"
    if arrays.is_file():
        with np.load(arrays, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    with gzip.open(lines, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def main(arguments: list[str]) -> int:
    """Print the fingerprints; return 1 if one is not the catalogue's."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    differs = False
    for name, entry in catalogue().items():
        found = content_sha256(stored(folder, name))
        differs |= found != entry.fingerprint
        print(f"{name} {found} {'as recorded' if found == entry.fingerprint else 'DIFFERS'}")
    return int(differs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
