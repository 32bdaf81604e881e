"""The one thread that writes to SQLite.

SQLite has one writer at a time, and each durable transaction costs a sync to disk. So all writes
of the process are jobs of this thread: those that wait are joined into one transaction (group
commit), each in a savepoint of its own, and are answered once that transaction is on disk.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from store.errors import WriterClosedError
from store.session import store_errors, writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sqlalchemy.engine import Connection, Engine

T = TypeVar("T")

MAX_GROUP = 256
"""Jobs in one transaction."""


class Writer:
    """Runs writing jobs one after the other, in the order in which they were submitted.

    A job is called with a connection inside a transaction. If it raises, what it did is undone,
    its future gets the exception, and its neighbours stay. A future is done only when its job's
    effects are durable.

    Jobs must be short and must not wait for other jobs. `close` runs what is waiting and ends the
    thread; a `Writer` is its own context manager.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: deque[_Job[Any]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[Connection], T]) -> Future[T]:
        """Queue `job`; raises WriterClosedError after `close`."""
        queued = _Job(job)
        with self._changed:
            if self._closing:
                raise WriterClosedError
            self._waiting.append(queued)
            self._changed.notify()
        return queued.future

    def transact(self, job: Callable[[Connection], T], /) -> T:
        """Run `job` and wait until it is durable; a `store.session.Transact`."""
        if threading.current_thread() is self._thread:
            message = "a job of the writer thread waits for another job: it would wait for ever"
            raise RuntimeError(message)
        return self.submit(job).result()

    def close(self) -> None:
        """Take no more jobs, finish those that wait, end the thread. May be called again."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        while group := self._next_group():
            try:
                with writing(self._engine) as connection:
                    for job in group:
                        job.run(connection)
            except Exception as error:  # noqa: BLE001  # whatever it was, it is the callers' answer
                for job in group:
                    job.fail(error)
            else:
                for job in group:
                    job.answer()

    def _next_group(self) -> list[_Job[Any]]:
        """Return the jobs that wait, once there is one; nothing when it is time to end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                group: list[_Job[Any]] = []
                while self._waiting and len(group) < MAX_GROUP:
                    job = self._waiting.popleft()
                    if job.future.set_running_or_notify_cancel():
                        group.append(job)
                if group or (self._closing and not self._waiting):
                    return group


class _Job(Generic[T]):
    """A job, and what came of it while that is not durable yet."""

    def __init__(self, job: Callable[[Connection], T]) -> None:
        self.future: Future[T] = Future()
        self._job = job
        self._result: T | None = None
        self._error: Exception | None = None

    def run(self, connection: Connection) -> None:
        """Run in a savepoint; a lost database is raised, for it concerns the whole group."""
        savepoint = connection.begin_nested()
        try:
            with store_errors(connection.engine):
                self._result = self._job(connection)
        except Exception as error:  # noqa: BLE001  # it is the caller's
            savepoint.rollback()  # raises if SQLite gave up the whole transaction
            self._error = error
        else:
            savepoint.commit()

    def answer(self) -> None:
        """Tell the caller, the transaction being on disk."""
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(cast("T", self._result))

    def fail(self, error: Exception) -> None:
        """Tell the caller that nothing was stored; its own mistake, if any, comes first."""
        self.future.set_exception(self._error or error)
