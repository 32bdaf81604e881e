"""From counted words to what each speaks for each class: naive Bayes, written as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def value_table(counts: NDArray[np.int64], alpha: float) -> NDArray[np.float64]:
    """Return by how many nats a word speaks for each class, against the class it least suits.

    log P(word | class) as river's multinomial naive Bayes has it, (n + alpha) / (N + alpha V),
    less its smallest value over the classes: a constant of the word, which changes no posterior.

    Parameters
    ----------
    counts
        Of each word in each class, [C, V].
    alpha
        Added to every count.

    Returns
    -------
    float64 [C, V], at least 0.

    Examples
    --------
    >>> value_table(np.array([[0, 1], [2, 1]]), 1.0).round(3).tolist()
    [[0.0, 0.511], [0.588, 0.0]]
    """
    totals = counts.sum(axis=1, keepdims=True) + alpha * counts.shape[1]
    likelihood = np.log(counts + alpha) - np.log(np.maximum(totals, alpha))
    table: NDArray[np.float64] = likelihood - likelihood.min(axis=0, initial=np.inf)
    return table
