"""Reading chosen files out of a .zip, a .tar.gz, a folder, or one plain file; into memory only.

Nothing is unpacked to disk, so no name inside an archive can make a file appear anywhere; and what
is read is limited in size, so a small archive cannot fill the memory.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from detectors.errors import DatasetError

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator
    from typing import IO

MOST_BYTES = 1 << 30
"""Of all files read together."""
Found = dict[str, bytes]
"""Contents by the part of the path that was matched."""


def read_files(
    path: Path,
    wanted: re.Pattern[str],
    most_bytes: int = MOST_BYTES,
    origin: str | None = None,
) -> Found:
    """Return the files whose path ends as `wanted` says.

    Parameters
    ----------
    path
        A folder, an archive, or a file of its own.
    wanted
        Matched, by `search`, against the path inside the archive or folder, with forward slashes.
    most_bytes
        Of all files together, unpacked.
    origin
        What errors call `path`; for a file that stands there for a moment only.

    Raises
    ------
    DatasetError
        If `path` cannot be read, holds too much, two files of one name, or a path that leads out
        of it.
    """
    found: Found = {}
    total = 0
    shown = origin or str(path)
    try:
        for name, file in _files(path, wanted, shown):
            with file:
                content = file.read(most_bytes - total + 1)
            total += len(content)
            if total > most_bytes:
                message = f"{shown} holds more than {most_bytes} bytes of data; it was not read."
                raise DatasetError(message)
            key = _key(name, wanted)
            if key in found:
                message = f"{shown} holds two files {key!r}; which one counts cannot be told."
                raise DatasetError(message)
            found[key] = content
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        message = f"{shown} cannot be read ({error}). Get it again, whole."
        raise DatasetError(message) from error
    except (NotImplementedError, RuntimeError) as error:  # unknown compression, or a password
        message = f"{shown} cannot be unpacked here ({error}). Unpack it and name the folder."
        raise DatasetError(message) from error
    return found


def _files(path: Path, wanted: re.Pattern[str], shown: str) -> Iterator[tuple[str, IO[bytes]]]:
    if path.is_dir():
        yield from _in_folder(path, wanted)
    elif zipfile.is_zipfile(path):
        yield from _in_zip(path, wanted, shown)
    elif path.is_file() and tarfile.is_tarfile(path):
        yield from _in_tar(path, wanted, shown)
    elif wanted.search(path.name):
        yield path.name, path.open("rb")
    else:
        path.stat()  # says so if it is not there
        message = (
            f"{shown} is no .zip, no .tar.gz and no folder, and its name is not that of a file "
            f"wanted ({wanted.pattern}). Name the archive as it was published."
        )
        raise DatasetError(message)


def _in_folder(path: Path, wanted: re.Pattern[str]) -> Iterator[tuple[str, IO[bytes]]]:
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if wanted.search(name) and file.is_file():
            yield name, file.open("rb")


def _in_zip(path: Path, wanted: re.Pattern[str], shown: str) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            _check(shown, entry.filename)
            if wanted.search(entry.filename) and not entry.is_dir():
                yield entry.filename, archive.open(entry)


def _in_tar(path: Path, wanted: re.Pattern[str], shown: str) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(path) as archive:
        for entry in archive:
            _check(shown, entry.name)
            file = archive.extractfile(entry) if entry.isfile() else None  # no links
            if file is not None and wanted.search(entry.name):
                yield entry.name, file


def _key(name: str, wanted: re.Pattern[str]) -> str:
    match = wanted.search(name)
    return name if match is None else match[0].strip("/")


def _check(shown: str, name: str) -> None:
    """Refuse an archive that was made to reach outside, though nothing is unpacked here."""
    inside = PurePosixPath(name.replace("\\", "/"))
    if inside.is_absolute() or ".." in inside.parts:
        message = f"{shown} holds a path that leads out of it; it is not what was published."
        raise DatasetError(message)
