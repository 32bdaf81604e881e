"""Errors raised by detectors, written for the person at the keyboard.

* DetectorError
  - ConfigError            a configuration holds something that cannot be used
  - DatasetError           a data set cannot be found, read or used
  - SplitError             a data set cannot be divided as training needs it
  - LearningError          a detector cannot go on learning
  - ScoringError           a detector and a data set do not fit together
  - ArtefactError          a trained detector's folder is not what was written
    . MissingFileError     a file is missing
    . UnexpectedFileError  a file is there that nobody wrote
    . TamperedFileError    a file differs from what its manifest says
    . ManifestError        the manifest itself cannot be used
    . MisplacedError       a registry's folder holds another detector than its name says
  - RegistryError          the registry does not hold what was asked for
  - RegistryStateError     the registry's note of what is active cannot be read
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CONFIGURATION = "the configuration"
"""Source of a fault that shows only when a configuration meets its data."""
REBUILD = "Copy the folder again from where it was trained, or train it anew with `tocsin train`."


class DetectorError(Exception):
    """Root of this room's errors."""


class ConfigError(DetectorError, ValueError):
    """A configuration holds something that cannot be used; nothing was trained."""

    def __init__(self, source: str, detail: str) -> None:
        super().__init__(f"{source}: {detail}. Correct that entry and run the command again.")


class DatasetError(DetectorError, ValueError):
    """A data set cannot be found, read or used."""


class SplitError(DetectorError, ValueError):
    """A data set cannot be divided as training needs it."""


class LearningError(DetectorError, ValueError):
    """A detector cannot go on learning; no version was made."""


class ScoringError(DetectorError, ValueError):
    """A detector and a data set do not fit together."""


class ArtefactError(DetectorError):
    """A trained detector's folder is not what was written; it was not loaded."""


class MissingFileError(ArtefactError):
    """A file of the artefact is missing."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(f"{folder} lacks {name}. {REBUILD}")


class UnexpectedFileError(ArtefactError):
    """A file lies in the artefact that its manifest does not name."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(
            f"{folder} holds {name}, which its manifest does not name. If you put it there, move "
            f"it elsewhere; otherwise do not trust this folder. {REBUILD}"
        )


class TamperedFileError(ArtefactError):
    """A file of the artefact is not the one that was written."""

    def __init__(self, folder: Path, name: str, found: str, wanted: str) -> None:
        super().__init__(
            f"{folder / name} has SHA-256 {found[:12]}..., its manifest says {wanted[:12]}...: "
            f"the file was changed after training. {REBUILD}"
        )


class ManifestError(ArtefactError):
    """The manifest, or a file that it vouches for, cannot be used."""

    def __init__(self, folder: Path, detail: str) -> None:
        super().__init__(f"{folder}: {detail}. {REBUILD}")


class MisplacedError(ArtefactError):
    """A registry's folder holds another detector than its name says."""

    def __init__(self, folder: Path, found: str) -> None:
        super().__init__(
            f"{folder} holds {found}: it was renamed, or changed together with its manifest. "
            f"Put {found} into the registry anew from where it was trained."
        )


class RegistryStateError(DetectorError):
    """The registry's note of what is active cannot be read."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"{path} cannot be read ({detail}). Delete it and activate a version anew."
        )


class RegistryError(DetectorError, LookupError):
    """The registry does not hold what was asked for."""

    def __init__(self, detail: str, existing: Iterable[str]) -> None:
        names = ", ".join(existing) or "nothing yet (`tocsin train` fills it)"
        super().__init__(f"{detail} There is: {names}.")

    def __str__(self) -> str:
        return str(self.args[0])
