"""A worker to which Faust's deliveries get lost: runs of 1 to 400, at random. For drills only."""

from __future__ import annotations

import os
import random
import sys

import structlog

from cli import logs
from cli.settings import Settings
from cli.worker import leave, serve

log = structlog.get_logger("tocsin.lossy")


def lossy(seed):
    """Return a function that drops records of its deliveries."""
    draw = random.Random(seed)
    left = {}

    def deliver(records):
        kept = []
        for raw in records:
            if left.get(raw.partition, 0) > 0:
                left[raw.partition] -= 1
                continue
            if draw.random() < 0.005:
                left[raw.partition] = draw.randint(0, 399)
                continue
            kept.append(raw)
        if len(kept) < len(records):
            log.info("lost", lost=len(records) - len(kept))
        return kept

    return deliver


if __name__ == "__main__":
    settings = Settings()
    logs.configure(settings.log_level)
    leave(serve(settings, sys.argv[1:], deliver=lossy(int(os.environ["LOSSY_SEED"]))))
