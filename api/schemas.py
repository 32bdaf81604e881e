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
from streams.records import MAX_FRAMES, Reason


def example(value: examples.Example) -> ConfigDict:
    """Return the settings of a schema that is shown by an example."""
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

    model_config = example(examples.EVENTS_OUT)

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

    model_config = example(examples.DECISION)

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

    model_config = example(examples.DECISION_LIST)

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

    model_config = example(examples.DECISION_DETAIL)

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

    model_config = example(examples.STREAM)

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

    model_config = example(examples.DETECTOR_DETAIL)

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

    model_config = example(examples.DETECTOR_LIST)

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

    model_config = example(examples.DEAD_LETTER_LIST)

    dead_letters: list[DeadLetterOut]
    next_cursor: str | None


class Health(BaseModel):
    """The process answers, or the whole service is ready."""

    model_config = example({"status": "ok"})

    status: Literal["ok"] = "ok"
