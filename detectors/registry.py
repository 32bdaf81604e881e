"""Versions of detectors in a directory: ``<root>/<name>/<version>/``, and which one is active.

What exists is what the folders say. ``<root>/<name>/state.json`` adds which version new streams
get and which are retired; a retired version still answers the streams that began with it.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from detectors import artefact
from detectors.errors import MisplacedError, RegistryError, RegistryStateError

if TYPE_CHECKING:
    from detectors.detector import Detector

STATE = "state.json"


class _State(Struct, forbid_unknown_fields=True):
    active: str | None = None
    retired: list[str] = []


@dataclass(frozen=True, slots=True)
class Entry:
    """One version in the registry."""

    name: str
    version: str
    active: bool
    """Whether new streams get it."""
    retired: bool
    folder: Path

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
        for path in sorted(self.root.glob(f"*/*/{artefact.MANIFEST}")):
            folder = path.parent
            if folder.name.startswith(".") or name not in (None, folder.parent.name):
                continue
            state = self._state(folder.parent.name)
            found.append(
                Entry(
                    folder.parent.name, folder.name, folder.name == state.active,
                    folder.name in state.retired, folder,
                )
            )  # fmt: skip
        return found

    def add(self, detector: Detector, *, activate: bool = True) -> Entry:
        """Store a detector; adding the same version again changes nothing in its folder."""
        folder = self.root / detector.name / detector.version
        try:
            artefact.save(detector, folder)
        except OSError:
            # Another process was faster: its folder is as good if it is whole.
            if not folder.exists() or artefact.load(folder).version != detector.version:
                raise
        if activate:
            self.activate(detector.name, detector.version)
        return self._entry(detector.name, detector.version)

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
        state = self._state(name)
        state.active = version
        state.retired = [other for other in state.retired if other != version]
        self._write(name, state)
        return self._entry(name, version)

    def retire(self, name: str, version: str) -> Entry:
        """Give `version` to no new stream; if it was active, none is, until one is activated."""
        self._entry(name, version)
        state = self._state(name)
        state.active = None if state.active == version else state.active
        state.retired = sorted({*state.retired, version})
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
