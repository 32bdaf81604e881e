"""`tocsin compare`: stopping rules side by side, on the same answers of the same classifiers."""

from __future__ import annotations

import base64
import html
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CommandError
from cli.output import JsonOption, emit, note, print_rows, progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.settings import Settings
    from detectors.compare import Row, Rule

MODELS = {"frames": "lstm", "text": "ss3", "vitals": "trees", "scores": "scores"}
"""The classifier of each modality, unless one is named."""
COLUMNS = (
    "dataset", "rule", "time_used", "accuracy", "late_accuracy", "gap", "max_conditional_gap",
    "n_calibration", "violated",
)  # fmt: skip


def compare(
    datasets: Annotated[str, typer.Option(help="Data sets, with commas between them.")],
    rules: Annotated[
        str, typer.Option(help="signal/control, with commas; default: all there are.")
    ] = "",
    model: Annotated[str | None, typer.Option(help="Classifier; default: by modality.")] = None,
    alpha: Annotated[float, typer.Option(help="Largest accuracy gap promised.")] = 0.1,
    delta: Annotated[float, typer.Option(help="1 - confidence in the calibration.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Of split, training, calibration.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(file_okay=False, help="Keep finished rows here, and go on.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(dir_okay=False, metavar="F.png")] = None,
    page: Annotated[Path | None, typer.Option("--html", dir_okay=False, metavar="F.html")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare stopping rules at equal promise: how early, how right, and whether it held."""
    from cli.settings import Settings
    from detectors.compare import CONTROLS, SIGNALS, parse_rule

    for name, value in (("--alpha", alpha), ("--delta", delta)):
        if not 0 < value < 1:
            message = f"{value} is not in (0, 1)"
            raise typer.BadParameter(message, param_hint=name)
    named = rules or ",".join(f"{signal}/{control}" for signal in SIGNALS for control in CONTROLS)
    chosen = [parse_rule(text.strip()) for text in named.split(",")]
    options = {"model": model, "alpha": alpha, "delta": delta, "seed": seed}
    rows: list[Row] = []
    for dataset in (text.strip() for text in datasets.split(",")):
        rows += _compared(Settings(), dataset, chosen, options, cache)
    picture = _picture(rows) if plot is not None or page is not None else b""
    if plot is not None:
        _write(plot, picture)
    if page is not None:
        _write(page, _page(rows, picture, options).encode())
    emit({"rows": [_document(row) for row in rows]}, as_json, table=_print)


def _compared(
    settings: Settings,
    name: str,
    rules: Sequence[Rule],
    options: dict[str, Any],
    cache: Path | None,
) -> list[Row]:
    from detectors import config as configs
    from detectors import datasets
    from detectors.compare import compare as compare_rules
    from streams.scoring import score

    dataset = datasets.load(name, settings.data_dir)
    modality = dataset.parts["train"].modality
    config = configs.build(
        name="compared", dataset=name, modality=modality, seed=options["seed"],
        classifier={"kind": options["model"] or MODELS[modality]},
        rule={"alpha": options["alpha"], "delta": options["delta"]},
    )  # fmt: skip
    found = list(compare_rules(config, dataset, rules, score, progress=progress, cache=cache))
    left_out = {str(rule) for rule in rules} - {row.rule for row in found}
    if left_out:
        kind = config.classifier.kind
        note(f"{name}: {kind} does not give what these read: {', '.join(sorted(left_out))}.")
    return found


def _document(row: Row) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(row)


def _print(document: dict[str, Any]) -> None:
    rows = [[_cell(row[name]) for name in COLUMNS] for row in document["rows"]]
    print_rows([name.replace("_", " ") for name in COLUMNS], rows)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "VIOLATED" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else "-" if value is None else str(value)


def _picture(rows: Sequence[Row]) -> bytes:
    """Return a PNG: time used against accuracy, a line through the rules nobody beats."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        message = "a plot needs matplotlib: pip install 'tocsin[plots]'"
        raise CommandError(message) from error
    from detectors.compare import front

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    for name in dict.fromkeys(row.dataset for row in rows):
        ours = [row for row in rows if row.dataset == name]
        best = front(ours)
        (line,) = axes.plot([row.time_used for row in best], [row.accuracy for row in best], "-")
        for row in ours:
            axes.plot(
                row.time_used, row.accuracy, "x" if row.violated else "o", color=line.get_color()
            )
            axes.annotate(f" {name}: {row.rule}", (row.time_used, row.accuracy), fontsize=7)
    axes.set(xlabel="time used (mean of halt step / length)", ylabel="accuracy of the answer")
    axes.set_title("Rules at equal promise; x = the test part says it was broken")
    into = BytesIO()
    figure.savefig(into, format="png", dpi=110)
    plt.close(figure)
    return into.getvalue()


def _page(rows: Sequence[Row], picture: bytes, options: dict[str, Any]) -> str:
    """Return a page that needs nothing beside it; data set names are foreign text."""
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(getattr(row, name)))}</td>" for name in COLUMNS)
        + "</tr>"
        for row in rows
    )  # fmt: skip
    shown = base64.b64encode(picture).decode()
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>tocsin compare</title>"
        "<style>body{font:15px sans-serif;margin:2rem}td,th{padding:.2rem .7rem;text-align:left}"
        "img{max-width:100%}</style><h1>Stopping rules at equal promise</h1>"
        f"<p>alpha = {options['alpha']:g}, delta = {options['delta']:g}, "
        f"seed = {options['seed']}.</p>"
        f'<img alt="Time used against accuracy" src="data:image/png;base64,{shown}">'
        f"<table><tr>{head}</tr>{body}</table></html>\n"
    )


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        message = f"{path} cannot be written ({error.strerror}); choose another place."
        raise CommandError(message) from error


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(compare)
