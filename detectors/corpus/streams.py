"""The made-up conversations as a data set: one turn is one step."""

from __future__ import annotations

import hashlib
import json
import tomllib
from typing import TYPE_CHECKING

import numpy as np

from detectors.corpus.conversations import SEED, conversations
from detectors.corpus.plot import LABELS
from detectors.datasets import BUNDLED, Dataset
from detectors.scoring import StreamSet
from models.text.ss3 import CHANNELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectors.corpus.conversations import Conversation

NAME = "shop-talk"


def make(seed: int = SEED) -> Dataset:
    """Return the set; the bundled one has the default seed.

    >>> {name: len(part) for name, part in make().parts.items()}
    {'train': 900, 'calibration': 400, 'test': 400}
    """
    made = conversations(seed)
    provenance = tomllib.loads((BUNDLED / f"{NAME}.toml").read_text(encoding="utf-8"))
    return Dataset(
        name=NAME, parts=_stream_sets(made), sha256=fingerprint(made), provenance=provenance
    )


def parts(seed: int = SEED) -> dict[str, StreamSet]:
    """Return the parts of the set."""
    return _stream_sets(conversations(seed))


def fingerprint(made: Mapping[str, tuple[Conversation, ...]]) -> str:
    """Return the SHA-256 of parts, labels and texts: what a detector can learn from."""
    digest = hashlib.sha256()
    for part, them in made.items():
        for one in them:
            line = [part, one.label, *(turn.text for turn in one.turns)]
            digest.update(json.dumps(line, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()


def _stream_sets(made: Mapping[str, tuple[Conversation, ...]]) -> dict[str, StreamSet]:
    return {part: _stream_set(part, them) for part, them in made.items()}


def _stream_set(part: str, them: tuple[Conversation, ...]) -> StreamSet:
    texts = [turn.text for one in them for turn in one.turns]
    inputs = np.empty(len(texts), dtype=object)
    inputs[:] = texts
    rows = np.arange(len(them), dtype=np.int64)
    lengths = np.array([len(one.turns) for one in them], dtype=np.int64)
    return StreamSet(
        name=NAME, split=part, modality="text", ids=rows, inputs=inputs,
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        labels=np.array([LABELS.index(one.label) for one in them], dtype=np.int64),
        subjects=rows, classes=LABELS, channels=CHANNELS,
    )  # fmt: skip
