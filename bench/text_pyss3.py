"""Let pyss3 answer the same streams as `bench.text`: run with an interpreter that has pyss3 0.6.4.

    python bench/text_pyss3.py WORK.json ANSWERS.json

Not a part of the product: pyss3 and what it needs stay in an environment of their own.
"""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

from pyss3 import SS3, set_verbosity

MODES = {
    "default": {"sg_m": "xai", "cv_m": "norm_gv_xai"},
    "vanilla gv": {"sg_m": "vanilla", "cv_m": "gv"},
}
GRID = {"s": (0.3, 0.45, 0.6), "l": (0.3, 0.5, 0.8), "p": (0.5, 1.0)}


def answers(work: dict[str, Any]) -> dict[str, Any]:
    """Return late accuracies on the test texts: as made, and with s, l, p chosen on `tuning`."""
    found: dict[str, Any] = {}
    for mode, settings in MODES.items():
        model = SS3(**settings)
        model.fit(*work["fit"], leave_pbar=False)
        found[mode] = _right(model, *work["test"])
        best = (-1.0, {})
        for point in product(*GRID.values()):
            values = dict(zip(GRID, point, strict=True))
            model.set_hyperparameters(**values)
            best = max(best, (_right(model, *work["tuning"]), values), key=lambda at: at[0])
        model.set_hyperparameters(**best[1])
        found[f"{mode}, tuned"] = _right(model, *work["test"])
        found[f"{mode}, chosen"] = best[1]
    return found


def _right(model: SS3, texts: list[str], labels: list[str]) -> float:
    given = model.predict(texts, leave_pbar=False)
    return sum(a == b for a, b in zip(given, labels, strict=True)) / len(labels)


if __name__ == "__main__":
    set_verbosity(0)
    streams = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(json.dumps(answers(streams)), encoding="utf-8")
