"""The spoken digits, divided by speaker and digit, and what a classifier answers to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from detectors import datasets
from detectors.scoring import Scored
from detectors.split import Parts
from stopping.signals.rounding import rounded

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from detectors.datasets import Dataset
    from detectors.scoring import StreamSet
    from models.frames.lstm import LstmClassifier

CARVE_SEED = 7
POOLED, TUNING = 15, 3
"""Recordings of each speaker and digit, out of 45, held out for the pool and for tuning."""
CHOOSING = 9
"""Of the rest, as many stand for the pool while options are chosen."""
QUIET = 10 ** (-26 / 20)
"""A frame this much below the loudest of its recording is no part of the word."""


@dataclass(frozen=True)
class Recordings:
    """The pool: what every classifier is calibrated and counted on."""

    streams: StreamSet
    official: NDArray[np.bool_]
    """Which are of the official test part, [n]."""
    word_ends: NDArray[np.int64]
    """Last step of each that is not quiet, [n]."""

    def subset(self, rows: NDArray[np.int64]) -> Recordings:
        """Return the recordings at `rows`."""
        return Recordings(self.streams.subset(rows), self.official[rows], self.word_ends[rows])


@dataclass(frozen=True)
class Carved:
    """Official parts, divided by speaker and digit."""

    parts: Parts
    """To learn from: the fitting and the tuning part are used."""
    pool: Recordings
    stranger: Recordings | None
    """All recordings by the speaker left out, of whom nothing else has any."""


def carve(
    dataset: Dataset, data_dir: Path, *, choose: bool = False, stranger: str | None = None
) -> Carved:
    """Divide the train part by speaker and digit.

    `choose` makes another pool, out of recordings that are else learned from, so that options are
    chosen without a look at the pool; `stranger` is a speaker left out of everything. Raises
    DatasetError if there is no such speaker.
    """
    path = datasets.find(dataset.name, data_dir)
    arrays, _ = datasets.arrays_of(path, ("speaker", "split"))
    speakers = {name: arrays["speaker"][arrays["split"] == name] for name in ("train", "test")}
    known = np.unique(speakers["train"])
    if stranger is not None and stranger not in known:
        raise datasets.refusal(path, f"no speaker is called {stranger!r}", f"one of {known}")
    train, test = dataset.parts["train"], dataset.parts["test"]
    random = np.random.default_rng(CARVE_SEED)
    places: dict[str, list[NDArray[np.int64]]] = {"pool": [], "tuning": [], "fit": []}
    for speaker in known[known != stranger]:
        for label in range(len(train.classes)):
            own = np.flatnonzero((speakers["train"] == speaker) & (train.labels == label))
            pooled, tuning, fit = np.split(random.permutation(own), (POOLED, POOLED + TUNING))
            if choose:
                pooled, fit = fit[:CHOOSING], fit[CHOOSING:]
            for name, rows in (("pool", pooled), ("tuning", tuning), ("fit", fit)):
                places[name].append(rows)
    chosen = {name: train.subset(np.sort(np.concatenate(rows))) for name, rows in places.items()}
    official = test.subset(np.flatnonzero(speakers["test"] != stranger))
    parts = Parts(
        fit=chosen["fit"], tuning=chosen["tuning"], calibration=chosen["pool"], test=official,
        own_calibration=False, repeated=0,
    )  # fmt: skip
    streams = chosen["pool"] if choose else _joined(chosen["pool"], official)
    strange = None
    if stranger is not None:
        theirs = [
            dataset.parts[name].subset(np.flatnonzero(speakers[name] == stranger))
            for name in speakers
        ]
        strange = _recordings(_joined(*theirs), len(theirs[0]))
    return Carved(parts, _recordings(streams, len(chosen["pool"])), strange)


def swept(classifier: LstmClassifier, streams: StreamSet, horizon: int, signal: str) -> Scored:
    """Return the answers to `streams`, followed to their end or the horizon, by one sweep."""
    cut = streams.first_steps(horizon)
    lengths = cut.lengths
    inside = np.arange(horizon) < lengths[:, np.newaxis]
    frames = np.full((*inside.shape, cut.inputs.shape[1]), np.nan, np.float32)
    frames[inside] = cut.inputs
    probabilities, correctness = classifier.sweep(frames)
    predicted = np.where(inside, probabilities.argmax(axis=2), -1).astype(np.int64)
    probability = probabilities.max(axis=2).astype(np.float64)
    ready = rounded(correctness if signal == "correctness" else probability)
    last = np.arange(len(lengths)), lengths - 1
    return Scored(
        readiness=np.where(inside, ready, np.nan),
        predicted=predicted, probability=probability,
        halt_step=lengths, label=predicted[last], late_label=predicted[last],
        late_probability=probability[last], length=lengths, reasons=["end"] * len(lengths),
        decisions=(),
    )  # fmt: skip


def _recordings(streams: StreamSet, n_train: int) -> Recordings:
    return Recordings(streams, np.arange(len(streams)) >= n_train, _word_ends(streams))


def _word_ends(streams: StreamSet) -> NDArray[np.int64]:
    """Return the last step of each recording that is not quiet, from 1."""
    size = np.sqrt(np.square(streams.inputs, dtype=np.float64).mean(axis=1))
    bounds = zip(streams.offsets[:-1], streams.offsets[1:], strict=True)
    return np.array(
        [
            int(np.flatnonzero(size[first:stop] >= QUIET * size[first:stop].max())[-1]) + 1
            for first, stop in bounds
        ]
    )


def _joined(first: StreamSet, second: StreamSet) -> StreamSet:
    offsets = np.concatenate((first.offsets, first.offsets[-1] + second.offsets[1:]))
    return replace(
        first,
        ids=np.concatenate((first.ids, second.ids)),
        inputs=np.concatenate((first.inputs, second.inputs)),
        offsets=offsets,
        labels=np.concatenate((first.labels, second.labels)),
        subjects=np.concatenate((first.subjects, second.subjects)),
    )
