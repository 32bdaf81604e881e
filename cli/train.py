"""`tocsin train`: a data set and a few choices in, a calibrated detector with its card out."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.choices import Control, Mode
from cli.output import JsonOption, emit, note, print_mapping, progress

if TYPE_CHECKING:
    from detectors.config import DetectorConfig
    from detectors.detector import Detector


class Signal(StrEnum):
    """What readiness is."""

    AUTO = "auto"
    CORRECTNESS = "correctness"
    MAX_PROBABILITY = "max_probability"
    ALARM = "alarm"


NOT_YET = (Mode.IMPROVED,)
DATASET_HELP = "Folder NAME with NAME.npz or NAME.jsonl.gz, such a file, or the name of a set."


def train(
    dataset: Annotated[str, typer.Argument(help=DATASET_HELP, show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(help="Classifier: lstm, ss3, river, trees, scores. Wanted without F."),
    ] = None,
    signal: Annotated[Signal | None, typer.Option(help="Readiness; default: auto.")] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Largest accuracy gap promised, in (0, 1); default: 0.1.")
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="1 - confidence in the calibration; default: 0.05.")
    ] = None,
    control: Annotated[Control | None, typer.Option(help="Default: conditional.")] = None,
    mode: Annotated[Mode | None, typer.Option(help="Procedure; default: reference.")] = None,
    late: Annotated[
        str | None,
        typer.Option(help="Which answer is the late one: end, step:N, clock:48h; default: end."),
    ] = None,
    alarm: Annotated[
        str | None, typer.Option(help="One-sided: the label that alone may be answered early.")
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(help="One-sided: least precision promised too, in (0, 1)."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="F", help="Detector configuration (TOML); options go before it."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The detector's name; default: after the data set.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of split, training and calibration; default: 0.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder to make; default: into the registry."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Divide DATASET, fit a classifier, calibrate its stopping, test it, write the detector."""
    if model is None and config is None:
        message = "name a classifier (`--model lstm`) or a configuration (`--config F`)"
        raise typer.BadParameter(message, param_hint="--model")
    _refuse_what_is_not_there_yet(mode)
    _check_options(model, alpha, delta, precision)
    _check_rule(control, alarm, late, from_file=config is not None)
    chosen = _configure(
        config,
        {"dataset": dataset, "name": name, "signal": signal, "seed": seed},
        {"kind": model, "seed": seed},
        {
            "alpha": alpha,
            "delta": delta,
            "control": control,
            "mode": mode,
            "late": late,
            "alarm": alarm,
            "precision": precision,
        },
    )
    emit(_run(chosen, out), as_json, table=_print)


def _check_options(
    model: str | None, alpha: float | None, delta: float | None, precision: float | None
) -> None:
    """Refuse values that the configuration would refuse too, but by the name of the option."""
    for name, value in (("--alpha", alpha), ("--delta", delta), ("--precision", precision)):
        if value is not None and not 0 < value < 1:
            message = f"{value} is not in (0, 1)"
            raise typer.BadParameter(message, param_hint=name)
    if model is not None:
        from models.registry import kinds

        if model not in kinds():
            message = f"{model!r} is none of {', '.join(kinds())}"
            raise typer.BadParameter(message, param_hint="--model")


def _check_rule(
    control: Control | None, alarm: str | None, late: str | None, *, from_file: bool
) -> None:
    """Refuse what no configuration can make good."""
    from detectors.config import LATE

    if control is Control.ONE_SIDED and alarm is None and not from_file:
        message = "a one-sided rule needs the label that may come early"
        raise typer.BadParameter(message, param_hint="--alarm")
    if late is not None and not re.fullmatch(LATE, late):
        message = f"{late!r} is none of end, step:N, clock:48h (s, m, h or d)"
        raise typer.BadParameter(message, param_hint="--late")


def _run(config: DetectorConfig, out: Path | None) -> dict[str, Any]:
    """Train and store; return the report on what is stored."""
    from datetime import UTC, datetime

    from cli.errors import CommandError
    from cli.settings import Settings
    from detectors import datasets
    from detectors.train import report
    from detectors.train import train as run_training
    from streams.scoring import score

    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        message = f"{out} is there already and not empty. Name a new folder, or remove that one."
        raise CommandError(message)
    settings = Settings()
    run = run_training(
        config, datasets.load(config.dataset, settings.data_dir), score,
        made_on=datetime.now(tz=UTC).date().isoformat(), progress=progress,
    )  # fmt: skip
    stored, folder = _store(run.detector, out, settings.resolved_registry())
    if stored is run.detector:
        note(f"written: {folder}")
    else:
        note(
            f"{folder} was there already and holds this very version: its card and certificate "
            f"stay, those of {stored.card['made_on']}, and are what is reported here."
        )
    if out is None:
        note(f"{stored.version} is now the active version of {stored.name}.")
    return {**report(stored), "folder": str(folder)}


def _store(detector: Detector, out: Path | None, root: Path) -> tuple[Detector, Path]:
    """Write into `out` or the registry below `root`; return what is there now, and where."""
    from detectors import artefact
    from detectors.registry import Registry

    if out is None:
        registry = Registry(root)
        entry = registry.add(detector)
        return detector if entry.written else registry.load(entry.reference), entry.folder
    if out.is_dir():
        out.rmdir()
    return artefact.save(detector, out), out


def _configure(
    path: Path | None,
    top: dict[str, Any],
    classifier: dict[str, Any],
    rule: dict[str, Any],
) -> DetectorConfig:
    """Return the configuration: what the file says, and over it the options given."""
    from detectors import config as configs
    from models import registry

    table: dict[str, Any] = {} if path is None else configs.table(configs.read(path))
    if path is None:
        table["name"] = re.sub(r"[^a-z0-9._-]+", "-", Path(top["dataset"]).stem.lower()).strip(
            "-._"
        )
    before = table.get("classifier", {})
    if classifier["kind"] not in (None, before.get("kind")):
        before = {}  # another classifier's options mean nothing to this one
    table |= _given(top)
    table["classifier"] = before | _given(classifier)
    if classifier["kind"] is not None:
        table["modality"] = registry.modality(classifier["kind"])
    table["rule"] = table.get("rule", {}) | _given(rule)
    return configs.build(**table)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _refuse_what_is_not_there_yet(mode: Mode | None) -> None:
    if mode in NOT_YET:
        message = f"{mode} is not there yet in this version"
        raise typer.BadParameter(message, param_hint="--mode")


def _print(report: dict[str, Any]) -> None:
    metrics, guarantee = report["metrics"], report["guarantee"]
    print_mapping(
        {
            "detector": f"{report['detector']}@{report['version']}",
            "streams (train/calibration/test)": "/".join(
                str(report[key]) for key in ("n_train", "n_calibration", "n_test")
            ),
            "late accuracy": f"{metrics['late_accuracy']:.4f}",
            "early accuracy": f"{metrics['accuracy']:.4f}",
            "accuracy gap": f"{metrics['gap']:.4f}",
            "time used": f"{metrics['time_used']:.4f}",
            "promise": guarantee["statement"],
            "covers": guarantee["promise_covers"],
        }
    )


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(train)
