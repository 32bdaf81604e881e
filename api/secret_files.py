"""Files that hold secrets: the pepper, and the first admin key."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path

from api.errors import SecretFileError

_PEPPER_BYTES = 32
_MOST_BYTES = 4096
_OTHERS_MAY = stat.S_IRWXO | stat.S_IRWXG


def load_pepper(path: Path) -> bytes:
    """Return the key under which API keys are hashed; make it, mode 0600, on first use.

    Of several processes that start at once, one makes it and all read the same. Raises
    SecretFileError if the file is a symbolic link, belongs or is open to others, is too short,
    or cannot be read or made.
    """
    try:
        if not path.exists():
            _make_once(path, secrets.token_hex(_PEPPER_BYTES))
        pepper = _read_private(path).strip()
    except OSError as error:
        advice = "Let TOCSIN_PEPPER_FILE name a file that this user can read or make."
        if error.errno == errno.ELOOP:
            advice = "It is a symbolic link: let TOCSIN_PEPPER_FILE name the file itself."
        raise SecretFileError(path, error.strerror or str(error), advice) from error
    if len(pepper) < _PEPPER_BYTES:
        raise SecretFileError(
            path,
            f"the pepper holds {len(pepper)} bytes, at least {_PEPPER_BYTES} are wanted",
            "Restore it from a backup. Without one remove the file: a new one is made, and all "
            "API keys must be made anew.",
        )
    return pepper


def _read_private(path: Path) -> bytes:
    """Read a file that is ours, or root's, and open to nobody else; look at what is opened."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            advice = "Let TOCSIN_PEPPER_FILE name a plain file."
            raise SecretFileError(path, "it is not a file", advice)
        if found.st_uid not in {0, os.geteuid()}:
            advice = "Whoever owns it can read it: chown it to this user, or to root."
            raise SecretFileError(path, f"the pepper belongs to user {found.st_uid}", advice)
        if found.st_mode & _OTHERS_MAY:
            mode = stat.S_IMODE(found.st_mode)
            raise SecretFileError(
                path, f"the pepper is open to others (mode {mode:04o})", "chmod 600 it."
            )
        return file.read(_MOST_BYTES)


def write_secret(path: Path, content: str) -> None:
    """Write a secret into a new file of mode 0600, or into an empty one that is private.

    Never through a symbolic link, never over anything. Raises SecretFileError.
    """
    advice = "No key was made. Remove the file or name another one, then start again."
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        handle = os.open(path, flags, 0o600)
    except OSError as error:
        raise SecretFileError(path, error.strerror or str(error), advice) from error
    with os.fdopen(handle, "w") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > 0:
            raise SecretFileError(path, "it is not an empty file", advice)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise SecretFileError(path, "it belongs to, or is open to, others", advice)
        try:
            file.write(content + "\n")
            file.flush()
            os.fsync(handle)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise SecretFileError(path, error.strerror or str(error), advice) from error


def _make_once(path: Path, content: str) -> None:
    """Make a file with all its content at once, unless another process was first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    write_secret(draft, content)
    try:
        os.link(draft, path)
    except FileExistsError:
        return  # another process was first: its content counts
    finally:
        draft.unlink()
