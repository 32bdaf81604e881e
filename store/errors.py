"""Errors of the store.

* StoreError
  - StoreUrlError             the URL names no database we can use
  - StoreUnavailableError     the database cannot be reached, or was lost on the way
    . NoStoreError            there is no SQLite store where one is looked for
    . NotAStoreError          the file is no SQLite database, or a damaged one
  - SchemaError               the tables are missing or of another revision
  - ProcessLockedError        another process holds this SQLite store
  - TopicChangedError         a topic was re-created, or has another number of partitions
  - LogPartitionsError        the embedded log has another number of partitions
  - OffsetRegressionError     a commit would move a partition backwards
  - CommitRefusedError        the database cannot hold what a commit brings
  - NaiveInstantError         a time without a zone
  - OtherDetectorsError       a live worker of the group runs other detectors
  - WriterClosedError         the writer thread has ended
  - PepperMismatchError       the keys in the store were made under another pepper
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from pathlib import Path


class StoreError(Exception):
    """Root of this room's errors."""


class StoreUrlError(StoreError, ValueError):
    """The URL names no database that we can use."""

    def __init__(self, url: str, trouble: str) -> None:
        super().__init__(
            f"The store URL {url!r} cannot be used: {trouble}. "
            "Give postgresql+psycopg://USER@HOST:PORT/DATABASE or sqlite:////absolute/path/to/FILE."
        )


class StoreUnavailableError(StoreError):
    """The database cannot be reached, or the connection was lost.

    A commit that ends so is stored whole or not at all, but which of the two is not known. The
    same commit may be tried again under the same epoch: what is stored already stays as it is.
    """

    def __init__(self, where: str, trouble: str) -> None:
        super().__init__(
            f"The database at {where} does not answer: {trouble}. "
            "Check that it runs, that host, port, database and user are right, that this machine "
            "may reach it and that its disk is not full; then try again."
        )


class NoStoreError(StoreUnavailableError):
    """There is no SQLite store where one is looked for, and none was to be made."""

    def __init__(self, path: Path) -> None:
        StoreError.__init__(
            self,
            f"There is no store at {path}; `tocsin up` or `tocsin db upgrade` makes one. If it "
            "should be there, check TOCSIN_STORE_URL and TOCSIN_STATE_DIR.",
        )


class NotAStoreError(StoreUnavailableError):
    """The file is no SQLite database, or a damaged one."""

    def __init__(self, path: str, trouble: str) -> None:
        StoreError.__init__(
            self,
            f"{path} cannot be used as a store: {trouble}. Let TOCSIN_STORE_URL name an SQLite "
            "database; if this is one, it is damaged: restore it from a backup.",
        )


class SchemaError(StoreError):
    """The tables are missing or of another revision."""

    def __init__(self, where: str, found: str | None, wanted: str) -> None:
        got = "has no Tocsin tables" if found is None else f"has schema revision {found}"
        super().__init__(
            f"The database at {where} {got}; this version works with revision {wanted}. "
            "Run `tocsin db upgrade`; if the revision found is newer, run a newer Tocsin instead."
        )


class ProcessLockedError(StoreError):
    """Another process holds this SQLite store."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(
            f"{path} is locked by another process ({holder}): an SQLite store serves one process "
            "at a time. Stop that process, or use PostgreSQL, where worker and API may be apart."
        )


class TopicChangedError(StoreError):
    """A topic was re-created, or has another number of partitions than the ledger knows."""

    def __init__(
        self, group: str, topic: str, stored: tuple[str, int], now: tuple[str, int]
    ) -> None:
        super().__init__(
            f"Topic {topic!r} is not the one that group {group!r} has read so far: the ledger "
            f"holds topic id {stored[0]!r} with {stored[1]} partitions, the broker now has "
            f"{now[0]!r} with {now[1]}. Offsets and the partition of each stream mean something "
            "else there, so going on would skip or mix records. Either bring the old topic back, "
            "or stop all workers of this group and start them under a new group name "
            "(TOCSIN_GROUP): that reads the topic from its beginning with fresh states. "
            "Decisions stored so far stay final; an episode that is read again keeps its decision."
        )
        self.stored = stored
        self.now = now


class LogPartitionsError(StoreError):
    """The embedded log was made with another number of partitions."""

    def __init__(self, stored: int, wanted: int) -> None:
        super().__init__(
            f"The embedded log has {stored} partitions, {wanted} were asked for: streams would "
            f"move between partitions and lose their order. Start with {stored} partitions, or "
            "with an empty state directory."
        )


class OffsetRegressionError(StoreError):
    """A commit of the partition's own owner would move it backwards; a fault of the driver.

    Attributes
    ----------
    committed : frozenset of int
        The partitions of the same call that were stored.
    """

    def __init__(self, backwards: Collection[int], committed: frozenset[int]) -> None:
        super().__init__(
            f"The commit would move partitions {sorted(backwards)} to an offset below the stored "
            "one, under their current epoch: nothing was stored for them. Records would count "
            "twice. Claim these partitions anew and go on at the offset that the claim returns."
        )
        self.committed = committed


class CommitRefusedError(StoreError, ValueError):
    """The database cannot hold what a commit brings; none of the call was stored."""

    def __init__(self, trouble: str) -> None:
        super().__init__(
            f"The commit holds what the store cannot keep: {trouble}. Nothing of it was stored. "
            "Such a record should have become a dead letter before: please report this."
        )


class NaiveInstantError(StoreError, ValueError):
    """A time without a zone."""

    def __init__(self, value: datetime) -> None:
        super().__init__(
            f"The time {value.isoformat()} has no zone; give it one, for example "
            "datetime.now(tz=UTC)."
        )


class OtherDetectorsError(StoreError):
    """A live worker of the group runs other detectors."""

    def __init__(self, group: str, worker_id: str, other_id: str) -> None:
        super().__init__(
            f"Worker {worker_id!r} runs other detectors, or other versions of them, than worker "
            f"{other_id!r} of the same group {group!r}: a stream's answer would depend on who "
            "happens to read it. Start all workers of a group with the same detectors, or give "
            "this one a group of its own (TOCSIN_GROUP)."
        )


class WriterClosedError(StoreError):
    """The writer thread has ended; nothing can be written any more."""

    def __init__(self) -> None:
        super().__init__(
            "The store is closing and takes no more writes; try again after a restart."
        )


class PepperMismatchError(StoreError):
    """The keys in the store were made under another pepper."""

    def __init__(self) -> None:
        super().__init__(
            "The pepper is not the one under which the API keys in this store were made: none of "
            "them would be known, and a new one would not be known elsewhere. Let "
            "TOCSIN_PEPPER_FILE (or TOCSIN_STATE_DIR) name the file that the other processes use. "
            "If that one is lost, revoke every key with `tocsin keys revoke`; the new pepper then "
            "counts."
        )
