"""Draw the README's pictures: for each bundled detector, one recorded stream and its decision.

    python -m bench.pictures [--registry FOLDER] [--to docs/pictures]

Left: what was read up to the decision, and what came after it, in grey. Middle: the readiness by
step and the thresholds. Right: the reasons as stored with the decision. The stream is the test
stream whose halt comes closest to the median halt of those that were stopped early and rightly.
"""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from cli import demos
from cli.settings import Settings
from detectors import datasets
from detectors.registry import Registry
from streams.engine import Engine, Scored, Streams
from streams.scoring import arrivals, score
from streams.state import fresh

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from detectors.detector import Detector
    from detectors.scoring import StreamSet
    from store.rows import NewDecision

INK, AFTER, ACCENT, AGAINST = "#1b3a57", "#b8c0c8", "#c8462b", "#8a99a8"
N_REASONS = 6
MOST_DRAWN, LEAST_DRAWN = 5, 4
"""Channels in a picture, and measurements that each should have."""
SIZE_IN = (12.0, 3.9)


@dataclass(frozen=True)
class Shown:
    """One stream and all that is drawn of it."""

    detector: Detector
    streams: StreamSet
    """Just this one stream."""
    decision: NewDecision
    readiness: NDArray[np.float64]
    """[steps]"""


def main() -> None:
    """Draw one picture a bundled detector."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--registry", type=Path, help="Folder of trained detectors.")
    parser.add_argument("--to", type=Path, default=Path("docs/pictures"))
    given = parser.parse_args()
    mpl.use("Agg")
    settings = Settings() if given.registry is None else Settings(registry=given.registry)
    demos.ensure(settings)
    registry = Registry(settings.resolved_registry())
    given.to.mkdir(parents=True, exist_ok=True)
    for each in demos.BUNDLED:
        streams = datasets.load(each.dataset).parts["test"]
        shown = example(registry.load(each.name), streams)
        path = given.to / f"{each.name}.png"
        draw(shown, path)
        print(f"{path}: {shown.decision.stream_id}, {shown.decision.label}")


def example(detector: Detector, streams: StreamSet) -> Shown:
    """Return the stream to show."""
    found = score(detector, streams)
    early = np.flatnonzero(
        (found.halt_step < found.length) & (found.label == streams.labels)
        & np.array([why == "threshold" for why in found.reasons])
    )  # fmt: skip
    if not len(early):
        early = np.arange(len(streams))
    halts = found.halt_step[early]
    chosen = int(early[np.abs(halts - np.median(halts)).argmin()])
    one = streams.subset(np.array([chosen]))
    readiness: list[float] = []

    def watch(seen: Scored) -> None:
        readiness.extend(seen.readiness.tolist())

    engine = Engine(detector, shadow_share=1.0)
    blank = Streams([one.stream_id(0)], [""], fresh(engine.layout, 1))
    result = engine.process(blank, arrivals(one, 0, 1), watch)
    return Shown(detector, one, result.decisions[0][1], np.array(readiness))


def draw(shown: Shown, path: Path) -> None:
    """Write the picture of one stream."""
    from matplotlib import pyplot as plt

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, (read, curve, why) = plt.subplots(
        1, 3, figsize=SIZE_IN, width_ratios=(1.25, 1.1, 1.0), layout="constrained"
    )
    {"frames": draw_path, "text": draw_turns, "vitals": draw_channels}[shown.streams.modality](
        read, shown
    )
    draw_readiness(curve, shown)
    draw_reasons(why, shown)
    decision = shown.decision
    figure.suptitle(
        f"{decision.detector}: decided “{decision.label}” at step {decision.halt_step} of "
        f"{int(shown.streams.lengths[0])} (probability {decision.probability:.2f})",
        color=INK, fontweight="bold",
    )  # fmt: skip
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def draw_path(axes: Axes, shown: Shown) -> None:
    """Draw a pen's path, thick up to the decision."""
    points, halt = shown.streams.inputs, shown.decision.halt_step
    axes.plot(points[:, 0], points[:, 1], "-o", color=AFTER, lw=2)
    axes.plot(points[:halt, 0], points[:halt, 1], "-o", color=INK, lw=3.5)
    axes.set(xlim=(-5, 105), ylim=(-5, 105), xticks=[], yticks=[], aspect="equal")
    axes.set_title("read so far (grey: what came later)")


