"""``tocsin learn``: labels in, new versions of a detector that learns while it serves out."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CommandError
from cli.output import JsonOption, emit, note, print_mapping

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from sqlalchemy.engine import Engine

    from cli.settings import Settings
    from streams.course import Course, Made

LEASE_S = 60.0
"""How long the right to learn lasts without being renewed."""
RENEW_S = LEASE_S / 3


def learn(
    detector: Annotated[str, typer.Option(help="Name of the detector, without a version.")],
    every: Annotated[
        int, typer.Option(min=1, help="Make a version after so many labels were learned from.")
    ] = 50,
    interval_s: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds between two looks at the labels.")
    ] = 10.0,
    once: Annotated[
        bool, typer.Option("--once", help="Learn what is there, make one version of it, and end.")
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option(help="Where the set that it was trained on is now; default: where it was."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Learn from the labels in the store; make, test and activate new versions of a detector.

    Each version is calibrated anew. Running services take it up without a restart; streams under
    way end under the version they began with. One process at a time learns for a detector.
    """
    from cli.settings import Settings

    if "@" in detector:
        message = f"name it without a version: {detector.partition('@')[0]}"
        raise typer.BadParameter(message, param_hint="--detector")
    settings = Settings()
    with ExitStack() as running:
        engine = _store(settings, running)
        lease = _Turn(engine, detector, running)
        chosen = _courses(settings, engine, detector, dataset, sys.maxsize if once else every)
        if once:
            lease.demand()
            emit(_once(chosen()), as_json, table=print_mapping)
        else:
            _go_on(chosen, lease, interval_s, as_json)


def _store(settings: Settings, running: ExitStack) -> Engine:
    """Open the store: shared, or one of a file if no other process has it."""
    from sqlalchemy.engine import make_url

    from cli.embedded import locked_store
    from cli.serving import shared_store
    from store.errors import ProcessLockedError
    from store.session import connect, require_schema

    url = settings.resolved_store_url()
    if make_url(url).get_backend_name() != "sqlite":
        engine = shared_store(settings)
        running.callback(engine.dispose)
        return engine
    connect(url, create=False).dispose()  # who only learns makes no store
    try:
        engine = running.enter_context(locked_store(settings))
    except ProcessLockedError as error:
        message = f"{error} A running `tocsin up` learns by itself, see TOCSIN_LEARN_EVERY."
        raise CommandError(message) from error
    require_schema(engine)
    return engine


class _Turn:
    """The right to learn for a detector; on SQLite the store's lock is that already."""

    def __init__(self, engine: Engine, detector: str, running: ExitStack) -> None:
        from cli.worker import process_name, quietly
        from store.leases import Lease

        self._detector = detector
        self._lease: Lease | None = None
        if engine.dialect.name == "postgresql":
            self._lease = Lease(engine, f"learn:{detector}", process_name(), LEASE_S)
            running.callback(quietly, self._lease.release)

    def take(self) -> bool:
        """Take or renew it; False while another process has it."""
        return self._lease is None or self._lease.take()

    def demand(self) -> None:
        """Take it; raises CommandError if another process has it."""
        if not self.take():
            message = (
                f"another process learns for {self._detector}, or did until less than "
                f"{LEASE_S:g} s ago. Stop it, or leave the learning to it."
            )
            raise CommandError(message)


def _courses(
    settings: Settings, engine: Engine, detector: str, dataset: str | None, every: int
) -> Callable[[], Course]:
    from cli.serving import course

    return lambda: course(settings, engine, detector, every=every, dataset=dataset)


def _once(course: Course) -> dict[str, Any]:
    made = list(course.advance(finish=True))
    if not made:
        note("There is nothing new to learn from, so no version was made.")
    return _report(course, made[-1] if made else None)


def _go_on(make: Callable[[], Course], turn: _Turn, interval_s: float, as_json: bool) -> None:
    """Learn until told to stop."""
    from store.errors import StoreUnavailableError

    over, course, is_waiting = _told_to_stop(), None, False
    look_in_s = 0.0
    while not over.wait(min(look_in_s, RENEW_S)):
        look_in_s -= RENEW_S
        try:
            if not turn.take():
                if not is_waiting:
                    note("Another process learns for this detector; waiting for it to end.")
                course, is_waiting = None, True  # where it left off stands in the registry
                look_in_s = interval_s
                continue
            is_waiting = False
            if look_in_s > 0:
                continue
            course = course or _begun(make)
            for made in course.advance():
                emit(_report(course, made), as_json, table=print_mapping)
                if over.is_set() or not turn.take():
                    break
        except StoreUnavailableError as error:
            note(f"warning: {error} Trying again in {interval_s:g} s.")
        look_in_s = interval_s


def _begun(make: Callable[[], Course]) -> Course:
    course = make()
    active = course.active
    note(f"Learning from labels about streams of {active.name}, from version {active.version} on.")
    return course


def _told_to_stop() -> threading.Event:
    over = threading.Event()

    def stop(_: int, __: FrameType | None) -> None:
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return over


def _report(course: Course, made: Made | None) -> dict[str, Any]:
    from detectors.learning import n_labels

    active = course.active
    return {
        "detector": active.name,
        "version": active.version,
        "from_version": made.from_version if made else None,
        "lessons": made.n_lessons if made else 0,
        "lessons_in_all": n_labels(active),
        "skipped": course.passed_over.total(),
        **{f"skipped_{why}": n for why, n in sorted(course.passed_over.items())},
        "waiting": course.n_waiting,
        "late_accuracy": active.card.get("test", {}).get("late_accuracy"),
        "guarantee": active.card.get("guarantee", {}).get("statement"),
    }


def register(app: typer.Typer) -> None:
    """Add ``tocsin learn`` to the command line."""
    app.command()(learn)
