"""A made-up talk: streams of invented words, and a classifier fitted on them."""

from __future__ import annotations

import numpy as np

from models.protocol import LabelledStreams
from models.text.options import Ss3Options
from models.text.ss3_train import train

SHARED = [f"s{a}{b}" for a in "abcde" for b in "xyz"]
OWN = [[f"{k}{a}{b}" for a in "bcdfg" for b in "klmnp"] for k in "pqrtv"]


def posts(random, label, n_posts, own=0.25):
    """Posts of 0 to 6 words; a quarter of them are used by one class much more than by others."""
    return [
        " ".join(
            str(random.choice(OWN[label] if random.random() < own else SHARED))
            for _ in range(random.integers(0, 7))
        )
        for _ in range(n_posts)
    ]


def streams(n=120, n_classes=2, seed=0, most=12, own=0.25):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    written = [posts(random, label, random.integers(1, most + 1), own) for label in labels]
    inputs = np.empty(sum(map(len, written)), dtype=object)
    inputs[:] = [post for stream in written for post in stream]
    return LabelledStreams(
        inputs=inputs,
        offsets=np.concatenate(([0], np.cumsum([len(stream) for stream in written]))),
        labels=labels.astype(np.int64),
        classes=tuple(f"c{k}" for k in range(n_classes)),
        channels=("text",),
    )


def fitted(n_classes=2, horizon=20, **options):
    fit, tuning = streams(120, n_classes), streams(60, n_classes, seed=1)
    return train(fit, tuning, Ss3Options(**options), horizon=horizon)


def array(texts):
    """Return texts as an object array of their shape."""
    made = np.empty(np.shape(texts), dtype=object)
    made[...] = texts
    return made


def drawn(n, steps, seed=0, n_classes=2):
    """Inputs [n, steps] in words of all classes."""
    random = np.random.default_rng(seed)
    rows = [posts(random, i % n_classes, steps, own=0.5) for i in range(n)]
    return array(rows).reshape(n, steps)
