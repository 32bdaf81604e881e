"""River's naive Bayes over posts, served as a snapshot: the version that decides never changes.

Learning goes on elsewhere (`detectors.learning`), from the words that a stream's state remembers,
and gives a new version now and then. A step costs the words of its post.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.online import files, memory
from models.online.values import value_table
from models.protocol import Explanation, Field, StepOutput
from models.text import largest
from models.text.answer import probabilities
from models.text.errors import PostError
from models.text.reasons import word_reasons
from models.text.vocabulary import Read, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from models.inputs import Inputs, Modality
    from models.online.files import RiverDescription
    from models.online.lessons import Learned
    from models.protocol import State

METHOD = (
    "Each word's weight is its log-likelihood ratio for this label against {other!r}, the "
    "likeliest other, times how often it was read; together with the rest they are the label's "
    "lead before it is scaled to a probability. The step is the word's first."
)


class RiverClassifier:
    """The classifier; see `models.protocol.Classifier` for what it promises.

    Parameters
    ----------
    description, learned
        As fitted, learned or loaded.
    """

    auxiliary: frozenset[str] = frozenset()
    modality: Modality = "text"
    channels = ("text",)

    def __init__(self, description: RiverDescription, learned: Learned) -> None:
        self.description, self.learned = description, learned
        table = value_table(learned.counts, description.options.alpha)
        self.vocabulary = Vocabulary(learned.words, table)
        self._numbers = {word: number for number, word in enumerate(learned.words)}

    @property
    def classes(self) -> tuple[str, ...]:
        """Label names; column order of the probabilities."""
        return self.learned.classes

    def fields(self) -> Mapping[str, Field]:
        """Return the arrays of a state: sums, steps, largest words and remembered words."""
        return {
            "sums": Field("float64", (len(self.classes),)),
            "step": Field("int32"),
            **largest.fields(),
            **memory.fields(),
        }

    def start(self, n: int) -> State:
        """Return the state of n streams that have seen nothing."""
        return {
            name: np.zeros((n, *field.shape), field.dtype) for name, field in self.fields().items()
        }

    def step(self, state: State, inputs: Inputs) -> tuple[State, StepOutput]:
        """Fold one post into each of n streams; raises PostError unless all n are strings."""
        n = len(state["step"])
        posts = inputs.tolist()
        if inputs.shape != (n,) or not all(isinstance(post, str) for post in posts):
            raise PostError(inputs, (n,))
        words = memory.read(posts, self._numbers)
        known = words.number < len(self._numbers)
        read = Read(words.row[known], words.number[known])
        sums = state["sums"].T + self.vocabulary.sums(read, n)
        step = state["step"] + np.int32(1)
        after: State = {
            "sums": np.ascontiguousarray(sums.T),
            "step": step,
            **largest.keep(state, read, step, self.vocabulary.size),
            **memory.remember(state, words, len(self._numbers)),
        }
        answer = probabilities(sums, self.description.answer)
        return after, StepOutput(np.ascontiguousarray(answer.T, dtype=np.float32))

    def explain(self, state: State, i: int, label: int) -> Explanation:
        """Say which words put stream i (a row of `state`) at class index `label`."""
        return word_reasons(
            state, i, label, sums=state["sums"][i], vocabulary=self.vocabulary,
            classes=self.classes, answer=self.description.answer, method=METHOD, unit="nats",
        )  # fmt: skip

    def words_of(self, state: State, i: int) -> str:
        """Return the words that stream i's state remembers, as one text to learn from."""
        return memory.text_of(state, i, self.learned.words)

    def save(self, folder: Path) -> None:
        """Write description, words and counts into `folder`."""
        files.save(self.description, self.learned, folder)


def load(folder: Path) -> RiverClassifier:
    """Return the classifier saved into `folder`; raises ModelFileError if it is not one."""
    return RiverClassifier(*files.load(folder))
