"""Bringing a public data set here: fetched or given, converted, compared, and only then put down.

`catalogue.toml` says where each set stands and what its content must add up to.
"""

from __future__ import annotations

import gzip
import json
import tempfile
import tomllib
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import Struct

from detectors.archives import MOST_BYTES, read_files
from detectors.download import download
from detectors.errors import DatasetError
from detectors.fingerprint import arrays_sha256, streams_sha256
from detectors.toml import to_toml
from detectors.upstream import SOURCES, Arrays, TextStreams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from detectors.upstream import Source

CATALOGUE = Path(__file__).parent / "catalogue.toml"


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """One set of the catalogue."""

    title: str
    modality: str
    streams: int
    source: str
    licence: str
    page: str
    """Where people read about it."""
    most_bytes: int
    """Of the download."""
    file: str
    """What is wanted of the publication."""
    changes: str
    """What the conversion does."""
    fingerprint: str
    """SHA-256 of the converted content, see `detectors.fingerprint`."""
    url: str | None = None
    """Of the archive; None where there is no single one."""
    by_hand: str | None = None
    """The command that downloads it where `url` is None."""


@cache
def catalogue() -> Mapping[str, Entry]:
    """Return the sets that can be fetched, by name.

    >>> sorted(catalogue())[:2]
    ['PenDigits', 'cinc2019_sepsis_setB']
    """
    tables = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
    return msgspec.convert(tables, dict[str, Entry])


def fetch(
    name: str,
    folder: Path,
    *,
    given: Path | None = None,
    entry: Entry | None = None,
    loopback_http: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Path:
    """Put the set `name` into `folder`/`name` and return its data file.

    Parameters
    ----------
    name
        As the catalogue has it.
    folder
        Of data sets; made if it is not there.
    given
        An archive or folder that was downloaded by hand; nothing is fetched then.
    entry
        Another entry than the catalogue's; for tests.
    loopback_http
        See `detectors.download`.
    advance
        Called with the number of bytes since the last call.

    Raises
    ------
    DatasetError
        If there is no such set, it is there already, it cannot be had, or what came does not say
        what it should; `folder` is as it was then.
    """
    entry = entry or catalogue().get(name)
    if entry is None:
        message = f"there is no set {name!r} to fetch; there is: {', '.join(sorted(catalogue()))}."
        raise DatasetError(message)
    place = folder / name
    if place.exists():
        message = f"{place} is there already. Move it away to have the set fetched anew."
        raise DatasetError(message)
    if given is None and entry.url is None:
        raise DatasetError(_only_by_hand(name, entry))
    with _folder(folder), tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder) as scratch:
        archive = given or Path(scratch) / "archive"
        if given is None:
            _download(name, entry, archive, loopback_http=loopback_http, advance=advance)
        origin = str(given or entry.url)
        made = _convert(name, SOURCES[name], archive, origin)
        _compare(name, made, entry, origin)
        ready = Path(scratch) / name
        file = _write(name, made, entry, ready)
        ready.rename(place)
    return place / file.name


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make `folder` if it is not there; take it away again if the block fails."""
    there = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if not there:
            with suppress(OSError):
                folder.rmdir()
        raise


def content_sha256(made: Arrays | TextStreams) -> str:
    """Return the fingerprint of a converted set, of whichever kind."""
    return arrays_sha256(made) if isinstance(made, dict) else streams_sha256(made)


def _download(
    name: str,
    entry: Entry,
    target: Path,
    *,
    loopback_http: bool,
    advance: Callable[[int], None] | None,
) -> None:
    try:
        download(
            str(entry.url), target, entry.most_bytes,
            loopback_http=loopback_http, advance=advance,
        )  # fmt: skip
    except DatasetError as error:
        message = (
            f"{error} Try again; or download it on a machine with a network (see {entry.page}), "
            f"and run `tocsin datasets fetch {name} --from FILE` here. Nothing was written."
        )
        raise DatasetError(message) from error


def _only_by_hand(name: str, entry: Entry) -> str:
    return (
        f"{name} is published as many files, and not as one archive, so it is not fetched here. "
        f"Read its terms at {entry.page}, download it with `{entry.by_hand}`, and run "
        f"`tocsin datasets fetch {name} --from FOLDER`, with the folder that holds {entry.file}."
    )


def _convert(name: str, source: Source, archive: Path, origin: str) -> Arrays | TextStreams:
    files = read_files(archive, source.wanted, MOST_BYTES, origin)
    if not files:
        message = (
            f"{origin} holds nothing of {name}: no path in it ends as "
            f"{source.wanted.pattern} does. Name the archive, or the folder, as it was published."
        )
        raise DatasetError(message)
    return source.convert(files)


def _compare(name: str, made: Arrays | TextStreams, entry: Entry, origin: str) -> None:
    found = content_sha256(made)
    if found != entry.fingerprint:
        message = (
            f"{origin} does not hold {name} as it is known: its content has SHA-256 "
            f"{found[:12]}..., wanted: {entry.fingerprint[:12]}... It was changed, or is not "
            f"whole. Get it again from its publisher ({entry.page}). Nothing was written."
        )
        raise DatasetError(message)


def _write(name: str, made: Arrays | TextStreams, entry: Entry, folder: Path) -> Path:
    """Write data and provenance into the new `folder`; return the data file."""
    folder.mkdir()
    if isinstance(made, dict):
        file = folder / f"{name}.npz"
        np.savez_compressed(file, **made)  # type: ignore[arg-type]  # its stub has a bool keyword
    else:
        file = folder / f"{name}.jsonl.gz"
        with gzip.open(file, "wt", encoding="utf-8") as out:
            out.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in made)
    (folder / f"{name}.toml").write_text(to_toml(_provenance(name, entry)), encoding="utf-8")
    return file


def _provenance(name: str, entry: Entry) -> dict[str, Any]:
    return {
        "title": entry.title,
        "source": entry.source,
        "licence": entry.licence,
        "page": entry.page,
        "changes": entry.changes,
        "made_by": f"tocsin datasets fetch {name}",
        "content_sha256": entry.fingerprint,
    }
