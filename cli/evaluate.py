"""`tocsin evaluate`: replay a recorded part through the engine that serves, and count."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CommandError
from cli.output import JsonOption, emit, note, print_mapping, progress
from cli.train import DATASET_HELP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Split(StrEnum):
    """Parts of a data set."""

    TRAIN = "train"
    VAL = "val"
    CALIBRATION = "calibration"
    TEST = "test"


def evaluate(
    detector: Annotated[
        str, typer.Argument(help="Folder, or name[@version] in the registry.", show_default=False)
    ],
    dataset: Annotated[str, typer.Argument(help=DATASET_HELP, show_default=False)],
    split: Annotated[Split, typer.Option(help="Which part.")] = Split.TEST,
    out: Annotated[
        Path | None,
        typer.Option(dir_okay=False, metavar="F.jsonl", help="Write a row a decision here."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="DETECTOR",
            help="One-sided: a detector to compare with, at as many false alarms.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what DETECTOR answers to DATASET, how early, and what deciding early cost."""
    from cli.recorded import part
    from cli.settings import Settings
    from detectors.evaluate import check_fit, evaluation
    from detectors.onesided import against
    from detectors.registry import Registry
    from streams.scoring import score

    if out is not None and not out.absolute().parent.is_dir():
        message = f"--out {out}: there is no folder {out.parent}. Make it, or name another place."
        raise CommandError(message)
    settings = Settings()
    registry = Registry(settings.resolved_registry())
    loaded = registry.load(detector)
    other = None if baseline is None else registry.load(baseline)
    if other is not None and (loaded.alarm is None or other.alarm != loaded.alarm):
        message = "--baseline compares detectors that raise the same alarm under one-sided rules"
        raise typer.BadParameter(message)
    streams = part(settings, dataset, str(split))
    for each in (loaded, other):
        if each is not None:
            check_fit(each, streams)
    if split is not Split.TEST:
        note(f"The {split} part was seen while the detector was made: these figures flatter it.")
    with progress("evaluate", len(streams)) as advance:
        scored = score(loaded, streams, advance)
    if out is not None:
        _write(out, scored.decisions)
    document = {
        "detector": loaded.name, "version": loaded.version, "dataset": streams.name,
        "split": str(split), **evaluation(scored, streams, loaded.alarm, loaded.thresholds),
    }  # fmt: skip
    if other is not None:
        with progress(f"evaluate {other.name}", len(streams)) as advance:
            theirs = score(other, streams, advance)
        found = against(scored, theirs, streams, loaded.alarm or 0)
        document["baseline"] = {"detector": other.name, "version": other.version, **found}
    emit(document, as_json, table=_print)


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON document a line; the file is there whole or not at all."""
    import msgspec

    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            for row in rows:
                file.write(msgspec.json.encode(row) + b"\n")
        draft.replace(path)
    except OSError as error:
        message = f"{path} cannot be written ({error.strerror}); choose another --out."
        raise CommandError(message) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _print(document: dict[str, Any]) -> None:
    metrics = document["metrics"]
    rows = {
        "detector": f"{document['detector']}@{document['version']}",
        "streams": f"{document['n']} ({document['dataset']}, {document['split']})",
        "late accuracy": _with_interval(
            document["late_accuracy"], metrics["late_accuracy_interval"]
        ),
        "early accuracy": _with_interval(document["accuracy"], metrics["accuracy_interval"]),
        "accuracy gap": _with_interval(document["gap"], metrics["gap_interval"]),
    }
    for share, gap in document["gap_at"].items():
        if float(share) < 1:
            label = f"gap, earliest {float(share):.0%} (n = {document['gap_n'][share]})"
            rows[label] = _with_interval(gap, metrics["gap_at_interval"][share])
    if "one_sided" in metrics:
        rows |= _alarms(metrics["one_sided"])
    if "baseline" in document:
        rows |= _against(document["baseline"])
    rows["time used"] = f"{document['time_used']:.4f}"
    rows["decided by"] = ", ".join(f"{why} {k}" for why, k in metrics["reasons"].items())
    print_mapping(rows)


def _alarms(found: dict[str, Any]) -> dict[str, str]:
    """Return what raising an alarm gave and cost."""
    rows = {}
    for name in ("sensitivity", "precision", "false_alarm_rate", "raised_by_event"):
        if found[name] is not None:
            rows[name.replace("_", " ")] = _with_interval(found[name], found[f"{name}_interval"])
    lead, unit = found["lead_time_h"], "h" if found["lead_time_unit"] == "hours" else "steps"
    if lead["median"] is not None:
        quartiles = " to ".join(f"{x:.1f}" for x in lead["iqr"])
        rows["lead time"] = (
            f"{lead['median']:.1f} {unit} ({quartiles}) in {lead['n_detected']} detected; "
            f"{lead['n_missed']} missed"
        )
    name = "false_alarms_per_stream_day"
    if found[name] is not None:
        rows["false alarms per stream-day"] = _with_interval(
            found[name], found[f"{name}_interval"]
        )
    return rows


def _against(found: dict[str, Any]) -> dict[str, str]:
    """Return how another detector does on the same streams at the same rate of false alarms."""
    if "difference" not in found:
        return {
            f"against {found['detector']}": "nothing to compare: one kind of stream is missing"
        }
    name = f"sensitivity of {found['detector']} at as many false alarms"
    return {
        name: f"{found['other_sensitivity']:.4f}",
        "difference": _with_interval(found["difference"], found["difference_interval"]),
    }


def _with_interval(value: float, interval: list[float]) -> str:
    return f"{value:.4f}  ({interval[0]:.4f} to {interval[1]:.4f})"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(evaluate)