def draw_turns(axes: Axes, shown: Shown) -> None:
    """Write a conversation's turns."""
    axes.axis("off")
    axes.set_title("read so far (grey: later); made up for Tocsin")
    lines = [
        (textwrap.shorten(text, 74, placeholder=" ..."), nth)
        for nth, text in enumerate(shown.streams.inputs.tolist(), start=1)
    ]
    for at, (text, nth) in enumerate(lines):
        colour = INK if nth <= shown.decision.halt_step else AFTER
        axes.text(
            0.0, 1 - (at + 0.5) / len(lines), f"{nth}  {text}", color=colour, fontsize=7.5,
            va="center", transform=axes.transAxes, parse_math=False,
        )  # fmt: skip


def draw_channels(axes: Axes, shown: Shown) -> None:
    """Draw the channels that the reasons name, each in its own band."""
    rows = shown.streams.inputs
    hours = (rows["time_s"] - rows["time_s"][0]) / 3600.0
    drawn = _channels(shown)
    for band, name in enumerate(drawn):
        values = rows["values"][:, shown.streams.channels.index(name)]
        known = np.flatnonzero(np.isfinite(values))
        low, high = (values[known].min(), values[known].max()) if len(known) else (0.0, 1.0)
        height = (values - low) / max(high - low, 1e-9) * 0.75 + (len(drawn) - 1 - band)
        before = known[known < shown.decision.halt_step]
        axes.plot(hours[known], height[known], "-o", ms=3, color=AFTER)
        axes.plot(hours[before], height[before], "-o", ms=3, color=INK)
        axes.text(1.01, len(drawn) - 1 - band + 0.35, f"{name} {low:.4g}-{high:.4g}", color=INK,
                  fontsize=8, transform=axes.get_yaxis_transform())  # fmt: skip
    axes.axvline(hours[shown.decision.halt_step - 1], color=ACCENT, lw=1)
    axes.set(yticks=[], xlabel="hours in intensive care", ylim=(-0.2, len(drawn)))
    axes.set_title("measured so far (grey: what came later)")


def _channels(shown: Shown) -> list[str]:
    """Return the channels to draw: those that were measured most, named by the reasons first."""
    rows, channels = shown.streams.inputs, shown.streams.channels
    named = {reason["evidence"].get("channel") for reason in _reasons(shown)}
    counts = np.isfinite(rows["values"]).sum(axis=0)
    moves = np.nan_to_num(np.ptp(np.nan_to_num(rows["values"]), axis=0)) > 0
    order = sorted(
        range(len(channels)),
        key=lambda k: (
            not moves[k],
            counts[k] < LEAST_DRAWN,
            channels[k] not in named,
            -counts[k],
        ),
    )
    return [channels[k] for k in order[:MOST_DRAWN]]


def draw_readiness(axes: Axes, shown: Shown) -> None:
    """Draw readiness and thresholds by step."""
    steps = np.arange(1, len(shown.readiness) + 1)
    halt = shown.decision.halt_step
    limits = shown.detector.thresholds[: len(steps)]
    axes.plot(steps, shown.readiness, "-o", ms=3, color=AFTER)
    axes.plot(steps[:halt], shown.readiness[:halt], "-o", ms=3, color=INK, label="readiness")
    axes.step(steps, np.where(np.isfinite(limits), limits, np.nan), where="mid", color=ACCENT,
              lw=1, label="threshold")  # fmt: skip
    axes.plot(halt, shown.readiness[halt - 1], "o", ms=9, mfc="none", mec=ACCENT, mew=2)
    axes.set(xlabel="step", title="readiness against the certified thresholds")
    axes.legend(loc="best", frameon=False)


def draw_reasons(axes: Axes, shown: Shown) -> None:
    """Draw the largest reasons as bars."""
    reasons = _reasons(shown)[:N_REASONS][::-1]
    names = [_said(reason) for reason in reasons]
    weights = [reason["weight"] for reason in reasons]
    colours = [ACCENT if weight > 0 else AGAINST for weight in weights]
    axes.barh(range(len(names)), weights, color=colours)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.axvline(0, color=INK, lw=0.8)
    unit = shown.decision.explanation.get("unit", "nats")
    axes.set(xlabel=f"speaks for it, {unit}", title="reasons")


def _reasons(shown: Shown) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shown.decision.explanation["contributions"]
    return found


def _said(reason: dict[str, Any]) -> str:
    evidence = reason["evidence"]
    if "word" in evidence:
        return str(evidence["word"])
    if "channel" in evidence:
        value = evidence.get("value")
        return f"{evidence['channel']}" + ("" if value is None else f" {value:.4g}")
    pairs = ", ".join(f"{name} {value:.3g}" for name, value in evidence.items())
    return f"step {reason['step']}: {pairs}"


if __name__ == "__main__":
    main()
