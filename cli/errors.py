"""Errors of the command line.

* CommandError      the work cannot be done as asked
"""


class CommandError(Exception):
    """The work cannot be done as asked; the message says what to do."""
