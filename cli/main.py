"""Entry point: the list of commands, and what becomes of an error.

Heavy imports (torch, faust, sqlalchemy, ...) stand inside the commands that use them, so that
``tocsin --help`` answers at once.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import typer

from cli import (
    api,
    calibrate,
    compare,
    datasets,
    db,
    decisions,
    detectors,
    doctor,
    evaluate,
    gap,
    keys,
    labels,
    learn,
    produce,
    replay,
    topics,
    train,
    up,
    worker,
)
from cli.blame import exit_code, explanation
from cli.output import note

app = typer.Typer(
    name="tocsin",
    help="Early decisions on streams, with a guarantee on what deciding early costs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show a traceback with an error."),
) -> None:
    """Early decisions on streams, with a guarantee on what deciding early costs."""
    if debug:
        os.environ["TOCSIN_DEBUG"] = "1"


for command in (
    up, train, calibrate, evaluate, compare, replay, worker, api, topics, produce, decisions,
    labels, gap, learn, db, keys, detectors, datasets, doctor,
):  # fmt: skip
    command.register(app)


def main() -> None:
    """Run the command line; what goes wrong is shown as one message, see `cli.blame`.

    An exception class that lives in a room's ``errors`` module is written for the person at the
    keyboard: what was got, what was wanted, what to do.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None if it is closed
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except Exception as error:
        if os.environ.get("TOCSIN_DEBUG"):
            raise
        note(f"error: {explanation(error)}")
        _give_up_on_full_stdout()
        sys.exit(exit_code(error))


def _give_up_on_full_stdout() -> None:
    """Drop what stdout did not take: Python would try again at the end, and complain."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    main()
