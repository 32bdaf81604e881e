"""`tocsin db`: the store's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.output import JsonOption, emit

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

db = typer.Typer(name="db", help="The store's schema.", no_args_is_help=True)


@db.command()
def upgrade(as_json: JsonOption = False) -> None:
    """Bring the store's schema up to this version's; does nothing if it is there."""
    import migrations

    engine = _engine(create=True)
    before = migrations.current(engine)
    migrations.upgrade(engine)
    emit(
        {"store": _place(engine), "before": before, "revision": migrations.current(engine)},
        as_json,
    )


@db.command()
def current(as_json: JsonOption = False) -> None:
    """Show the store's schema revision; exit code 1 unless it is this version's."""
    import migrations

    engine = _engine(create=False)
    found, wanted = migrations.current(engine), migrations.head()
    emit(
        {"store": _place(engine), "revision": found, "head": wanted, "ok": found == wanted},
        as_json,
    )
    if found != wanted:
        raise typer.Exit(code=1)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(db)


def _engine(*, create: bool) -> Engine:
    from cli.settings import Settings
    from store.session import connect

    return connect(Settings().resolved_store_url(), create=create)


def _place(engine: Engine) -> str:
    from store.session import place

    return place(engine)
