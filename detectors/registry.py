"""Versions of detectors in a directory: ``<root>/<name>/<version>/``, and which one is active.

What exists is what the folders say. ``<root>/<name>/state.json`` adds which version new streams
get and which are retired; a retired version still answers the streams that began with it. Whoever
changes something holds ``<root>/<name>/.lock``; reading needs no lock, for ``state.json`` is
replaced whole.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from detectors import artefact
from detectors.errors import MisplacedError, RegistryError, RegistryStateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from detectors.detector import Detector

STATE = "state.json"
LOCK = ".lock"


class _State(Struct, forbid_unknown_fields=True):
    active: str | None = None
    retired: list[str] = []
    known: list[str] = []
    """Versions that were there at the last change, or were to stay inactive when added."""

    def choose(self, versions: Sequence[str]) -> str | None:
        """Return which of `versions`, the latest last, new streams get.

        Where none was made active it is the latest that is not known: it was to be active, but
        the process that added it died before it could say so.
        """
        if self.active in versions:
            return self.active
        unknown = [each for each in versions if each not in {*self.known, *self.retired}]
        return unknown[-1] if unknown else None

    def activate(self, version: str) -> None:
        """Give `version` to new streams."""
        self.active = version
        self.retired = [other for other in self.retired if other != version]
        self.known = sorted({*self.known, version})

    def retire(self, version: str) -> None:
        """Give `version` to no new stream."""
        self.active = None if self.active == version else self.active
        self.retired = sorted({*self.retired, version})


@dataclass(frozen=True, slots=True)
class Entry:
    """One version in the registry."""

    name: str
    version: str
    active: bool
    """Whether new streams get it."""
    retired: bool
    folder: Path
    written: bool = False
    """Whether the `add` that returned this wrote the folder; otherwise it was there before."""

    @property
    def reference(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"


class Registry:
    """The detectors below one folder; the folder need not exist before the first `add`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def entries(self, name: str | None = None) -> list[Entry]:
        """Return every version, of one name or of all, in the order of names and versions."""
        found = []
        for each, folders in sorted(self._folders().items()):
            if name in (None, each):
                state = self._state(each)
                active = state.choose([folder.name for folder in folders])
                found += [
                    Entry(
                        each, folder.name, folder.name == active, folder.name in state.retired,
                        folder,
                    )
                    for folder in sorted(folders)
                ]  # fmt: skip
        return found

    def add(self, detector: Detector, *, activate: bool = True) -> Entry:
        """Store a detector.

        A version that is there already stays as it is, its card and certificate included; it only
        becomes active, unless `activate` is False: then nothing changes. The entry's `written`
        tells. A version added with `activate` False is found as ``name@version`` and never becomes
        active by itself.
        """
        name, version = detector.name, detector.version
        folder = self.root / name / version
        if folder.exists() and not activate:
            artefact.save(detector, folder)  # nothing to write, so no lock: only a check
            return self._entry(name, version)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with self._locked(name):
            if not folder.exists():
                self._foretell(name, version, active=activate)
            stored = artefact.save(detector, folder)
            if activate:
                state = self._settled(name)
                state.activate(version)
                self._write(name, state)
        return replace(self._entry(name, version), written=stored is detector)

    def resolve(self, reference: str) -> Path:
        """Return the folder of ``name`` (its active version), ``name@version``, or a folder.

        Raises RegistryError, which lists what exists.
        """
        path = Path(reference)
        if (path / artefact.MANIFEST).is_file():
            return path
        name, at, version = reference.partition("@")
        if at:
            return self._entry(name, version).folder
        for entry in self.entries(name):
            if entry.active:
                return entry.folder
        known = [entry.reference for entry in self.entries(name)]
        if known:
            detail = f"no version of {name!r} is active; name one, or activate one."
            raise RegistryError(detail, known)
        if path.is_dir():
            detail = f"{path} is a folder, but holds no {artefact.MANIFEST}: not a detector."
        else:
            detail = (
                f"there is no detector {reference!r} in {self.root}, nor a folder of that name."
            )
        raise RegistryError(detail, self._references())

    def load(self, reference: str) -> Detector:
        """Return the detector that `reference` stands for, checked as `artefact.load` does."""
        folder = self.resolve(reference)
        detector = artefact.load(folder)
        inside = folder.resolve().parent.parent == self.root.resolve()
        if inside and (detector.name, detector.version) != (folder.parent.name, folder.name):
            raise MisplacedError(folder, f"{detector.name}@{detector.version}")
        return detector

    def activate(self, name: str, version: str) -> Entry:
        """Give `version` to new streams; takes it out of retirement."""
        self._entry(name, version)
        with self._locked(name):
            state = self._settled(name)
            state.activate(version)
            self._write(name, state)
        return self._entry(name, version)

    def retire(self, name: str, version: str) -> Entry:
        """Give `version` to no new stream; if it was active, none is, until one is activated."""
        self._entry(name, version)
        with self._locked(name):
            state = self._settled(name)
            state.retire(version)
            self._write(name, state)
        return self._entry(name, version)

    def _entry(self, name: str, version: str) -> Entry:
        for entry in self.entries(name):
            if entry.version == version:
                return entry
        detail = f"there is no {name}@{version} in {self.root}."
        raise RegistryError(detail, self._references())

    def _references(self) -> list[str]:
        return [
            f"{entry.reference}{' (active)' if entry.active else ''}" for entry in self.entries()
        ]

    def _folders(self) -> dict[str, list[Path]]:
        """Return the folders of each name's versions, the latest last."""
        manifests = [
            path
            for path in self.root.glob(f"*/*/{artefact.MANIFEST}")
            if not path.parent.name.startswith(".")  # a draft, which may be gone the next moment
        ]
        found = defaultdict(list)
        for path in sorted(manifests, key=lambda path: (path.stat().st_mtime_ns, path)):
            found[path.parent.parent.name].append(path.parent)
        return found

    def _foretell(self, name: str, version: str, *, active: bool) -> None:
        """Say what shall become of `version` before its folder is there.

        Whoever dies in between then leaves nothing behind that becomes active unasked, or that
        was to be active and is not.
        """
        state = self._state(name)
        known = {*state.known} - {version} if active else {*state.known, version}
        if known != {*state.known}:
            self._write(name, msgspec.structs.replace(state, known=sorted(known)))

    def _settled(self, name: str) -> _State:
        """Return the state with every version known, and the one that is chosen active."""
        versions = [folder.name for folder in self._folders().get(name, [])]
        state = self._state(name)
        return _State(state.choose(versions), state.retired, sorted(versions))

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Wait until nobody else changes `name`; the file stays: removing it would let two in."""
        import fcntl  # not on every platform, and reading does without

        file = os.open(self.root / name / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    def _state(self, name: str) -> _State:
        path = self.root / name / STATE
        try:
            return msgspec.json.decode(path.read_bytes(), type=_State)
        except FileNotFoundError:
            return _State()
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise RegistryStateError(path, str(error)) from error

    def _write(self, name: str, state: _State) -> None:
        path = self.root / name / STATE
        descriptor, draft = tempfile.mkstemp(prefix=".state.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(state) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
