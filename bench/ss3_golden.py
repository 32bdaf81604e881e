"""Print values of pyss3 0.6.4 for made-up words, as the tests hold SS3 to them.

    python bench/ss3_golden.py > tests/unit/models/text/pyss3_values.json

Run it with an interpreter that has pyss3; it needs nothing of this project.
"""

from __future__ import annotations

import json
import random
import sys
from itertools import product
from typing import Any

from pyss3 import SS3, set_verbosity

WORDS = ["w" + letter for letter in "abcdefghijkl"]
DIGITS = 12


def cases() -> list[dict[str, Any]]:
    """Return texts, settings and values, two to five classes in each pair of modes."""
    draw = random.Random(5)  # noqa: S311  # no secret depends on it
    found = []
    modes = (("vanilla", "xai"), ("gv", "norm_gv", "norm_gv_xai"))
    for n, sg, cv in product((2, 3, 4, 5), *modes):
        texts = [
            " ".join(draw.choice(WORDS[: 3 + (7 * c + i) % 10]) for i in range(30))
            for c in range(n)
        ]
        point = [
            draw.choice(choices)
            for choices in ((0.3, 0.45, 0.8), (0.3, 0.5, 1.0), (0.5, 1.0, 2.0))
        ]
        model = SS3(*point, sg_m=sg, cv_m=cv)
        for c, text in enumerate(texts):
            model.learn(text, f"c{c}", update=False)
        model.update_values(force=True)
        values = {
            word: [round(float(model.cv(word, f"c{c}")), DIGITS) for c in range(n)]
            for word in WORDS
        }
        found.append({"sg": sg, "cv": cv, "point": point, "texts": texts, "values": values})
    return found


if __name__ == "__main__":
    set_verbosity(0)
    sys.stdout.write("[\n" + ",\n".join(json.dumps(case) for case in cases()) + "\n]\n")
