"""SS3 over posts: the confidence values of the words read so far, summed up class by class.

A fitted classifier is a snapshot: its words' values are computed once, when it is loaded, and one
more post costs only that post. `ss3_train` counts and fits, `docs/science/ss3.md` says the
formulas and where they come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.protocol import Field, StepOutput
from models.text import largest, ss3_files
from models.text.answer import probabilities
from models.text.errors import PostError
from models.text.formula import confidence_table
from models.text.reasons import word_reasons
from models.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.inputs import Inputs, Modality
    from models.protocol import Explanation, State
    from models.text.ss3_files import Ss3Description

CHANNELS = ("text",)
UNIT = "confidence value"
METHOD = (
    "Each word's weight is its confidence value for this label less that for {other!r}, the "
    "likeliest other, times how often it was read; together with the rest they are this label's "
    "lead. The step is the word's first."
)


class Ss3Classifier:
    """The classifier; see `models.protocol.Classifier` for what it promises.

    Parameters
    ----------
    description
        As fitted or loaded.
    words
        The vocabulary.
    counts
        How often each word was read in each class, [C, V].
    """

    auxiliary: frozenset[str] = frozenset()
    modality: Modality = "text"
    channels = CHANNELS

    def __init__(
        self, description: Ss3Description, words: Sequence[str], counts: NDArray[np.int64]
    ) -> None:
        self.description = description
        self.counts = counts
        self.vocabulary = Vocabulary(words, confidence_table(counts, description.formula()))

    @property
    def classes(self) -> tuple[str, ...]:
        """Label names; column order of the probabilities."""
        return self.description.classes

    def fields(self) -> Mapping[str, Field]:
        """Return the arrays of a state: summed values, steps, and those of `largest`."""
        return {
            "cv": Field("float64", (len(self.classes),)),
            "step": Field("int32"),
            **largest.fields(),
        }

    def start(self, n: int) -> State:
        """Return the state of n streams that have seen nothing."""
        return {
            name: np.zeros((n, *field.shape), field.dtype) for name, field in self.fields().items()
        }

    def step(self, state: State, inputs: Inputs) -> tuple[State, StepOutput]:
        """Fold one post into each of n streams; raises PostError unless all n are strings."""
        n = len(state["cv"])
        if inputs.shape != (n,):
            raise PostError(inputs, (n,))
        try:
            read = self.vocabulary.read(inputs.tolist())
        except TypeError:
            raise PostError(inputs, (n,)) from None
        sums = state["cv"].T + self.vocabulary.sums(read, n)
        step = state["step"] + np.int32(1)
        after: State = {
            "cv": np.ascontiguousarray(sums.T),
            "step": step,
            **largest.keep(state, read, step, self.vocabulary.size),
        }
        answer = probabilities(sums, self.description.answer)
        return after, StepOutput(np.ascontiguousarray(answer.T, dtype=np.float32))

    def explain(self, state: State, i: int, label: int) -> Explanation:
        """Say which words put stream i (a row of `state`) at class index `label`."""
        return word_reasons(
            state, i, label, sums=state["cv"][i], vocabulary=self.vocabulary, classes=self.classes,
            answer=self.description.answer, method=METHOD, unit=UNIT,
        )  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write description, vocabulary and counts into `folder`."""
        ss3_files.save(self.description, self.vocabulary.words, self.counts, folder)


def load(folder: Path) -> Ss3Classifier:
    """Return the classifier saved into `folder`; raises ModelFileError if it is not one."""
    return Ss3Classifier(*ss3_files.load(folder))
