"""Which classifiers there are: from the name of a kind to the functions that make one.

A kind's implementation is imported when it is first used, so that naming the kinds costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from models.errors import UnknownKindError
from models.frames.options import LstmOptions
from models.online.options import RiverOptions
from models.scores.options import PassThroughOptions
from models.text.options import Ss3Options
from models.vitals.options import TreesOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from msgspec import Struct

    from models.inputs import Modality
    from models.protocol import Classifier, LabelledStreams


@dataclass(frozen=True, slots=True)
class Kind:
    """Where one kind of classifier lives."""

    options: type[Struct]
    """Its table in a configuration; every field has a default."""
    train: str
    """Module with ``train(fit, tuning, options, horizon, advance)``."""
    load: str
    """Module with ``load(folder)``."""
    modality: Modality = "frames"
    """What it reads."""


_KINDS = {
    "river": Kind(
        RiverOptions,
        train="models.online.train",
        load="models.online.classifier",
        modality="text",
    ),
    "scores": Kind(
        PassThroughOptions,
        train="models.scores.passthrough",
        load="models.scores.passthrough",
        modality="scores",
    ),
    "lstm": Kind(LstmOptions, train="models.frames.lstm_train", load="models.frames.lstm"),
    "trees": Kind(
        TreesOptions,
        train="models.vitals.trees_train",
        load="models.vitals.trees",
        modality="vitals",
    ),
    "ss3": Kind(
        Ss3Options, train="models.text.ss3_train", load="models.text.ss3", modality="text"
    ),
}


def kinds() -> tuple[str, ...]:
    """Return the names that `train` and `load` take."""
    return tuple(_KINDS)


def options(kind: str) -> type[Struct]:
    """Return the type of a kind's options; raises UnknownKindError."""
    return _kind(kind).options


def modality(kind: str) -> Modality:
    """Return what classifiers of a kind read; raises UnknownKindError."""
    return _kind(kind).modality


def train(
    kind: str,
    fit: LabelledStreams,
    tuning: LabelledStreams,
    options: Struct,
    *,
    horizon: int,
    advance: Callable[[int], None] | None = None,
) -> Classifier:
    """Fit a classifier of `kind`.

    Parameters
    ----------
    fit, tuning
        Streams to learn from, and others to decide when to stop learning.
    options
        Of the type that `options(kind)` names.
    horizon
        Steps after which no answer is asked for; longer streams are cut there.
    advance
        Called with 1 after each pass over `fit`.
    """
    module: Any = import_module(_kind(kind).train)
    fitted: Classifier = module.train(fit, tuning, options, horizon=horizon, advance=advance)
    return fitted


def load(kind: str, folder: Path) -> Classifier:
    """Return the classifier of `kind` that was saved into `folder`.

    Raises
    ------
    UnknownKindError
        If this version has no such kind.
    ModelFileError
        If the files there are not such a classifier.
    """
    module: Any = import_module(_kind(kind).load)
    loaded: Classifier = module.load(folder)
    return loaded


def _kind(kind: str) -> Kind:
    try:
        return _KINDS[kind]
    except KeyError:
        raise UnknownKindError(kind, _KINDS) from None
