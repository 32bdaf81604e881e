"""Entry point: the list of commands, and what becomes of an error.

Heavy imports (torch, faust, sqlalchemy, ...) stand inside the commands that use them, so that
``tocsin --help`` answers at once.
"""

from __future__ import annotations

import os
import sys

import typer

from cli import (
    api,
    calibrate,
    db,
    decisions,
    detectors,
    doctor,
    evaluate,
    keys,
    produce,
    replay,
    topics,
    train,
    up,
    worker,
)
from cli.errors import is_ours

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
    up, train, calibrate, evaluate, replay, worker, api, topics, produce, decisions, db, keys,
    detectors, doctor,
):  # fmt: skip
    command.register(app)


def main() -> None:
    """Run the command line; errors that are meant for people are shown as one message.

    An exception class that lives in a room's ``errors`` module is written for the person at the
    keyboard: what was got, what was wanted, what to do. Any other is a fault of ours.
    """
    try:
        app()
    except Exception as error:
        if os.environ.get("TOCSIN_DEBUG"):
            raise
        typer.echo(f"error: {_message(error)}", err=True)
        sys.exit(1)


def _message(error: Exception) -> str:
    kind = type(error)
    for base in kind.__mro__:
        if is_ours(base):
            return str(error)
    advice = "This may be a fault of ours: run it again with `tocsin --debug ...`."
    return f"{kind.__name__}: {error}\n{advice}"


if __name__ == "__main__":
    main()
