"""The detectors that a worker runs, and the version each stream is scored by."""

from __future__ import annotations

from hashlib import sha256
from math import inf
from typing import TYPE_CHECKING

import msgspec

from streams.engine import Engine
from streams.errors import OtherChannelsError, UnknownVersionError
from streams.sources import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from detectors.detector import Detector
    from models.inputs import Modality


KEPT_VERSIONS = 8
"""Versions of a detector that is followed that stay in memory, the latest."""


class Roster:
    """Engines by detector name and version.

    Parameters
    ----------
    active
        One detector a name: the version that new episodes begin under.
    find
        Loads another version, for streams that began under it; raises if it cannot.
    shadow_share
        As `Engine`.
    following
        Names whose active version may change while the service runs (`adopt`).
    """

    def __init__(
        self,
        active: Iterable[Detector],
        find: Callable[[str, str], Detector] | None = None,
        *,
        shadow_share: float | None = None,
        following: Iterable[str] = (),
    ) -> None:
        self.following = frozenset(following)
        self._share = shadow_share
        self._find = find
        self._active = {d.name: Engine(d, shadow_share=shadow_share) for d in active}
        self._sources = _sources(self.detectors)
        self._engines = {(e.detector.name, e.detector.version): e for e in self._active.values()}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the detectors, sorted."""
        return tuple(sorted(self._active))

    @property
    def detectors(self) -> tuple[Detector, ...]:
        """The active versions."""
        return tuple(self._active[name].detector for name in self.names)

    @property
    def least_s(self) -> float:
        """How long after a record the clock may do something to its stream, under any version."""
        return min((engine.limits.least_s for engine in self._engines.values()), default=inf)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names and versions; equal in all workers of a group.

        The version of a detector that is followed does not count: workers take a new one up one
        after the other.
        """
        listing = "\n".join(
            d.name if d.name in self.following else f"{d.name}@{d.version}" for d in self.detectors
        )
        return sha256(listing.encode()).hexdigest()

    def active(self, name: str) -> Engine:
        """Return the engine under which new episodes begin."""
        return self._active[name]

    def adopt(self, detector: Detector) -> None:
        """Let new episodes begin under another version of a detector that runs here.

        Raises
        ------
        OtherChannelsError
            If it reads other channels than the version before.
        """
        self._check_channels(detector)
        engine = Engine(detector, shadow_share=self._share)
        self._engines.pop((detector.name, detector.version), None)
        self._engines[detector.name, detector.version] = engine
        self._active[detector.name] = engine
        self._sources = _sources(self.detectors)
        self._let_go(detector.name)

    def _let_go(self, name: str) -> None:
        """Drop the oldest versions of a detector; `engine` finds them again if need be.

        One with other times stays: `least_s` must know of it.
        """
        limits = self._active[name].limits
        held = [key for key in self._engines if key[0] == name]
        for key in held[:-KEPT_VERSIONS]:
            if self._engines[key].limits == limits:
                del self._engines[key]

    @property
    def sources(self) -> Sequence[tuple[Source | None, tuple[str, ...]]]:
        """How records are read, and by which detectors; None: by our own schema.

        There is always at least one: records that nobody reads are told so.
        """
        return self._sources

    def readers(self, modality: Modality | None, among: Sequence[str]) -> tuple[str, ...]:
        """Return which of some detectors read a modality; None, a bare end marker: all."""
        if modality is None:
            return tuple(among)
        return tuple(
            name for name in among if self._active[name].detector.classifier.modality == modality
        )

    def engine(self, name: str, version: str) -> Engine:
        """Return the engine of one version.

        Raises
        ------
        UnknownVersionError
            If that version is not at hand; `require` finds this out at start-up.
        """
        key = (name, version)
        if key not in self._engines:
            self.require([key])
        return self._engines[key]

    def require(self, pinned: Iterable[tuple[str, str]]) -> None:
        """Load the versions that open streams are pinned to.

        Raises
        ------
        UnknownVersionError
            With all that cannot be loaded.
        OtherChannelsError
            If one reads other channels than the active version: a record's width is checked once.
        """
        missing = []
        for name, version in pinned:
            if name not in self._active or (name, version) in self._engines:
                continue
            try:
                found = None if self._find is None else self._find(name, version)
            except Exception as error:
                raise UnknownVersionError([(name, version)], self._at_hand()) from error
            if found is None:
                missing.append((name, version))
            else:
                self._check_channels(found)
                self._engines[name, version] = Engine(found, shadow_share=self._share)
        if missing:
            raise UnknownVersionError(missing, self._at_hand())

    def _check_channels(self, older: Detector) -> None:
        active = self._active[older.name].detector
        was, now = tuple(older.classifier.channels), tuple(active.classifier.channels)
        if was != now:
            raise OtherChannelsError(older.name, older.version, was, active.version, now)

    def _at_hand(self) -> list[str]:
        return [f"{name}@{version}" for name, version in self._engines]


def _sources(detectors: Iterable[Detector]) -> list[tuple[Source | None, tuple[str, ...]]]:
    """Return the different ways of reading records, each once, with the names that use it."""
    sources: dict[bytes, Source | None] = {}
    names: dict[bytes, list[str]] = {}
    for detector in detectors:
        config = detector.config.source
        own = not (config.fields or config.measurements or config.scores)
        key = b"" if own else msgspec.json.encode(config, order="deterministic")
        if key not in sources:
            sources[key] = None if own else Source(config)
        names.setdefault(key, []).append(detector.name)
    return [(source, tuple(names[key])) for key, source in sources.items()] or [(None, ())]
