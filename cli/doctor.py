"""``tocsin doctor``: the resolved settings, and whether what they name is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from cli.blame import explanation
from cli.output import JsonOption, emit, print_mapping, print_rows

if TYPE_CHECKING:
    from cli.settings import Settings

_KAFKA_S = 5.0
Found = tuple[bool, str]


class Check(NamedTuple):
    """One thing looked at."""

    name: str
    ok: bool
    detail: str


def doctor(as_json: JsonOption = False) -> None:
    """Show the settings, secrets hidden, and check what they name; exit 1 if a check fails.

    Changes nothing: what would be made on first use is not made.
    """
    from cli.settings import Settings

    settings = Settings()
    checks = [_check(name, look, settings) for name, look in _LOOKS.items()]
    document = {"settings": shown(settings), "checks": [check._asdict() for check in checks]}
    emit(document, as_json, table=_tables)
    if not all(check.ok for check in checks):
        raise typer.Exit(code=1)


def shown(settings: Settings) -> dict[str, Any]:
    """Return the settings as they are in force; secrets stand in files, of which only the name."""
    values = settings.model_dump(mode="json")
    values["store_url"] = _shown_url(settings)
    values["registry"] = str(settings.resolved_registry())
    values["pepper_file"] = str(settings.resolved_pepper_file())
    return values


def _shown_url(settings: Settings) -> str:
    """Return the store's URL without the password; its file is not opened for this."""
    from sqlalchemy.engine import make_url

    if settings.store_url is None:
        return settings.resolved_store_url()
    url = make_url(settings.store_url)
    if settings.store_password_file is not None:
        url = url.set(password="***")  # noqa: S106  # stands for the one in the file
    return url.render_as_string(hide_password=True)


def _check(name: str, look: Callable[[Settings], Found], settings: Settings) -> Check:
    try:
        return Check(name, *look(settings))
    except Exception as error:  # noqa: BLE001  # whatever is wrong is the finding
        return Check(name, False, explanation(error))


def _python(_: Settings) -> Found:
    return sys.version_info >= (3, 11), f"Python {sys.version.split()[0]}; 3.11 is the least"


def _state_dir(settings: Settings) -> Found:
    folder = settings.state_dir.resolve()
    if not folder.exists():
        return True, f"{folder} is not there yet; it is made on first use"
    usable = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    return usable, f"{folder} is {'' if usable else 'not '}a folder that can be written"


def _store(settings: Settings) -> Found:
    from sqlalchemy.engine import make_url

    from store.session import connect, require_schema

    resolved = settings.resolved_store_url()
    url = make_url(resolved)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        return True, f"{url.database} is not there yet; `tocsin up` makes it"
    engine = connect(resolved, create=False)
    try:
        require_schema(engine)
        return True, f"{engine.dialect.name} answers, its tables are of the right revision"
    finally:
        engine.dispose()


def _registry(settings: Settings) -> Found:
    folder = settings.resolved_registry()
    if folder.exists() and not folder.is_dir():
        return False, f"{folder} is not a folder; let TOCSIN_REGISTRY name one"
    if not folder.is_dir():
        given = settings.registry is not None
        return not given, f"{folder} is not there; `tocsin train --out` or `tocsin up` makes it"
    n = sum(entry.is_dir() for entry in folder.iterdir())
    return True, f"{folder} holds {n} folder(s)"


def _data_dir(settings: Settings) -> Found:
    if settings.data_dir is None:
        return True, "TOCSIN_DATA_DIR is not set: bundled sets only"
    there = settings.data_dir.is_dir()
    return there, f"{settings.data_dir} is {'' if there else 'not '}a folder"


def _pepper(settings: Settings) -> Found:
    from api.secret_files import load_pepper

    path = settings.resolved_pepper_file()
    if not path.exists():
        return True, f"{path} is not there yet; it is made on first use"
    load_pepper(path)
    return True, f"{path} is private and long enough"


def _kafka(settings: Settings) -> Found:
    if settings.kafka_servers is None:
        return True, "TOCSIN_KAFKA_SERVERS is not set: embedded service only"
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    silent = {"log_level": 0, "socket.timeout.ms": int(_KAFKA_S * 1000)}
    client = AdminClient({"bootstrap.servers": settings.kafka_servers, **silent})
    try:
        topics = client.list_topics(timeout=_KAFKA_S).topics
    except KafkaException:
        return False, f"no broker answers at {settings.kafka_servers} within {_KAFKA_S:g} s"
    missing = [t for t in (settings.topic, settings.decisions_topic) if t not in topics]
    if missing:
        return False, f"no topic {', '.join(missing)}: run `tocsin topics create`"
    return True, f"{settings.kafka_servers} answers and has the topics"


_LOOKS: dict[str, Callable[[Settings], Found]] = {
    "python": _python,
    "state_dir": _state_dir,
    "store": _store,
    "registry": _registry,
    "data_dir": _data_dir,
    "pepper_file": _pepper,
    "kafka": _kafka,
}


def _tables(document: dict[str, Any]) -> None:
    print_mapping(document["settings"])
    rows = [[c["name"], "ok" if c["ok"] else "FAILS", c["detail"]] for c in document["checks"]]
    print_rows(["check", "", "detail"], rows)


def register(app: typer.Typer) -> None:
    """Add ``tocsin doctor`` to the command line."""
    app.command()(doctor)
