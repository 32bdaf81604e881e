"""Compare SS3's modes where no test stream is looked at: on the calibration parts.

    TOCSIN_DATA_DIR=... python -m bench.text_modes [--seeds 6]

Late accuracy of each pair of modes with the default sigma, lambda and rho: of the class with the
largest sum, as SS3 itself answers, and of the fitted answer. Streams are read to their ends.
"""

from __future__ import annotations

import argparse
import os
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.text import SETS
from detectors import datasets
from detectors.split import divide
from detectors.train import labelled
from models.text.answer import probabilities
from models.text.options import Ss3Options
from models.text.ss3_train import train

if TYPE_CHECKING:
    from detectors.split import Parts
    from models.text.formula import ConfidenceMode, SignificanceMode

SIGNIFICANCES: tuple[SignificanceMode, ...] = ("vanilla", "xai")
CONFIDENCES: tuple[ConfidenceMode, ...] = ("gv", "norm_gv")


def late_accuracies(parts: Parts, options: Ss3Options) -> tuple[float, float]:
    """Return the share of calibration streams that sums and fitted answer get right."""
    horizon = int(parts.fit.lengths.max())
    found = train(labelled(parts.fit), labelled(parts.tuning), options, horizon=horizon)
    streams = parts.calibration
    bounds = zip(streams.offsets[:-1], streams.offsets[1:], strict=True)
    texts = [" ".join(streams.inputs[start:stop].tolist()) for start, stop in bounds]
    sums = found.vocabulary.sums(found.vocabulary.read(texts), len(texts))
    commonest = np.bincount(parts.fit.labels).argmax()
    summed = np.where(sums.any(axis=0), sums.argmax(axis=0), commonest)
    fitted = probabilities(sums, found.description.answer).argmax(axis=0)
    return float((summed == streams.labels).mean()), float((fitted == streams.labels).mean())


def main(arguments: list[str]) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=6)
    chosen = parser.parse_args(arguments)
    print("| set | sg | cv | largest sum | fitted answer |\n| --- | --- | --- | ---: | ---: |")
    for name in SETS:
        dataset = datasets.load(name, Path(os.environ["TOCSIN_DATA_DIR"]))
        divided = [divide(dataset, seed) for seed in range(chosen.seeds)]
        for sg, cv in product(SIGNIFICANCES, CONFIDENCES):
            options = Ss3Options(sg=sg, cv=cv)
            found = np.array([late_accuracies(parts, options) for parts in divided])
            cells = [
                f"{x:.4f} ({sd:.4f})"
                for x, sd in zip(found.mean(0), found.std(0, ddof=1), strict=True)
            ]
            print(f"| {name} | {sg} | {cv} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
