"""A trained detector as a folder, and its fingerprint.

``detector.toml`` (configuration), ``classifier/`` (JSON and safetensors), ``thresholds.json``,
``certificate.json``, ``card.json`` and ``card.md``, and ``manifest.json`` with the SHA-256 of each
other file. A folder is loaded only if it holds exactly what its manifest says.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from detectors import card as cards
from detectors import config as configs
from detectors import signals
from detectors.detector import Detector
from detectors.errors import (
    ConfigError,
    ManifestError,
    MissingFileError,
    TamperedFileError,
    UnexpectedFileError,
)
from models import registry
from models.errors import ModelError
from stopping.certificate import Certificate
from stopping.errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from detectors.config import DetectorConfig
    from models.protocol import Classifier

MANIFEST = "manifest.json"
CONFIG = "detector.toml"
THRESHOLDS = "thresholds.json"
CERTIFICATE = "certificate.json"
CARD, CARD_TEXT = "card.json", "card.md"
CLASSIFIER = "classifier"
FORMAT = 1
VERSION_DIGITS = 12
BEHAVIOUR = (CONFIG, THRESHOLDS)
"""Files, beside the classifier's, that determine what a detector answers."""


def save(detector: Detector, folder: Path) -> Detector:
    """Write `detector` as `folder`, which then is there whole or not at all.

    A folder that is there already is left alone if it holds the same version, whole; anything
    else there is an error. Returns what `folder` now holds: `detector`, or the one that was there
    already, whose card and certificate may tell of another run. Raises ManifestError.
    """
    if folder.exists():
        there = load(folder)
        if there.version == detector.version:
            return there
        raise ManifestError(folder, f"another version stands here than {detector.version}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _write(detector, draft)
        draft.chmod(0o755)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return detector


def load(folder: Path) -> Detector:
    """Read a detector; nothing in the folder is trusted before its SHA-256 was checked.

    Each file is read once, and what was checked is what is used.

    Raises
    ------
    MissingFileError, UnexpectedFileError, TamperedFileError, ManifestError
    """
    manifest = _manifest(folder)
    files = _verify(folder, manifest["files"])
    try:
        config = configs.parse(files[CONFIG].decode(), str(folder / CONFIG))
        certificate = Certificate.from_json(json.loads(files[CERTIFICATE]))
        thresholds = _thresholds(folder, files[THRESHOLDS], certificate)
        classifier = _classifier(config.classifier.kind, files)
        alarm = signals.alarm_class(config.rule, classifier)
        signal = signals.create(config.signal, classifier, alarm)
        card = json.loads(files[CARD])
    except (ValueError, ConfigError, CertificateError, ModelError) as error:
        raise ManifestError(folder, f"its files fit the manifest, but: {error}") from error
    if config.horizon != len(thresholds):
        raise ManifestError(folder, f"{THRESHOLDS} and the horizon in {CONFIG} do not agree")
    version = fingerprint(files)
    for what, found in (("name", config.name), ("version", version)):
        if manifest.get(what) != found:
            said = manifest.get(what)
            raise ManifestError(folder, f"its {what} is {found!r}, its manifest says {said!r}")
    return Detector(
        name=config.name, version=version, config=config, classifier=classifier,
        signal=signal, thresholds=thresholds, horizon=len(thresholds),
        shadow_share=config.shadow_share, certificate=certificate.to_json(), card=card,
        alarm=alarm,
    )  # fmt: skip


def version_of(
    config: DetectorConfig, classifier: Classifier, thresholds: tuple[float | None, ...]
) -> str:
    """Return the version that a detector of these parts has; card and certificate do not count."""
    with tempfile.TemporaryDirectory() as folder:
        classifier.save(Path(folder) / CLASSIFIER)
        files = _contents(Path(folder))
    files[CONFIG] = configs.document(config).encode()
    files[THRESHOLDS] = _json({"thresholds": list(thresholds)})
    return fingerprint(files)


def fingerprint(files: Mapping[str, bytes]) -> str:
    """Return the first 12 hex digits of the SHA-256 over names and contents that count.

    >>> fingerprint({"detector.toml": b"", "card.json": b"1"}) == fingerprint(
    ...     {"detector.toml": b""}
    ... )
    True
    """
    digest = hashlib.sha256()
    for name in sorted(files):
        if name in BEHAVIOUR or name.startswith(f"{CLASSIFIER}/"):
            digest.update(f"{name}\0{len(files[name])}\0".encode())
            digest.update(files[name])
    return digest.hexdigest()[:VERSION_DIGITS]


def _write(detector: Detector, folder: Path) -> None:
    detector.classifier.save(folder / CLASSIFIER)
    texts = {
        CONFIG: configs.document(detector.config).encode(),
        THRESHOLDS: _json({"thresholds": detector.certificate["thresholds"]}),
        CERTIFICATE: _json(detector.certificate),
        CARD: _json(detector.card),
        CARD_TEXT: cards.markdown(detector.card).encode(),
    }
    for name, content in texts.items():
        (folder / name).write_bytes(content)
    files = _contents(folder)
    if fingerprint(files) != detector.version:
        raise ManifestError(folder, f"its version is {fingerprint(files)}, not {detector.version}")
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    (folder / MANIFEST).write_bytes(
        _json(
            {"format": FORMAT, "name": detector.name, "version": detector.version, "files": sums}
        )
    )
    for path in folder.rglob("*"):
        if path.is_file():
            _sync(path)


def _verify(folder: Path, sums: Mapping[str, str]) -> dict[str, bytes]:
    """Return the contents of every file that the manifest names, all checked."""
    present = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    } - {MANIFEST}
    for name in sorted({CONFIG, THRESHOLDS, CERTIFICATE, CARD} - sums.keys()):
        raise ManifestError(folder, f"its manifest does not name {name}")
    for name in sorted(present - sums.keys()):
        raise UnexpectedFileError(folder, name)
    for name in sorted(sums.keys() - present):
        raise MissingFileError(folder, name)
    contents = {}
    for name, wanted in sums.items():
        if any((folder / part).is_symlink() for part in _ancestry(name)):
            raise ManifestError(folder, f"{name} is a link; an artefact holds plain files only")
        contents[name] = (folder / name).read_bytes()
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != wanted:
            raise TamperedFileError(folder, name, found, wanted)
    return contents


