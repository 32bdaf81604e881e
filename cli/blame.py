"""What to say of an exception, and with which exit code: whose doing it is decides both.

The person at the keyboard can mend a path, a setting or a full disk, and is told how. Only what is
left over may be a fault of ours.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from cli.errors import is_ours

_ADVICE = {
    errno.ENOENT: "Check the path: a folder or file on it is missing.",
    errno.ENOTDIR: "Check the path: a file stands where a folder is wanted.",
    errno.EISDIR: "Check the path: a folder stands where a file is wanted.",
    errno.EEXIST: "Name another path, or move away what is there.",
    errno.ENOTEMPTY: "Name another path, or move away what is there.",
    errno.EACCES: "Name a path that this user may use, or change its permissions.",
    errno.EPERM: "Name a path that this user may use, or change its permissions.",
    errno.EROFS: "Name a path that can be written.",
    errno.ENOSPC: "Make room, or name a path with more of it.",
    errno.EDQUOT: "Make room, or name a path with more of it.",
    errno.ENAMETOOLONG: "Name a shorter path.",
}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def explanation(error: Exception) -> str:
    """Return what to tell the person at the keyboard: what happened, and what to do."""
    if any(is_ours(kind) for kind in type(error).__mro__):
        return str(error)
    if _refuses_settings(error):
        return _refused_settings(error)
    if isinstance(error, MemoryError):
        return (
            "the data needs more memory than there is. Use less of it (fewer streams, fewer "
            "steps), or a machine with more."
        )
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _FULL):
        return _of_the_system(error)
    advice = "This may be a fault of ours: run it again with `tocsin --debug ...`."
    return f"{type(error).__name__}: {error}\n{advice}"


def exit_code(error: Exception) -> int:
    """Return 2 for wrong use, settings among it, and 1 for all else."""
    if _refuses_settings(error) or type(error).__name__ == "StoreUrlError":
        return 2
    return int(getattr(error, "exit_code", 1))


def _of_the_system(error: OSError) -> str:
    trouble = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0, "Name another path, or look at what stands there.")
    if error.filename is None:
        return f"something could not be written: {trouble}. {advice}"
    name = error.filename
    path = os.fsdecode(name) if isinstance(name, str | bytes) else f"file descriptor {name}"
    return f"{path} cannot be used: {trouble}. {advice}"


def _refuses_settings(error: Exception) -> bool:
    # told by its name: pydantic is not imported for this
    return type(error).__name__ == "ValidationError" and getattr(error, "title", "") == "Settings"


def _refused_settings(error: Any) -> str:  # noqa: ANN401  # see above
    """Name the variables that cannot be used, and why; not their values."""
    lines = [
        f"TOCSIN_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}"
        for fault in error.errors(include_input=False, include_url=False)
    ]
    return "\n".join(["the environment holds settings that cannot be used:", *lines])
