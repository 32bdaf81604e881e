"""The typed configuration of a detector, read from TOML; nothing unknown passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from detectors.errors import ConfigError
from detectors.toml import to_toml
from models import registry

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1

Share = Annotated[float, Meta(gt=0.0, lt=1.0)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]
Signal = Literal["auto", "correctness", "max_probability"]
Control = Literal["marginal", "conditional"]
Mode = Literal["reference"]


class RuleConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is promised, and by which procedure."""

    control: Control = "conditional"
    mode: Mode = "reference"
    alpha: Share = 0.1
    """Largest accuracy gap promised."""
    delta: Share = 0.05
    """Chance, over the draw of the calibration streams, that the promise does not hold."""
    late: Literal["end"] = "end"
    """Which answer counts as the late one: that at the stream's end."""


class ClassifierConfig(Struct, frozen=True):
    """Which classifier, and the options of its kind (a table of that kind's own type)."""

    kind: str
    options: Struct

    def table(self) -> dict[str, Any]:
        """Return the ``[classifier]`` table."""
        return {"kind": self.kind, **msgspec.to_builtins(self.options)}


class DetectorConfig(Struct, frozen=True):
    """A detector before it has seen any data."""

    name: str
    dataset: str
    """DATASET as the command line takes it; recorded, and looked up again only by ``train``."""
    classifier: ClassifierConfig
    rule: RuleConfig = RuleConfig()
    modality: str = "frames"
    signal: str = "auto"
    horizon: int | None = None
    """Steps; None = the 95th percentile of the training streams' lengths."""
    shadow_share: float = 0.05
    seed: int = 0
    """Of the split and the calibration; the classifier has its own."""

    def resolved(self, *, signal: str, horizon: int) -> DetectorConfig:
        """Return the configuration with nothing left to find out."""
        return msgspec.structs.replace(self, signal=signal, horizon=horizon)


class _Table(Struct, forbid_unknown_fields=True):
    """The file's top level; `classifier` is checked by the options of its kind."""

    schema: Literal[1]
    name: Name
    dataset: Annotated[str, Meta(min_length=1)]
    classifier: dict[str, Any]
    modality: Literal["frames"] = "frames"
    rule: RuleConfig = RuleConfig()
    signal: Signal = "auto"
    horizon: Annotated[int, Meta(ge=1, le=65535)] | None = None
    shadow_share: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.05
    seed: Annotated[int, Meta(ge=0)] = 0


def parse(text: str, source: str = "the configuration") -> DetectorConfig:
    r"""Return the configuration that the TOML `text` holds.

    Parameters
    ----------
    text
        A TOML document of schema 1.
    source
        Where it came from, for the error message.

    Raises
    ------
    ConfigError
        If a value is missing, unknown, of the wrong type or out of range; the message names its
        path, as in ``$.rule.alpha``.

    Examples
    --------
    >>> head = 'schema = 1\nname = "pen"\ndataset = "d"\n'
    >>> parse(head + '[classifier]\nkind = "lstm"').rule.alpha
    0.1
    """
    try:
        found = msgspec.toml.decode(text, type=_Table)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(source, str(error)) from error
    kind, classifier = _classifier(found.classifier, source)
    return DetectorConfig(
        name=found.name, dataset=found.dataset, classifier=ClassifierConfig(kind, classifier),
        rule=found.rule, modality=found.modality, signal=found.signal, horizon=found.horizon,
        shadow_share=found.shadow_share, seed=found.seed,
    )  # fmt: skip


def read(path: Path) -> DetectorConfig:
    """Return the configuration in the file `path`; raises ConfigError, as `parse` does."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"it cannot be read as UTF-8 text ({error})") from error
    return parse(text, str(path))


def table(config: DetectorConfig) -> dict[str, Any]:
    """Return `config` as the plain values that its file holds."""
    return {
        "schema": SCHEMA,
        "name": config.name,
        "modality": config.modality,
        "dataset": config.dataset,
        "signal": config.signal,
        "horizon": config.horizon,
        "shadow_share": config.shadow_share,
        "seed": config.seed,
        "classifier": config.classifier.table(),
        "rule": msgspec.to_builtins(config.rule),
    }


def document(config: DetectorConfig) -> str:
    """Return `config` as TOML that `parse` reads back to an equal value."""
    return to_toml(table(config))


def build(**values: object) -> DetectorConfig:
    """Return a configuration from plain values, checked as those of a file are."""
    return parse(to_toml({"schema": SCHEMA, **values}), "the options given")


def _classifier(values: dict[str, Any], source: str) -> tuple[str, Struct]:
    kind = values.get("kind")
    if not isinstance(kind, str):
        detail = f"`kind` must be one of {', '.join(registry.kinds())} - at `$.classifier`"
        raise ConfigError(source, detail)
    options = {name: value for name, value in values.items() if name != "kind"}
    try:
        return kind, msgspec.convert(options, registry.options(kind))
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise ConfigError(source, f"{what} - at `$.classifier{where or '`'}") from error
