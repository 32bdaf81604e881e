"""One process at a time on an SQLite store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from store.errors import ProcessLockedError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class SingleProcess:
    """A lock on an SQLite store, held from `acquire` to `release` or to the process's death.

    The kernel keeps the lock, not the file's existence, so a killed process leaves nothing to
    clean up. The lock file stands beside the store and names the holder.

    Parameters
    ----------
    store
        The SQLite file; need not exist yet, its folder must.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> store = Path(tempfile.mkdtemp()) / "tocsin.sqlite"
    >>> with SingleProcess(store):
    ...     SingleProcess(store).acquire()
    Traceback (most recent call last):
    store.errors.ProcessLockedError: ...tocsin.sqlite is locked by another process (process ...
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        self.path = store.with_name(store.name + ".lock")
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock; ProcessLockedError if another process (or object) has it."""
        import fcntl  # not on every platform; PostgreSQL needs no lock file

        if self._file is not None:
            return
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(file, 64).decode("ascii", "replace").strip() or "unknown"
            os.close(file)
            raise ProcessLockedError(self.store, f"process {holder}") from error
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode("ascii"), 0)
        self._file = file

    def release(self) -> None:
        """Give the lock back; the file stays, for removing it would let two in."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
