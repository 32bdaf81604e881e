"""`tocsin calibrate`: thresholds and a certificate from scores, or a certificate checked again."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.choices import Control, Mode
from cli.errors import CommandError
from cli.output import JsonOption, emit, note, print_mapping, print_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from stopping.certificate import Certificate
    from stopping.check import Verdict


class Loss(StrEnum):
    """What an early answer may cost."""

    GAP = "gap"
    DISAGREEMENT = "disagreement"
    MISS = "miss"
    FALSE_ALARM = "false_alarm"


ScoresOption = Annotated[
    Path,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="NPZ with readiness [n, T], predicted [n, T], label [n] and, if they differ, "
        "lengths [n].",
    ),
]
VerifyOption = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Certificate to check against the scores."),
]


def calibrate(
    scores: ScoresOption,
    alpha: Annotated[
        float | None, typer.Option(help="Level: the most an early stop may cost, in (0, 1).")
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="1 - confidence in the calibration, in (0, 1).")
    ] = None,
    control: Annotated[
        Control | None, typer.Option(help="Over all streams, or for those halted by every step.")
    ] = None,
    mode: Annotated[Mode | None, typer.Option(help="Procedure; default: reference.")] = None,
    loss: Annotated[Loss | None, typer.Option(help="Loss; default: gap.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the split, for conditional control; default: 0.")
    ] = None,
    no_shuffle: Annotated[
        bool, typer.Option("--no-shuffle", help="Screen on the first half of the rows as given.")
    ] = False,
    verify: VerifyOption = None,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the JSON document here too.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Choose thresholds from SCORES so that deciding early keeps a level, and certify them.

    With --verify, check a certificate against the scores it was made from instead.
    """
    if verify is not None:
        given = (alpha, delta, control, mode, loss, seed, no_shuffle or None, out)
        if any(option is not None for option in given):
            message = "takes --scores and --json only: everything else stands in the certificate"
            raise typer.BadParameter(message, param_hint="--verify")
        _verify(verify, scores, as_json)
        return
    if no_shuffle and seed is not None:
        message = "--seed chooses the split and --no-shuffle keeps the order: give one of them"
        raise typer.BadParameter(message, param_hint="--no-shuffle")
    choices: dict[str, Any] = {
        "alpha": _level("alpha", alpha),
        "delta": _level("delta", delta),
        "control": _choose("control", control, [Control.MARGINAL, Control.CONDITIONAL]),
        "mode": _choose("mode", mode or Mode.REFERENCE, [Mode.REFERENCE]),
        "loss": _choose("loss", loss or Loss.GAP, [Loss.GAP]),
        "seed": None if no_shuffle else seed or 0,
    }
    certificate = _certify(load_scores(scores), **choices)
    document = _document(certificate)
    if out is not None:
        _write(out, document)
    emit(document, as_json, table=_print_calibration)


def _certify(
    arrays: Mapping[str, NDArray[Any]],
    *,
    alpha: float,
    delta: float,
    control: str,
    mode: str,
    loss: str,
    seed: int | None,
) -> Certificate:
    from stopping.conditional import calibrate_conditional
    from stopping.marginal import calibrate_marginal

    losses, options = _losses(arrays)
    matrices = (arrays["readiness"], losses, arrays.get("lengths"))
    options |= {"mode": mode, "loss_name": loss}
    if control == Control.MARGINAL:
        return calibrate_marginal(*matrices, alpha, delta, **options)
    return calibrate_conditional(
        *matrices, alpha, delta, seed=seed or 0, shuffle=seed is not None, **options
    )


def _verify(path: Path, scores: Path, as_json: bool) -> None:
    from stopping.check import check

    certificate = _read_certificate(path)
    if certificate.loss != Loss.GAP:
        message = f"{path}: the loss is {certificate.loss!r}, but only gap can be checked here yet"
        raise CommandError(message)
    arrays = load_scores(scores)
    losses, options = _losses(arrays)
    verdict = check(certificate, arrays["readiness"], losses, arrays.get("lengths"), **options)
    document = {"agrees": verdict.agrees, "differences": list(verdict.differences)}
    emit(document, as_json, table=lambda _: _print_verdict(verdict, certificate))
    if not verdict.agrees:
        raise typer.Exit(1)


def load_scores(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an NPZ file; nothing in it is ever unpickled."""
    import zipfile
    import zlib

    import numpy as np

    known = ("readiness", "predicted", "label", "lengths", "group")
    try:
        with path.open("rb") as stream:  # ours to close: numpy leaves a damaged file open
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                message = f"{path} holds one bare array; write the arrays with numpy.savez"
                raise CommandError(message)
            arrays = {name: file[name] for name in known if name in file.files}
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        message = (
            f"{path} cannot be read as an NPZ file of plain arrays ({error}); "
            "write it with numpy.savez, without object arrays"
        )
        raise CommandError(message) from error
    missing = [name for name in known[:3] if name not in arrays]
    if missing:
        message = (
            f"{path} has no array {', '.join(missing)}; it needs readiness [n, T], "
            "predicted [n, T], label [n] and, if streams differ in length, lengths [n]"
        )
        raise CommandError(message)
    if arrays.pop("group", None) is not None:
        note("The array group is not used: every row is taken as a subject of its own.")
    return arrays


def _losses(arrays: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return the loss matrix, and what the certificate says of the majority class is made of."""
    from stopping.losses import accuracy_gap_loss, majority_loss

    classes = (arrays["predicted"], arrays["label"], arrays.get("lengths"))
    return accuracy_gap_loss(*classes), {
        "baseline_loss": majority_loss(*classes),
        "label": arrays["label"],
    }


def _read_certificate(path: Path) -> Certificate:
    import json

    from stopping.certificate import Certificate

    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        message = f"{path} cannot be read as JSON ({error}); give what `--out` wrote"
        raise CommandError(message) from error
    if isinstance(document, dict) and "certificate" in document:
        document = document["certificate"]
    return Certificate.from_json(document)


def _document(certificate: Certificate) -> dict[str, Any]:
    from stopping.issue import statement

    inner = certificate.to_json()
    names = ("thresholds", "mode", "control", "loss", "alpha", "delta", "n", "vacuous")
    return {
        **{name: inner[name] for name in names},
        "shortfall": inner["shortfall"],
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
    halted, early = certificate["halted"], certificate["stopped_early"]
    columns = ["step", "threshold", "halted", "losses", "gap", "p-value", "stopped early", "gap "]
    cells = zip(
        certificate["thresholds"], halted["halted"], halted["losses"], halted["gaps"],
        certificate["p_values"], early["halted"], early["gaps"], strict=True,
    )  # fmt: skip
    print_rows(columns, [[str(t), *map(_cell, row)] for t, row in enumerate(cells, start=1)])
    note(document["statement"])


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
