"""Fitted classifiers of every kind, and steps for each: what the contract suite runs over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from models import registry
from models.frames.lstm import LstmClassifier
from models.frames.lstm_weights import LstmDescription, LstmWeights, shapes
from models.frames.options import LogMelOptions
from models.protocol import LabelledStreams
from tests.unit.models.vitals.made_up import fitted, records

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Case:
    """One classifier and how to draw steps for it."""

    kind: str
    make: Callable[[], Any]
    draw: Callable[[Any, np.random.Generator, int, int], Any]
    """(classifier, random, n, steps) -> inputs [n, steps]."""


def lstm(classes, channels, hidden, horizon, *, row_by_row=None):
    """Return an LSTM of random weights, large enough for its answers to move a lot."""
    random = np.random.default_rng(classes * 1000 + hidden)

    def draw(*shape, scale=1.0):
        return (random.normal(size=shape) * scale).astype(np.float32)

    description = LstmDescription(
        classes=tuple(f"c{k}" for k in range(classes)),
        channels=tuple(f"x{k}" for k in range(channels)),
        hidden=hidden,
        horizon=horizon,
    )
    weights = LstmWeights(
        input_mean=draw(channels, scale=10),
        input_scale=np.abs(draw(channels, scale=10)) + np.float32(0.5),
        recurrent=draw(channels + hidden, 4 * hidden, scale=0.4),
        recurrent_bias=draw(4 * hidden, scale=0.4),
        head=draw(hidden, classes + 1, scale=1.5),
        head_bias=draw(classes + 1),
        prior=random.integers(-3000, 0, classes).astype(np.int16),
    )
    return LstmClassifier(description, weights, row_by_row)


def lstm_of_sound(*, row_by_row=None):
    """Return an LSTM of random weights behind a log-mel front end."""
    random = np.random.default_rng(5)
    description = LstmDescription(
        classes=tuple(f"c{k}" for k in range(10)), channels=tuple(f"s{k}" for k in range(80)),
        hidden=24, horizon=40, frontend=LogMelOptions(),
    )  # fmt: skip
    arrays = {
        name: random.normal(0, 0.5, shape).astype(dtype)
        for name, (dtype, shape) in shapes(description).items()
    }
    arrays["input_mean"] += 16
    arrays["input_scale"] = np.abs(arrays["input_scale"]) + np.float32(3)
    return LstmClassifier(description, LstmWeights(**arrays), row_by_row)


def sound(classifier, random, n, steps):
    loudness = random.uniform(10, 5000, (n, steps, 1))
    return random.normal(0, loudness, (n, steps, len(classifier.channels))).astype(np.float32)


def frames(classifier, random, n, steps):
    return random.normal(0, 15, (n, steps, len(classifier.channels))).astype(np.float32)


def vitals(classifier, random, n, steps):
    return records(random, n, steps)


def scores(classifier, random, n, steps):
    return random.dirichlet(np.ones(len(classifier.classes)), (n, steps)).astype(np.float32)


def pass_through(n_classes, horizon):
    labels = np.arange(4 * n_classes) % n_classes
    names = tuple(f"c{k}" for k in range(n_classes))
    streams = LabelledStreams(
        inputs=np.full((len(labels), n_classes), 1 / n_classes, np.float32),
        offsets=np.arange(len(labels) + 1), labels=labels,
        classes=names, channels=names,
    )  # fmt: skip
    options = registry.options("scores")()
    return registry.train("scores", streams, streams, options, horizon=horizon)


WORDS = [
    "pay", "now", "please", "send", "the", "money", "order", "today", "lose", "it", "bike", "blue",
    "size", "ünïcode", "12", "£",
]  # fmt: skip
ODD = ("", "\x00", "\u202eabc", "x" * 500, "a'b \n c", "\ud800")


def posts(classifier, random, n, steps):
    """Some known words, some unknown ones, now and then a post that is hardly one."""
    texts = np.empty((n, steps), dtype=object)
    for at in np.ndindex(n, steps):
        words = random.choice(WORDS, random.integers(1, 9)).tolist()
        texts[at] = str(random.choice(ODD)) if random.random() < 0.05 else " ".join(words)
    return texts


def lessons(n_classes, n_streams=60):
    """Return labelled conversations in which each class prefers words of its own."""
    random = np.random.default_rng(n_classes)
    labels = np.arange(n_streams) % n_classes
    lengths = random.integers(1, 6, n_streams)
    texts = [
        " ".join(random.choice(WORDS[label : label + 6], 5).tolist())
        for label in np.repeat(labels, lengths).tolist()
    ]
    inputs = np.empty(len(texts), dtype=object)
    inputs[:] = texts
    return LabelledStreams(
        inputs=inputs, offsets=np.concatenate(([0], np.cumsum(lengths))), labels=labels,
        classes=tuple(f"c{k}" for k in range(n_classes)), channels=("text",),
    )  # fmt: skip


def learned(kind, n_classes, **options):
    streams = lessons(n_classes)
    return registry.train(kind, streams, streams, registry.options(kind)(**options), horizon=40)


CASES = {
    "lstm, as the demo": Case("lstm", lambda: lstm(10, 2, 32, 8), frames),
    "lstm, two classes, wide frames, long": Case("lstm", lambda: lstm(2, 12, 7, 300), frames),
    "lstm, odd sizes": Case("lstm", lambda: lstm(19, 3, 33, 20), frames),
    "lstm, row by row": Case("lstm", lambda: lstm(10, 2, 32, 8, row_by_row=True), frames),
    "lstm behind log-mel": Case("lstm", lstm_of_sound, sound),
    "lstm behind log-mel, row by row": Case("lstm", lambda: lstm_of_sound(row_by_row=True), sound),
    "ss3": Case("ss3", lambda: learned("ss3", 2), posts),
    "ss3, many classes": Case("ss3", lambda: learned("ss3", 5), posts),
    "river": Case("river", lambda: learned("river", 2), posts),
    "river, many classes": Case("river", lambda: learned("river", 4, alpha=0.1), posts),
    "trees": Case("trees", lambda: fitted(2), vitals),
    "trees, three classes": Case("trees", lambda: fitted(3), vitals),
    "trees, clock and statics": Case("trees", lambda: fitted(2, "clock"), vitals),
    "scores of two labels": Case("scores", lambda: pass_through(2, 40), scores),
    "scores of many labels": Case("scores", lambda: pass_through(12, 5), scores),
}
"""A new kind adds a line here."""


@cache
def made(name):
    return CASES[name].make()


def drawn(name, n, steps, seed=0):
    return CASES[name].draw(made(name), np.random.default_rng(seed), n, steps)
