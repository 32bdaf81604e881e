"""The detectors that a worker runs, and the version each stream is scored by."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from streams.engine import Engine
from streams.errors import OtherChannelsError, UnknownVersionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from detectors.detector import Detector


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
    """

    def __init__(
        self,
        active: Iterable[Detector],
        find: Callable[[str, str], Detector] | None = None,
        *,
        shadow_share: float | None = None,
    ) -> None:
        self._share = shadow_share
        self._find = find
        self._active = {d.name: Engine(d, shadow_share=shadow_share) for d in active}
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
    def fingerprint(self) -> str:
        """SHA-256 over names and active versions; equal in all workers of a group."""
        listing = "\n".join(f"{d.name}@{d.version}" for d in self.detectors)
        return sha256(listing.encode()).hexdigest()

    def active(self, name: str) -> Engine:
        """Return the engine under which new episodes begin."""
        return self._active[name]

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
