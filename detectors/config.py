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
    signal: Signal = "auto"
    horizon: int | None = None
    """Steps; None = the 95th percentile of the training streams' lengths."""
    shadow_share: float = 0.05
    seed: int = 0
    """Of the split and the calibration; the classifier has its own."""

    def resolved(self, *, signal: Signal, horizon: int) -> DetectorConfig:
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
        table = msgspec.toml.decode(text, type=_Table)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(source, str(error)) from error
    kind, classifier = _classifier(table.classifier, source)
    return DetectorConfig(
        name=table.name, dataset=table.dataset, classifier=ClassifierConfig(kind, classifier),
        rule=table.rule, modality=table.modality, signal=table.signal, horizon=table.horizon,
        shadow_share=table.shadow_share, seed=table.seed,
    )  # fmt: skip


def read(path: Path) -> DetectorConfig:
    """Return the configuration in the file `path`; raises ConfigError, as `parse` does."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"it cannot be read as UTF-8 text ({error})") from error
    return parse(text, str(path))


def document(config: DetectorConfig) -> str:
    """Return `config` as TOML that `parse` reads back to an equal value."""
    table: dict[str, Any] = {
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
    return to_toml(table)


def build(**table: object) -> DetectorConfig:
    """Return a configuration from plain values, checked as those of a file are."""
    return parse(to_toml({"schema": SCHEMA, **table}), "the options given")


def _classifier(table: dict[str, Any], source: str) -> tuple[str, Struct]:
    kind = table.get("kind")
    if not isinstance(kind, str):
        detail = f"`kind` must be one of {', '.join(registry.kinds())} - at `$.classifier`"
        raise ConfigError(source, detail)
    options = {name: value for name, value in table.items() if name != "kind"}
    try:
        return kind, msgspec.convert(options, registry.options(kind))
    except msgspec.ValidationError as error:
        where = str(error)
        where = (
            where.replace("`$", "`$.classifier")
            if "`$" in where
            else f"{where} - at `$.classifier`"
        )
        raise ConfigError(source, where) from error
