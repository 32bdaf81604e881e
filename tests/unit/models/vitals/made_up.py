"""Made-up measurements: streams with gaps and unequal times, and classifiers fitted on them."""

from __future__ import annotations

from functools import cache

import numpy as np

from models.inputs import vitals_dtype
from models.protocol import LabelledStreams
from models.vitals.options import TreesOptions
from models.vitals.trees_train import train

CHANNELS = ("HR", "SBP", "DBP", "Lactate", "BUN", "Creatinine", "Age")
WIDTH = len(CHANNELS)
LEVELS = np.array([80.0, 120.0, 70.0, 1.5, 20.0, 1.0, 60.0])
SPREADS = np.array([12.0, 15.0, 9.0, 0.4, 6.0, 0.3, 15.0])
EPOCH_S = 1.6e9


def records(random, n, steps, width=WIDTH, missing=0.5):
    """Inputs [n, steps]: hours apart at random, half of the values missing."""
    inputs = np.empty((n, steps), vitals_dtype(width))
    gaps = random.choice([0.0, 0.1, 1.0, 1.0, 5.0], (n, steps)) * 3600
    inputs["time_s"] = EPOCH_S + gaps.cumsum(axis=1)
    place = np.arange(width) % WIDTH
    values = LEVELS[place] + random.normal(size=(n, steps, width)) * SPREADS[place]
    values[random.random(values.shape) < missing] = np.nan
    inputs["values"] = values
    return inputs


def streams(n=150, n_classes=2, seed=0, most=12, stepwise=False):
    """Streams whose heart rate rises with their class, and whose age never changes."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    lengths = random.integers(1, most + 1, n)
    inputs = records(random, n, most)
    hours = np.arange(most) / most
    inputs["values"][..., 0] += 60 * labels[:, np.newaxis] * hours
    inputs["values"][..., -1] = random.integers(20, 90, n)[:, np.newaxis]
    inside = np.arange(most) < lengths[:, np.newaxis]
    truth = np.where(hours > 0.3, labels[:, np.newaxis], 0)
    return LabelledStreams(
        inputs=inputs[inside],
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        labels=labels.astype(np.int64),
        classes=tuple(f"c{k}" for k in range(n_classes)),
        channels=CHANNELS,
        step_labels=truth[inside].astype(np.int64) if stepwise else None,
    )


@cache
def fitted(n_classes=2, features="all", leaves=8):
    options = TreesOptions(trees=30, leaves=leaves, features=features, learning_rate=0.2)
    fit, tuning = streams(n_classes=n_classes), streams(60, n_classes, seed=1)
    return train(fit, tuning, options, horizon=10)
