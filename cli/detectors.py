"""`tocsin detectors`: the versions in the registry, and which of them new streams get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import JsonOption, emit, print_rows

if TYPE_CHECKING:
    from detectors.registry import Entry, Registry

commands = typer.Typer(
    help="List, activate and retire trained detectors.",
    no_args_is_help=True,
)
Reference = Annotated[str, typer.Argument(metavar="NAME@VERSION", show_default=False)]


@commands.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List every version in the registry."""
    emit([_row(entry) for entry in _registry().entries()], as_json, table=_print)


@commands.command()
def activate(reference: Reference, as_json: JsonOption = False) -> None:
    """Give this version to new streams; streams under way end under the one they began with."""
    registry = _registry()
    name, version = _split(reference)
    registry.load(reference)  # a damaged folder must not become active
    emit([_row(registry.activate(name, version))], as_json, table=_print)


@commands.command()
def retire(reference: Reference, as_json: JsonOption = False) -> None:
    """Give this version to no new stream; its folder stays for the streams under way."""
    emit([_row(_registry().retire(*_split(reference)))], as_json, table=_print)


@commands.command()
def bundled(as_json: JsonOption = False) -> None:
    """Train the detectors that come with Tocsin, unless the registry has them."""
    from cli import demos
    from cli.settings import Settings

    names = demos.ensure(Settings())
    rows = [_row(entry) for name in names for entry in _registry().entries(name)]
    emit(rows, as_json, table=_print)


def _registry() -> Registry:
    from cli.settings import Settings
    from detectors.registry import Registry

    return Registry(Settings().resolved_registry())


def _split(reference: str) -> tuple[str, str]:
    name, at, version = reference.partition("@")
    if not (name and at and version):
        message = (
            f"{reference!r} names no version; write NAME@VERSION, as `tocsin detectors list` does"
        )
        raise typer.BadParameter(message, param_hint="NAME@VERSION")
    return name, version


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "detector": entry.name, "version": entry.version, "active": entry.active,
        "retired": entry.retired, "folder": str(entry.folder),
    }  # fmt: skip


def _print(rows: list[dict[str, Any]]) -> None:
    states = ["active" if row["active"] else "retired" if row["retired"] else "" for row in rows]
    print_rows(
        ["detector", "version", "state", "folder"],
        [
            [row["detector"], row["version"], state, row["folder"]]
            for row, state in zip(rows, states, strict=True)
        ],
    )


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(commands, name="detectors")
