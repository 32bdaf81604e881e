"""A running service takes up new versions of its detectors without a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectors.detector import Detector
    from detectors.registry import Registry
    from streams.roster import Roster

_log = structlog.get_logger("tocsin.follow")


class Follower:
    """Looks into the registry, and gives new streams the version that is active there.

    Streams under way end under the version they began with. Call it from the thread that owns the
    roster, between two batches.

    Parameters
    ----------
    roster, registry
        Who takes a version up, and where it comes from. Followed are the roster's `following`.
    announce
        Tells the store which version serves now; StoreUnavailableError comes out, and the next
        call tries again.
    """

    def __init__(
        self, roster: Roster, registry: Registry, announce: Callable[[Detector], None]
    ) -> None:
        self._roster, self._registry, self._announce = roster, registry, announce
        self._unannounced: dict[str, Detector] = {}
        self._trouble: dict[str, str] = {}
        """By name, what was said last: each trouble is said once."""

    def __call__(self) -> None:
        """Take up what is new; what cannot be used is logged once, and the old one serves on."""
        for name in sorted(self._roster.following):
            found = self._new(name)
            if found is not None:
                self._unannounced[name] = found
        for name, detector in list(self._unannounced.items()):
            self._announce(detector)
            del self._unannounced[name]
            _log.info("version_taken_up", detector=name, version=detector.version)

    def _new(self, name: str) -> Detector | None:
        """Take up the active version of a detector; return it if it is another one."""
        wanted = name
        try:
            active = next((e for e in self._registry.entries(name) if e.active), None)
            serving = self._roster.active(name).detector
            if active is None or active.version == serving.version:
                return None
            wanted = active.reference
            found = self._registry.load(wanted)
            if found.config.source.topic != serving.config.source.topic:
                self._say(name, wanted, "it listens to another topic: restart the service")
                return None
            self._roster.adopt(found)
        except Exception as error:  # noqa: BLE001  # a bad version must not end a service
            self._say(name, wanted, str(error))
            return None
        return found

    def _say(self, name: str, wanted: str, trouble: str) -> None:
        if self._trouble.get(name) != wanted:
            _log.error("version_refused", detector=name, version=wanted, trouble=trouble)
        self._trouble[name] = wanted
