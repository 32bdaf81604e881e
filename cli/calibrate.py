"""`tocsin calibrate`: thresholds and a certificate from scores, or a certificate checked again."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.certificates import LOSSES, Loss, Task, certify, read_certificate, verify, whole
from cli.choices import Control, Mode
from cli.errors import CommandError
from cli.output import JsonOption, emit, note, print_mapping, print_rows
from cli.scores import Draw, load_scores, one_row_a_group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from stopping.certificate import Certificate
    from stopping.check import Verdict


ScoresOption = Annotated[
    Path,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="NPZ with readiness (n x T), predicted (n x T, not for one-sided), label (n) and, if "
        "they differ, lengths (n); of rows with the same group (n) one is used.",
    ),
]
VerifyOption = Annotated[
    Path | None,
    typer.Option(
        "--verify", exists=True, dir_okay=False, help="Certificate to check against the scores."
    ),
]


def calibrate(
    scores: ScoresOption,
    alpha: Annotated[
        float | None,
        typer.Option(help="Level: the most an early stop may cost; one-sided: false alarms."),
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="1 - confidence in the calibration, in (0, 1).")
    ] = None,
    control: Annotated[
        Control | None,
        typer.Option(help="Over all streams, for those halted by every step, or alarms only."),
    ] = None,
    mode: Annotated[Mode | None, typer.Option(help="Procedure; default: reference.")] = None,
    loss: Annotated[
        Loss | None, typer.Option(help="Loss; default: gap, one-sided: false_alarm.")
    ] = None,
    alarm: Annotated[
        int | None, typer.Option(min=0, help="One-sided: label that is raised; default: 1.")
    ] = None,
    precision: Annotated[
        float | None, typer.Option(help="One-sided: least share of right alarms, by every step.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of the split, and of the rows drawn by group; default: 0."),
    ] = None,
    no_shuffle: Annotated[
        bool, typer.Option("--no-shuffle", help="Screen on the first half of the rows as given.")
    ] = False,
    group: Annotated[
        bool | None,
        typer.Option("--group/--no-group", help="One row a group; default: if group is there."),
    ] = None,
    certificate: VerifyOption = None,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the JSON document here too.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Choose thresholds from SCORES so that deciding early keeps a level, and certify them.

    With --verify, check a certificate against the scores it was made from instead.
    """
    if certificate is not None:
        shuffled = no_shuffle or None
        given = (alpha, delta, control, mode, loss, precision, seed, shuffled, group, out)
        if any(option is not None for option in given):
            message = (
                "takes --scores and --json only, and --alarm for a certificate that stands alone: "
                "everything else stands in it"
            )
            raise typer.BadParameter(message, param_hint="--verify")
        _verify(certificate, scores, alarm, as_json)
        return
    _refuse_contradictions(control, alarm, precision, seed, no_shuffle)
    chosen = _choose("control", control, list(Control))
    task = Task(
        alpha=_level("alpha", alpha),
        delta=_level("delta", delta),
        control=chosen,
        mode=_choose("mode", mode or Mode.REFERENCE, [Mode.REFERENCE]),
        loss=_choose("loss", loss or LOSSES[Control(chosen)], [LOSSES[Control(chosen)]]),
        seed=None if no_shuffle else seed or 0,
        alarm=1 if alarm is None else alarm,
        precision=None if precision is None else _level("precision", precision),
    )
    arrays, draw = _read(scores, task.control, group, seed or 0)
    document = _document(certify(arrays, task), task, draw)
    if out is not None:
        _write(out, document)
    emit(document, as_json, table=_print_calibration)


def _refuse_contradictions(
    control: Control | None,
    alarm: int | None,
    precision: float | None,
    seed: int | None,
    no_shuffle: bool,
) -> None:
    if no_shuffle and seed is not None:
        message = "--seed chooses the split and --no-shuffle keeps the order: give one of them"
        raise typer.BadParameter(message, param_hint="--no-shuffle")
    for name, value in (("alarm", alarm), ("precision", precision)):
        if value is not None and control != Control.ONE_SIDED:
            message = "is for --control one-sided only"
            raise typer.BadParameter(message, param_hint=f"--{name}")


def _read(
    path: Path, control: str, group: bool | None, seed: int
) -> tuple[dict[str, NDArray[Any]], Draw | None]:
    """Read the scores; of each group one row, unless `group` is False."""
    one_sided = control == Control.ONE_SIDED
    needed = ("readiness", "label") if one_sided else ("readiness", "predicted", "label")
    arrays = load_scores(path, needed)
    if "group" not in arrays:
        if group:
            message = f"{path} has no array group; write group [n] into it or leave out --group"
            raise CommandError(message)
        return arrays, None
    if group is False:
        note("The array group is not used: every row is taken as a subject of its own.")
        return {name: array for name, array in arrays.items() if name != "group"}, None
    kept, draw = one_row_a_group(arrays, seed)
    note(
        f"{draw.n_rows} rows of {draw.n_groups} groups: one row of each, drawn at random with "
        f"seed {draw.seed}, is used."
    )
    return kept, draw


