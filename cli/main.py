"""Entry point: the list of commands, and what becomes of an error.

Heavy imports (torch, faust, sqlalchemy, ...) stand inside the commands that use them, so that
``tocsin --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from typing import Any

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
    if any(is_ours(kind) for kind in type(error).__mro__):
        return str(error)
    if type(error).__name__ == "ValidationError" and getattr(error, "title", "") == "Settings":
        return _refused_settings(error)
    advice = "This may be a fault of ours: run it again with `tocsin --debug ...`."
    return f"{type(error).__name__}: {error}\n{advice}"


def _refused_settings(error: Any) -> str:  # noqa: ANN401  # pydantic is not imported for this
    """Name the variables that cannot be used, and why; not their values."""
    lines = [
        f"TOCSIN_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}"
        for fault in error.errors(include_input=False, include_url=False)
    ]
    return "\n".join(["the environment holds settings that cannot be used:", *lines])


if __name__ == "__main__":
    main()
