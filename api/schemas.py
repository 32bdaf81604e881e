"""What the API takes and gives; database rows are other classes (`store.tables`)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
)

from api import examples
from api.fields import Name
from streams.labels import LabelReason
from streams.records import MAX_FRAMES, Reason


def _example(value: examples.Example) -> ConfigDict:
    return ConfigDict(
        from_attributes=True,
        validate_by_name=True,
        validate_by_alias=True,
        json_schema_extra={"examples": [value]},
    )


class EventIn(BaseModel):
    """One record; described here, decoded by `streams.codec`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [examples.EVENT]})

    stream_id: Name
    v: Literal[1] = 1
    event_id: Name | None = Field(default=None, description="Made, and returned, if missing.")
    detector: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    time: AwareDatetime | None = None
    frames: list[list[float]] | None = Field(
        default=None, max_length=MAX_FRAMES, description="Frames: each is a step."
    )
    text: str | None = Field(default=None, description="A post, turn or word: a step.")
    measurements: dict[str, float | None] | None = Field(
        default=None, description="Measurements by channel, null for none; needs `time`: a step."
    )
    scores: dict[str, float] | None = Field(
        default=None, description="What a model outside answers so far, by label: a step."
    )
    end: bool = Field(default=False, description="The stream ends after this record.")


class EventsIn(BaseModel):
    """Several records."""

    model_config = ConfigDict(extra="forbid")

    events: list[EventIn] = Field(min_length=1, max_length=1000)


class EventResult(BaseModel):
    """What became of one event."""

    index: int = Field(description="Position in the request, from 0.")
    status: Literal["accepted", "rejected", "failed"] = Field(
        description="Accepted = durable. Rejected = can never be used. Failed = send it again."
    )
    event_id: str | None = None
    reason: Reason | None = None
    detail: str | None = None
    partition: int | None = None
    offset: int | None = None


class EventsOut(BaseModel):
    """What became of each event; at least one was durably accepted."""

    model_config = _example(examples.EVENTS_OUT)

    accepted: int
    rejected: int
    failed: int
    results: list[EventResult]


class ContributionOut(BaseModel):
    """How far one step, word or channel moved the answer."""

    step: int
    weight: float = Field(description="How far it spoke for the label, in `unit`.")
    evidence: dict[str, JsonValue] = Field(description="What was read at that step.")


class ExplanationOut(BaseModel):
    """Why the stream got its label."""

    method: str
    contributions: list[ContributionOut] = Field(description="Largest absolute weight first.")
    rest: float = Field(default=0.0, description="What those not listed add up to.")
    unit: str = Field(default="nats", description="Of `weight`; nats: of the label's log-odds.")


class PointOut(BaseModel):
    """One step of the way to a decision."""

    step: int
    label: str
    probability: float
    readiness: float | None = None


class DecisionOut(BaseModel):
    """The final verdict on one episode of a stream."""

    model_config = _example(examples.DECISION)

    id: UUID
    detector: str
    version: str
    stream_id: str
    episode: str = Field(description="`event_id` of the episode's first record.")
    label: str
    probability: float
    halt_step: int
    reason: Literal["threshold", "horizon", "end", "idle"]
    readiness: float | None
    threshold: float | None
    shadow: bool
    event_time: datetime | None
    decided_at: datetime
    top_reasons: list[ContributionOut] = Field(
        validation_alias="explanation", description="The three largest contributions."
    )

    @field_validator("top_reasons", mode="before")
    @classmethod
    def _largest(cls, explanation: Any) -> Any:  # noqa: ANN401  # before validation: anything
        if isinstance(explanation, dict):
            return explanation.get("contributions", [])[:3]
        return explanation


class DecisionList(BaseModel):
    """Some decisions, newest first."""

    model_config = _example(examples.DECISION_LIST)

    decisions: list[DecisionOut]
    next_cursor: str | None = Field(description="For the next page; null on the last.")


class OutcomeOut(BaseModel):
    """What a shadow stream answered at its end."""

    model_config = ConfigDict(from_attributes=True)

    late_label: str
    late_probability: float
    length: int = Field(description="Steps to the stream's end.")
    ended_at: datetime


class DecisionDetail(BaseModel):
    """A decision with its reasons, its way, its promise and, for a shadow, its outcome."""

    model_config = _example(examples.DECISION_DETAIL)

    decision: DecisionOut
    explanation: ExplanationOut
    trajectory: list[PointOut]
    certificate: dict[str, JsonValue] | None = Field(
        description="What was promised for this version, in words and counts; whole at "
        "`GET /v1/detectors/{name}/{version}`."
    )
    outcome: OutcomeOut | None


class StreamStateOut(BaseModel):
    """Where a stream stands under one detector."""

    model_config = ConfigDict(from_attributes=True)

    detector: str
    version: str
    phase: str = Field(description="`open`, `halted` or `ended`.")
    steps: int
    episode: str
    updated_at: datetime


class StreamOut(BaseModel):
    """What is known of one stream."""

    model_config = _example(examples.STREAM)

    stream_id: str
    states: list[StreamStateOut]
    decisions: list[DecisionOut] = Field(description="The newest, at most 50.")
    next_cursor: str | None = Field(
        description="Goes on at GET /v1/decisions?stream_id=..., with no other filter."
    )


class DetectorOut(BaseModel):
    """A detector version, with what it promises."""

    name: str
    version: str
    status: str = Field(description="`active` or `retired`.")
    registered_at: datetime
    guarantee: dict[str, JsonValue]
    summary: dict[str, JsonValue] = Field(description="The model card without its long lists.")


