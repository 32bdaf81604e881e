"""The typed configuration of a detector, read from TOML; nothing unknown passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from detectors.errors import ConfigError
from detectors.toml import to_toml
from models import registry
from models.inputs import Modality

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

Share = Annotated[float, Meta(gt=0.0, lt=1.0)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]
Signal = Literal["auto", "correctness", "max_probability", "alarm"]
Control = Literal["marginal", "conditional", "one-sided"]
LATE = r"end|step:[1-9][0-9]{0,4}|clock:[1-9][0-9]{0,5}[smhd]"
Late = Annotated[str, Meta(pattern=rf"^({LATE})\Z")]
Seconds = Annotated[float, Meta(gt=0.0, le=3.2e9)]
JsonPath = Annotated[str, Meta(pattern=r"^\$", max_length=512)]
Mode = Literal["reference"]


class RuleConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is promised, and by which procedure."""

    control: Control = "conditional"
    mode: Mode = "reference"
    alpha: Share = 0.1
    """Largest accuracy gap promised; one-sided: largest share of false alarms among negatives."""
    delta: Share = 0.05
    """Chance, over the draw of the calibration streams, that the promise does not hold."""
    late: Late = "end"
    """Which answer counts as the late one: that at the stream's ``end``, at the latest at a step
    (``step:20``) or a clock time after the first record (``clock:48h``)."""
    alarm: Annotated[str, Meta(min_length=1)] | None = None
    """One-sided: the label that alone may be answered early."""
    precision: Share | None = None
    """One-sided: least share of right ones promised among the alarms raised by any step."""


class TimeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What the clock does to a stream. All times are those that the records and ticks carry."""

    idle_s: Seconds | None = None
    """A stream silent for so long has ended; None: it ends by its end marker or horizon only."""
    horizon_s: Seconds | None = None
    """A decision is due so long after the stream's first record."""
    reorder_s: Annotated[float, Meta(ge=0.0, le=86400.0)] = 0.0
    """Records of a stream are held back so long to bring them into the order of their times."""
    late_records: Literal["score", "refuse"] = "score"
    """A record older than what was scored already: scored in its turn, or a dead letter."""
    forget_s: Seconds | None = 604_800.0
    """What is remembered of an ended stream goes after so long; decisions stay."""


class SourceConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Which topic a detector listens to, and where its records have our fields.

    Paths are JSON paths, ``$.patient.id``. No `fields`: the records are of our own schema.
    """

    topic: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,249}\Z")] | None = None
    """None: the service's own topic of records."""
    fields: dict[str, JsonPath] = {}
    """Of ``stream_id`` (must be there), ``event_id``, ``time``, ``text``, ``frames``, ``end``."""
    measurements: dict[str, JsonPath] = {}
    """Path by channel."""
    scores: dict[str, JsonPath] = {}
    """Path by label."""


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
    modality: Modality = "frames"
    time: TimeConfig = TimeConfig()
    source: SourceConfig = SourceConfig()
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
    modality: Modality = "frames"
    rule: RuleConfig = RuleConfig()
    time: TimeConfig = TimeConfig()
    source: SourceConfig = SourceConfig()
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
    horizon, time = _late(found, source)
    if (found.rule.control == "one-sided") != (found.rule.alarm is not None):
        detail = "`alarm` names the label of a one-sided rule, and of no other - at `$.rule.alarm`"
        raise ConfigError(source, detail)
    return DetectorConfig(
        name=found.name, dataset=found.dataset, classifier=ClassifierConfig(kind, classifier),
        rule=found.rule, modality=found.modality, signal=found.signal, horizon=horizon,
        time=time, source=found.source, shadow_share=found.shadow_share, seed=found.seed,
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
        "time": msgspec.to_builtins(config.time),
        "source": msgspec.to_builtins(config.source),
    }


def document(config: DetectorConfig) -> str:
    """Return `config` as TOML that `parse` reads back to an equal value."""
    return to_toml(table(config))


def build(**values: object) -> DetectorConfig:
    """Return a configuration from plain values, checked as those of a file are."""
    return parse(to_toml({"schema": SCHEMA, **values}), "the options given")


def _late(found: _Table, source: str) -> tuple[int | None, TimeConfig]:
    """Return the horizons in steps and on the clock: the late answer cannot lie beyond them."""
    kind, _, amount = found.rule.late.partition(":")
    horizon, time = found.horizon, found.time
    if kind == "step":
        if horizon not in (None, int(amount)):
            detail = f"`late` is {found.rule.late}, but `horizon` is {horizon} - at `$.rule.late`"
            raise ConfigError(source, detail)
        horizon = int(amount)
    if kind == "clock":
        late_s = float(amount[:-1]) * SECONDS[amount[-1]]
        if time.horizon_s not in (None, late_s):
            given = f"{time.horizon_s:g}"
            detail = f"`late` is {late_s:g} s, `horizon_s` is {given} - at `$.rule.late`"
            raise ConfigError(source, detail)
        time = msgspec.structs.replace(time, horizon_s=late_s)
    return horizon, time


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
