"""What the API takes and gives of labels, and of what became of decisions by them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

from api import examples
from api.fields import Name
from api.schemas import example
from streams.labels import LabelReason


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

    model_config = example(examples.LABELS_OUT)

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

    model_config = example(examples.LABEL_LIST)

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

    model_config = example(examples.REALISED)

    detector: str
    since: datetime | None = None
    confidence: float = Field(description="Of the intervals.")
    versions: list[RealisedVersion] = Field(description="Those with decisions, newest first.")