class DetectorDetail(BaseModel):
    """A detector version with its whole card and certificate."""

    model_config = _example(examples.DETECTOR_DETAIL)

    name: str
    version: str
    status: str = Field(description="`active` or `retired`.")
    registered_at: datetime
    card: dict[str, JsonValue]
    certificate: dict[str, JsonValue] = Field(
        description="All that is needed to check the promise again on the calibration scores."
    )


class DetectorList(BaseModel):
    """All detector versions that serve or have served."""

    model_config = _example(examples.DETECTOR_LIST)

    detectors: list[DetectorOut]


class DeadLetterOut(BaseModel):
    """A record that could not be used: where and why, never what it held."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    topic: str
    partition: int
    offset: int
    detector: str | None
    reason: str
    detail: str
    failed_at: datetime


class DeadLetterList(BaseModel):
    """Some dead letters, newest first."""

    model_config = _example(examples.DEAD_LETTER_LIST)

    dead_letters: list[DeadLetterOut]
    next_cursor: str | None


class LabelIn(BaseModel):
    """What a source says is the truth; described here, decoded by `streams.labels`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [examples.LABEL]})

    stream_id: Name
    label: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    source: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        description="Who says so: a person's or a system's name."
    )
    v: Literal[1] = 1
    label_id: Name | None = Field(
        default=None, description="The source's own name for this label; made if missing."
    )
    detector: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        default=None, description="Missing: every detector that knows the label."
    )
    episode: Name | None = Field(default=None, description="Missing: found by time.")
    time: AwareDatetime | None = Field(
        default=None, description="When the truth was established, not when it was sent."
    )


class LabelsIn(BaseModel):
    """Several labels."""

    model_config = ConfigDict(extra="forbid")

    labels: list[LabelIn] = Field(min_length=1, max_length=1000)


class LabelResult(BaseModel):
    """What became of one label."""

    index: int = Field(description="Position in the request, from 0.")
    status: Literal["stored", "repeated", "rejected"] = Field(
        description="Stored = durable. Repeated = was there already. Rejected = never usable."
    )
    label_id: str | None = None
    matched: bool | None = Field(
        default=None, description="Whether the decision it is about is there; it may still come."
    )
    reason: LabelReason | None = None
    detail: str | None = None


class LabelsOut(BaseModel):
    """What became of each label; at least one is kept."""

    model_config = _example(examples.LABELS_OUT)

    stored: int
    repeated: int
    rejected: int
    unmatched: int = Field(description="Of those stored or repeated.")
    results: list[LabelResult]


class LabelOut(BaseModel):
    """A label as it was received."""

    label_id: str
    stream_id: str
    detector: str | None
    episode: str | None
    label: str
    source: str
    time: datetime | None
    received_at: datetime
    via: Literal["api", "topic", "cli"]
    key: str | None = Field(description="Prefix of the API key that sent it.")
    matched: bool


class LabelList(BaseModel):
    """Some labels, the last received first."""

    model_config = _example(examples.LABEL_LIST)

    labels: list[LabelOut]
    next_cursor: str | None = Field(description="For the next page; null on the last.")


class ShareOut(BaseModel):
    """k of n, exactly."""

    k: int
    n: int
    share: float | None = Field(description="null if n is 0.")
    interval: tuple[float, float] | None = Field(description="Clopper and Pearson's.")
    level: float | None = Field(
        default=None, description="What was promised of it, if anything was."
    )
    p_value: float | None = Field(
        default=None,
        description="Exact binomial test of that promise; small = these labels speak against it.",
    )


class LabelShareOut(ShareOut):
    """How many of the decisions for one label are labelled."""

    label: str


class StepShareOut(ShareOut):
    """The gap among the streams decided by a step."""

    step: int


class GapByStepOut(BaseModel):
    """The gap by each step that decided a stream."""

    steps: list[StepShareOut]
    worst: StepShareOut | None = Field(
        default=None, description="The step of the smallest p-value."
    )
    p_value: float | None = Field(
        default=None, description="Its p-value times the number of steps tested."
    )


class StepSetsOut(BaseModel):
    """The two sets of streams that a promise by step may be about."""

    halted: GapByStepOut = Field(description="Decided by the step, at their end included.")
    stopped_early: GapByStepOut = Field(description="Decided by the step and before their end.")


class AlarmsOut(BaseModel):
    """What became of the alarms of a one-sided rule."""

    label: str
    false_alarm_rate: ShareOut = Field(description="Alarms among those labelled otherwise.")
    precision: ShareOut = Field(description="Right ones among the labelled alarms.")
    sensitivity: ShareOut = Field(description="Alarms among those labelled so.")


class RealisedVersion(BaseModel):
    """What became of the decisions of one version."""

    version: str
    status: str | None = Field(description="`active` or `retired`.")
    control: str | None
    alpha: float | None
    decisions: int
    labelled: int
    contradicted: int = Field(description="Labelled decisions about which sources disagree.")
    late_known: int = Field(description="Labelled ones of shadow streams that have ended.")
    labelled_by_decision: list[LabelShareOut]
    accuracy: ShareOut = Field(description="Over all labelled decisions.")
    late_accuracy: ShareOut = Field(description="Over those whose late answer is known.")
    gap: ShareOut = Field(description="Late answer right and early one wrong, over the same.")
    by_step: StepSetsOut
    alarms: AlarmsOut | None = Field(default=None, description="Under a one-sided rule.")
    remarks: list[str] = Field(description="How far these numbers carry.")


class Realised(BaseModel):
    """What became of a detector's decisions, as far as labels have come."""

    model_config = _example(examples.REALISED)

    detector: str
    since: datetime | None = None
    confidence: float = Field(description="Of the intervals.")
    versions: list[RealisedVersion] = Field(description="Those with decisions, newest first.")


class Health(BaseModel):
    """The process answers, or the whole service is ready."""

    model_config = _example({"status": "ok"})

    status: Literal["ok"] = "ok"
