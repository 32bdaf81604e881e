"""``tocsin keys``: API keys, directly on the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CommandError
from cli.output import JsonOption, emit, note, print_rows, say

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from cli.settings import Settings
    from store.keys import Key
    from store.session import Transact

keys = typer.Typer(help="API keys: make, list, revoke.", no_args_is_help=True)
_SCOPES = ("events:write", "decisions:read", "labels:write", "metrics:read", "admin")


def first_admin_key(transact: Transact, settings: Settings, pepper: bytes) -> None:
    """Make the first admin key unless there ever was one; show it once, on stderr.

    With `settings.admin_key_file` it goes into that file instead: what a service prints is kept in
    logs. If the file cannot be written, no key is made and an error says what to do.
    """
    from api.secret_files import write_secret
    from store.keys import ensure_admin

    path = settings.admin_key_file
    keep = None if path is None else lambda plaintext: write_secret(path, plaintext)
    issued = ensure_admin(transact, pepper=pepper, now=datetime.now(tz=UTC), keep=keep)
    if issued is None:
        return
    if path is not None:
        note(f"First admin key: it stands in {path}, and nowhere else.")
        return
    note(f"First admin key, shown only this once: {issued.plaintext}")


@keys.command()
def create(
    name: Annotated[str, typer.Option(help="Whom or what it is for.")],
    scope: Annotated[list[str], typer.Option(help=f"One of {', '.join(_SCOPES)}; repeat it.")],
    expires_days: Annotated[
        int | None, typer.Option(min=1, max=36500, help="Days until it expires; default: never.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and show it once: the key alone on stdout, all else on stderr."""
    unknown = sorted(set(scope) - set(_SCOPES))
    if unknown:
        message = f"{unknown[0]!r} is none of {', '.join(_SCOPES)}"
        raise typer.BadParameter(message, param_hint="--scope")
    if not 1 <= len(name.strip()) <= 128 or not name.isprintable():
        message = "a name has 1 to 128 printable characters"
        raise typer.BadParameter(message, param_hint="--name")
    from api.secret_files import load_pepper
    from cli.settings import Settings
    from store.keys import Scope, create
    from store.session import writing

    settings = Settings()
    engine = _store(settings)
    now = datetime.now(tz=UTC)
    pepper = load_pepper(settings.resolved_pepper_file())
    with writing(engine) as connection:
        issued = create(
            connection,
            name=name.strip(),
            scopes=[Scope(one) for one in scope],
            pepper=pepper,
            now=now,
            expires_at=None if expires_days is None else now + timedelta(days=expires_days),
        )
        _show(issued.plaintext, issued.key, now, as_json)  # a key that nobody saw is not made


@keys.command(name="list")
def list_keys(as_json: JsonOption = False) -> None:
    """List all keys, revoked and expired ones too; never their secrets."""
    from cli.settings import Settings
    from store.keys import listed

    with _store(Settings()).connect() as connection:
        rows = [_shown(key, datetime.now(tz=UTC)) for key in listed(connection)]
    emit({"keys": rows}, as_json, table=_table)


@keys.command()
def revoke(
    prefix: Annotated[str, typer.Argument(help="The part between `tocsin_` and the next `_`.")],
    as_json: JsonOption = False,
) -> None:
    """Revoke the key with this PREFIX, for good and at once."""
    from cli.settings import Settings
    from store.keys import revoke
    from store.session import writing

    if not (prefix.isascii() and prefix.isalnum()):
        message = "a prefix is the part between `tocsin_` and the next `_`"
        raise typer.BadParameter(message, param_hint="PREFIX")
    with writing(_store(Settings())) as connection:
        found = revoke(connection, prefix, datetime.now(tz=UTC))
    if not found:
        message = f"no key has the prefix {prefix!r}; `tocsin keys list` shows those there are."
        raise CommandError(message)
    emit({"prefix": prefix, "status": "revoked"}, as_json)


def _store(settings: Settings) -> Engine:
    from store.session import connect, require_schema

    engine = connect(settings.resolved_store_url(), create=False)
    require_schema(engine)
    return engine


def _show(plaintext: str, key: Key, now: datetime, as_json: bool) -> None:
    """Print the key on a line of its own: a table might cut it, and there is no second look."""
    shown = _shown(key, now)
    if as_json:
        emit({"key": plaintext} | shown, as_json)
        return
    note("The key, shown only this once:")
    say(plaintext)
    for name in ("prefix", "name", "scopes", "expires_at"):
        note(f"{name}: {_cell(shown[name]) or 'never'}")


def _shown(key: Key, now: datetime) -> dict[str, Any]:
    return {
        "prefix": key.prefix,
        "name": key.name,
        "scopes": sorted(str(scope) for scope in key.scopes),
        "status": key.refusal(now) or "active",
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def _table(document: dict[str, Any]) -> None:
    columns = ["prefix", "name", "scopes", "status", "expires_at", "last_used_at"]
    print_rows(columns, [[_cell(row[name]) for name in columns] for row in document["keys"]])


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, list):
        return " ".join(value)
    return "" if value is None else str(value)


def register(app: typer.Typer) -> None:
    """Add ``tocsin keys`` to the command line."""
    app.add_typer(keys, name="keys")
