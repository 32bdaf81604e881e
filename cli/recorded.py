"""The part of a data set that a command reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.errors import CommandError

if TYPE_CHECKING:
    from cli.settings import Settings
    from detectors.scoring import StreamSet


def part(settings: Settings, dataset: str, split: str, limit: int | None = None) -> StreamSet:
    """Return one part of a data set, or its first `limit` streams.

    Raises
    ------
    CommandError
        If the set has no such part.
    """
    import numpy as np

    from detectors import datasets

    parts = datasets.load(dataset, settings.data_dir).parts
    if split not in parts:
        message = f"{dataset} has no {split} part; it has: {', '.join(parts)}."
        raise CommandError(message)
    streams = parts[split]
    return streams if limit is None else streams.subset(np.arange(min(limit, len(streams))))
