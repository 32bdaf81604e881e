"""The detectors that come with Tocsin: trained at the first start, on the data bundled with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.output import note, progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.settings import Settings
    from streams.demo import Demo
    from streams.ports import Ingest


@dataclass(frozen=True)
class Bundled:
    """One detector of ours, and what its demo shows."""

    name: str
    """Of the detector, and of its configuration among the bundled files."""
    dataset: str
    streams: str
    """What its recorded streams are, for people."""


BUNDLED = (
    Bundled("pendigits", "pendigits-parts", "drawings of digits"),
    Bundled("scam", "shop-talk", "conversations about second-hand goods (made up for Tocsin)"),
    Bundled("sepsis", "sepsis-small", "ICU stays (PhysioNet 2019; not for clinical use)"),
)


def ensure(settings: Settings) -> list[str]:
    """Train each bundled detector that the registry does not have; return all names.

    One that was retired is left retired: that was somebody's decision, and the error of whoever
    asks for it says what to do.
    """
    from datetime import UTC, datetime

    from detectors import config, datasets
    from detectors.registry import Registry
    from detectors.train import train
    from streams.scoring import score

    registry = Registry(settings.resolved_registry())
    made_on = datetime.now(tz=UTC).date().isoformat()
    missing = [
        each
        for each in BUNDLED
        if not any(entry.active or entry.retired for entry in registry.entries(each.name))
    ]
    if missing:
        names = ", ".join(each.name for each in missing)
        note(f"First start: training {names} on bundled data, about two minutes in all.")
    for each in missing:
        chosen = config.read(datasets.BUNDLED / f"{each.name}.toml")
        run = train(chosen, datasets.load(each.dataset), score, made_on=made_on, progress=progress)
        registry.add(run.detector)
    return [each.name for each in BUNDLED]


def players(
    settings: Settings, running: Sequence[str], ingest: Ingest, speed: float
) -> list[Demo]:
    """Return the replays of the bundled test streams whose detectors run."""
    from detectors import datasets
    from streams.demo import Demo

    found = []
    for each in BUNDLED:
        if each.name not in running:
            continue
        streams = datasets.load(each.dataset).parts["test"]
        note(f"Replaying {len(streams)} recorded {each.streams}, as if they were live.")
        kept = settings.state_dir / f"demo-{each.name}.json"
        found.append(Demo(streams, each.name, ingest, kept, speed=speed))
    if not found:
        note(f"No demo streams: they are for {', '.join(each.name for each in BUNDLED)}.")
    return found
