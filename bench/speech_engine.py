"""Whether the serving engine answers as a sweep over whole recordings does, frame by frame."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from detectors.train import uncalibrated
from stopping.thresholds import halt_steps
from streams.engine import Engine, Streams
from streams.scoring import arrivals, score
from streams.state import fresh

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.config import DetectorConfig
    from detectors.scoring import Scored, StreamSet
    from models.protocol import Classifier
    from streams.rounds import Arrivals


def check(
    config: DetectorConfig,
    classifier: Classifier,
    streams: StreamSet,
    swept: Scored,
    thresholds: NDArray[np.float64],
    frames: int,
) -> None:
    """Stop the run unless the engine's answers to `streams` are those `swept`.

    Once a frame a record with no thresholds, for every answer on the way; once `frames` of them a
    record under `thresholds`, for the decisions.
    """
    horizon = len(thresholds)
    settled = config.resolved(signal=config.signal, horizon=horizon)
    waiting = uncalibrated(settled, classifier)
    served = score(waiting, streams)
    worst = float(np.nanmax(np.abs(served.readiness - swept.readiness)))
    if not np.array_equal(served.predicted, swept.predicted) or worst > 2.0**-16:
        sys.exit(f"sweep and engine differ, readiness by up to {worst}.")
    steps = halt_steps(swept.readiness, thresholds, swept.length)
    labels = swept.predicted[np.arange(len(steps)), steps - 1]
    engine = Engine(replace(waiting, thresholds=thresholds), shadow_share=0.0)
    n = len(streams)
    blank = Streams([streams.stream_id(i) for i in range(n)], [""] * n, fresh(engine.layout, n))
    decided = engine.process(blank, in_records(streams, frames)).decisions
    found = {row: (decision.halt_step, decision.label) for row, decision in decided}
    wanted = [
        (step, streams.classes[label])
        for step, label in zip(steps.tolist(), labels.tolist(), strict=True)
    ]
    wrong = sum(found.get(row) != answer for row, answer in enumerate(wanted))
    if wrong:
        sys.exit(f"{wrong} of {n} decisions differ when a record holds {frames} frames.")


def in_records(streams: StreamSet, frames: int) -> Arrivals:
    """Return the records of all streams, `frames` steps in each but perhaps a stream's last."""
    single = arrivals(streams, 0, len(streams))
    n_records = -(-streams.lengths // frames)
    row = np.repeat(np.arange(len(streams)), n_records)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(n_records) - n_records, n_records)
    n_steps = np.minimum(frames, streams.lengths[row] - nth * frames)
    last = streams.offsets[row] - streams.offsets[0] + nth * frames + n_steps - 1
    return replace(
        single,
        row=row,
        event_ids=[single.event_ids[at] for at in last],
        hashes=single.hashes[last],
        n_steps=n_steps,
        ends=single.ends[last],
        times=[single.times[at] for at in last],
        times_s=single.times_s[last],
    )