def _verify(path: Path, scores: Path, alarm: int | None, as_json: bool) -> None:
    certificate, document = read_certificate(path)
    if certificate.loss != LOSSES[Control(certificate.control)]:
        message = f"{path}: the loss is {certificate.loss!r}, which cannot be checked here yet"
        raise CommandError(message)
    raised = whole(document.get("alarm", 1), "alarm") if alarm is None else alarm
    arrays = _read_again(scores, certificate, document)
    verdict = verify(certificate, arrays, raised)
    found = {"agrees": verdict.agrees, "differences": list(verdict.differences)}
    emit(found, as_json, table=lambda _: _print_verdict(verdict, certificate))
    if not verdict.agrees:
        raise typer.Exit(1)


def _read_again(
    scores: Path, certificate: Certificate, document: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """Read the rows that were used; a certificate that stands alone is taken at its own seed."""
    drawn = document.get("group")
    ignored = "group" in document and drawn is None
    seed = drawn.get("seed") if isinstance(drawn, dict) else certificate.seed or 0
    arrays, _ = _read(
        scores, certificate.control, False if ignored else None, whole(seed, "group.seed")
    )
    return arrays


def _document(certificate: Certificate, task: Task, draw: Draw | None) -> dict[str, Any]:
    from stopping.issue import statement

    inner = certificate.to_json()
    names = ("thresholds", "mode", "control", "loss", "alpha", "delta", "n", "vacuous")
    return {
        **{name: inner[name] for name in names},
        "shortfall": inner["shortfall"],
        **({"alarm": task.alarm} if task.control == Control.ONE_SIDED else {}),
        "group": None if draw is None else draw._asdict(),
        "statement": statement(certificate),
        "certificate": inner,
    }


def _write(path: Path, document: Mapping[str, Any]) -> None:
    import json

    try:
        path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        message = f"{path} cannot be written ({error.strerror}); choose another --out"
        raise CommandError(message) from error


def _print_calibration(document: Mapping[str, Any]) -> None:
    certificate = document["certificate"]
    names = ("control", "mode", "loss", "alpha", "delta", "n", "n_screening", "n_testing")
    print_mapping({name: certificate[name] for name in names})
    print_steps = _print_alarms if "one_sided" in certificate else _print_halts
    print_steps(certificate)
    note(document["statement"])


def _print_halts(certificate: Mapping[str, Any]) -> None:
    halted, early = certificate["halted"], certificate["stopped_early"]
    columns = ["step", "threshold", "halted", "losses", "gap", "p-value", "stopped early", "gap "]
    cells = zip(
        certificate["thresholds"], halted["halted"], halted["losses"], halted["gaps"],
        certificate["p_values"], early["halted"], early["gaps"], strict=True,
    )  # fmt: skip
    print_rows(columns, [[str(t), *map(_cell, row)] for t, row in enumerate(cells, start=1)])


def _print_alarms(certificate: Mapping[str, Any]) -> None:
    part = certificate["one_sided"]
    precision = part["precision"]
    steps = len(certificate["thresholds"])
    columns = ["step", "threshold", "raised", "positives", "negatives", "share right", "p (rate)"]
    raised = certificate["halted"]
    right = [None if gap is None else 1 - gap for gap in raised["gaps"]]
    cells = zip(
        certificate["thresholds"], raised["halted"], part["positives_raised"], raised["losses"],
        right, certificate["p_values"], precision["p_values"] if precision else [None] * steps,
        strict=True,
    )  # fmt: skip
    rows = [[str(t), *map(_cell, row)] for t, row in enumerate(cells, start=1)]
    print_rows([*columns, "p (precision)"], rows)


def _print_verdict(verdict: Verdict, certificate: Certificate) -> None:
    if verdict.agrees:
        note(f"The certificate agrees with the scores of these {certificate.n} streams.")
    for difference in verdict.differences:
        note(f"differs: {difference}")


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _level(name: str, value: float | None) -> float:
    if value is None:
        message = "is needed, unless a certificate is checked with --verify"
        raise typer.BadParameter(message, param_hint=f"--{name}")
    if not 0 < value < 1:
        message = f"{value} is not above 0 and below 1"
        raise typer.BadParameter(message, param_hint=f"--{name}")
    return value


def _choose(name: str, value: StrEnum | None, available: list[StrEnum]) -> str:
    choices = ", ".join(available)
    if value is None:
        message = f"is needed; choose one of: {choices}"
        raise typer.BadParameter(message, param_hint=f"--{name}")
    if value not in available:
        message = f"{value} is not available yet; choose one of: {choices}"
        raise typer.BadParameter(message, param_hint=f"--{name}")
    return str(value)


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(calibrate)
