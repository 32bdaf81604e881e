"""Errors of the streams room.

* StreamError
  - StateFormatError      a stored state was written by another layout
  - UnknownVersionError   open streams are pinned to a detector version that is not at hand
  - OtherChannelsError    open streams are pinned to a version that reads other channels
  - RecordsLostError      the topic no longer holds records that were not read yet
  - MappingError          a detector's mapping of foreign records cannot be used
  - TopicError            a topic is missing, or is not what the ledger knows
  - BrokerError           Kafka cannot be reached, or refuses
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class StreamError(Exception):
    """Root of the errors of this room."""


class StateFormatError(StreamError):
    """A stored state was written by another layout; it was not touched."""

    def __init__(self, detector: str, version: str, got: str, wanted: str) -> None:
        super().__init__(
            f"a stored state of {detector}@{version} has layout {got}, wanted {wanted}. The "
            "artefact or the code changed under an open stream: put the old artefact back, or "
            "run this worker with the release that wrote the state."
        )


class UnknownVersionError(StreamError):
    """Open streams are pinned to versions that are not at hand."""

    def __init__(self, missing: Iterable[tuple[str, str]], at_hand: Iterable[str]) -> None:
        wanted = ", ".join(sorted(f"{name}@{version}" for name, version in missing))
        known = ", ".join(sorted(at_hand)) or "none"
        super().__init__(
            f"open streams began under {wanted}, but only {known} can be loaded. A stream ends "
            "under the version it began with: put that version back into the registry."
        )


class OtherChannelsError(StreamError):
    """Streams under way began under a version that reads other frames than the active one."""

    def __init__(
        self, name: str, pinned: str, was: tuple[str, ...], active: str, now: tuple[str, ...]
    ) -> None:
        super().__init__(
            f"streams under way began under {name}@{pinned}, which reads {', '.join(was)}; "
            f"{name}@{active} reads {', '.join(now)}. One topic cannot bring both under one name: "
            "give the new detector another name, or let those streams end first."
        )


class RecordsLostError(StreamError):
    """Retention passed the read position: records were deleted before they were read."""

    def __init__(self, topic: str, partition: int, wanted: int, first: int) -> None:
        super().__init__(
            f"{topic}/{partition}: the next record to read is {wanted}, but the topic now begins "
            f"at {first}: {first - wanted} records were deleted unread. Their decisions cannot be "
            "made. Restore them, or move the position on knowingly with a new group."
        )


class MappingError(StreamError):
    """A detector's mapping of foreign records cannot be used; nothing was read."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(
            f"the mapping of {what!r} cannot be used: {detail}. Correct [source] in the "
            "detector's configuration; a path looks like `$.patient.id`."
        )


class TopicError(StreamError):
    """A topic is missing, or is not what the ledger knows; the message says which."""


class BrokerError(StreamError):
    """Kafka cannot be reached, or refuses; the message says what was tried."""