def _classifier(kind: str, files: Mapping[str, bytes]) -> Classifier:
    """Load the classifier from contents that were checked, not from files that may have changed.

    Classifiers load from a folder, so they get one that nobody else can write to.
    """
    with tempfile.TemporaryDirectory(prefix="tocsin-") as private:
        for name, content in files.items():
            if name.startswith(f"{CLASSIFIER}/"):
                path = Path(private) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        return registry.load(kind, Path(private) / CLASSIFIER)


def _manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest; its ``files`` is checked: names inside the folder, and sums."""
    if not folder.is_dir():
        raise MissingFileError(folder.parent, folder.name)
    path = folder / MANIFEST
    if not path.is_file():
        raise MissingFileError(folder, MANIFEST)
    try:
        document: Any = json.loads(path.read_bytes())
    except ValueError as error:
        raise ManifestError(folder, f"{MANIFEST} is not JSON ({error})") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ManifestError(folder, f"{MANIFEST} is not of format {FORMAT}")
    files = document.get("files")
    if not isinstance(files, dict) or not all(isinstance(found, str) for found in files.values()):
        raise ManifestError(folder, f"{MANIFEST} does not say the SHA-256 of each file")
    for name in files:
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or "\\" in name or str(pure) != name:
            raise ManifestError(
                folder, f"{MANIFEST} names {name!r}, which lies outside the folder"
            )
    return document


def _thresholds(folder: Path, content: bytes, certificate: Certificate) -> np.ndarray[Any, Any]:
    document: Any = json.loads(content)
    wanted = {"thresholds": list(certificate.thresholds)}
    if document != wanted:
        raise ManifestError(folder, f"{THRESHOLDS} and {CERTIFICATE} do not agree")
    return certificate.threshold_array()


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _ancestry(name: str) -> list[str]:
    parts = PurePosixPath(name).parts
    return ["/".join(parts[: k + 1]) for k in range(len(parts))]


def _json(document: object) -> bytes:
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
