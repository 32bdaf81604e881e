"""Errors of the command line.

* CommandError      the work cannot be done as asked: exit code 1
  - WrongUseError   the command was called in a way that it cannot be: exit code 2
"""


class CommandError(Exception):
    """The work cannot be done as asked; the message says what to do."""

    exit_code = 1


class WrongUseError(CommandError):
    """The command was called in a way that it cannot be; the message names the option."""

    exit_code = 2


ROOMS = ("api", "cli", "detectors", "migrations", "models", "stopping", "store", "streams")


def is_ours(kind: type) -> bool:
    """Return whether an exception class is written for people: it lives in a room's ``errors``.

    Such a message says what was got, what was wanted and what to do, and quotes no payload.

    >>> is_ours(CommandError), is_ours(ValueError)
    (True, False)
    """
    room, _, module = kind.__module__.partition(".")
    return room in ROOMS and module == "errors"
