"""Why a stream got its label: the words that were kept, by what they speak for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.protocol import Contribution, Explanation
from models.text import largest
from models.text.answer import probabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.protocol import State
    from models.text.answer import Answer
    from models.text.vocabulary import Vocabulary


def word_reasons(
    state: State,
    i: int,
    label: int,
    *,
    sums: NDArray[np.float64],
    vocabulary: Vocabulary,
    classes: Sequence[str],
    answer: Answer,
    method: str,
    unit: str,
) -> Explanation:
    """Say which words put stream i (a row of `state`) at class index `label`.

    A word's weight is how often it was read times its value for the label less that for the
    runner-up, the likeliest other label. Weights and rest add up to the label's lead.

    Parameters
    ----------
    sums
        Summed values of the stream's words, [C].
    method
        Says what a weight is; ``{other!r}`` in it becomes the runner-up.
    unit
        Of the values.
    """
    table = vocabulary.table
    likely = probabilities(sums[:, np.newaxis], answer)[:, 0]
    likely[label] = -1.0
    other = int(likely.argmax())
    used = np.flatnonzero(state["top_times"][i])
    words, times, steps = (state[name][i, used] for name in largest.NAMES)
    weights = times * (table[label, words] - table[other, words])
    listed = np.lexsort((steps, -np.abs(weights)))
    listed = listed[weights[listed] != 0]
    return Explanation(
        method=method.format(other=classes[other]),
        contributions=tuple(
            Contribution(
                step=int(steps[k]),
                weight=float(weights[k]),
                evidence={"word": vocabulary.words[words[k]], "times": int(times[k])},
            )
            for k in listed
        ),
        rest=float(sums[label] - sums[other] - weights.sum()),
        unit=unit,
    )
