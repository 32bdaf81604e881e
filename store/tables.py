"""The tables. Every invariant that the database can hold, it holds."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import Integer

from store.instants import Instant, utc_now

REVISION = "0003"
"""The migration that makes these very tables; the newest in `migrations/versions`."""

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Json = JSON().with_variant(JSONB(), "postgresql")
BigId = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """Every constraint has a predictable name, so a migration can drop it."""

    metadata = MetaData(naming_convention=NAMES)


class PartitionRow(Base):
    """How far one partition of one topic is read by one group; the commit point."""

    __tablename__ = "partitions"
    __table_args__ = (
        # not `topic_id`: one group may hold one life of a topic only
        UniqueConstraint("group_id", "topic", "partition"),
        CheckConstraint("partition >= 0 AND partition < n_partitions", name="partition_exists"),
        CheckConstraint("epoch >= 1", name="epoch_positive"),
        CheckConstraint("next_offset >= 0", name="next_offset_not_negative"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    group_id: Mapped[str] = mapped_column(String(128))
    """Kafka group id, or ``embedded``."""
    topic: Mapped[str] = mapped_column(String(256))
    topic_id: Mapped[str] = mapped_column(String(64))
    """The broker's own id of the topic: a topic re-created under its old name has another."""
    partition: Mapped[int]
    n_partitions: Mapped[int]
    """Number of partitions the topic had when first claimed."""
    epoch: Mapped[int] = mapped_column(BigInteger)
    """Raised by each claim; a commit under an older epoch changes nothing."""
    next_offset: Mapped[int] = mapped_column(BigInteger)
    clock_s: Mapped[float | None]
    """Time of the latest tick committed here, seconds from 1970 UTC; None = there was none."""


class StateTable(Base):
    """The state of one stream under one detector."""

    __tablename__ = "states"
    __table_args__ = (
        # `stream_id` first, so that the key serves a look-up by stream too: each further index
        # costs a tenth of the ledger's speed
        PrimaryKeyConstraint("stream_id", "detector", "partition_id"),
        Index(None, "detector", "version", "phase"),
        # streams that wait for the clock only: the others cost nothing
        Index(
            "ix_states_partition_id_deadline_s",
            "partition_id",
            "deadline_s",
            postgresql_where=text("deadline_s IS NOT NULL"),
            sqlite_where=text("deadline_s IS NOT NULL"),
        ),
        CheckConstraint("phase IN ('open', 'halted', 'ended')", name="phase_is_known"),
        # half of each page stays free for the next version of its rows, which then need no new
        # index entries: twice the updates a second
        {"postgresql_with": {"fillfactor": 50}},
    )

    partition_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("partitions.id", ondelete="CASCADE")
    )
    detector: Mapped[str] = mapped_column(String(64))
    stream_id: Mapped[str] = mapped_column(String(256))
    version: Mapped[str] = mapped_column(String(64))
    episode: Mapped[str] = mapped_column(String(256))
    phase: Mapped[str] = mapped_column(String(8))
    steps: Mapped[int] = mapped_column(BigInteger)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    updated_at: Mapped[datetime] = mapped_column(Instant, server_default=utc_now())
    deadline_s: Mapped[float | None]
    """A tick from this time on must look at the stream; -infinity = any tick."""
    pending: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    """Records held back to be brought into order."""


class DecisionTable(Base):
    """The final verdict on one episode of a stream."""

    __tablename__ = "decisions"
    __table_args__ = (
        UniqueConstraint("detector", "stream_id", "episode"),
        CheckConstraint(
            "reason IN ('threshold', 'horizon', 'end', 'idle')", name="reason_is_known"
        ),
        CheckConstraint("halt_step >= 1", name="halt_step_positive"),
        CheckConstraint("probability >= 0 AND probability <= 1", name="probability_in_range"),
        Index(None, "decided_at", "id"),
        Index(None, "detector", "decided_at", "id"),
        Index(None, "label", "decided_at", "id"),
        Index(None, "stream_id", "decided_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    """UUIDv5 of (detector, stream_id, episode): a replay names it alike."""
    detector: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    stream_id: Mapped[str] = mapped_column(String(256))
    episode: Mapped[str] = mapped_column(String(256))
    label: Mapped[str] = mapped_column(String(128))
    probability: Mapped[float]
    halt_step: Mapped[int]
    reason: Mapped[str] = mapped_column(String(16))
    readiness: Mapped[float | None]
    threshold: Mapped[float | None]
    shadow: Mapped[bool]
    explanation: Mapped[dict[str, Any]] = mapped_column(Json)
    trajectory: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    event_time: Mapped[datetime | None] = mapped_column(Instant)
    decided_at: Mapped[datetime] = mapped_column(Instant)
    """When the ledger stored it, UTC."""


class OutcomeTable(Base):
    """What a shadow stream answered at its end, beside its final decision."""

    __tablename__ = "outcomes"

    detector: Mapped[str] = mapped_column(String(64), primary_key=True)
    stream_id: Mapped[str] = mapped_column(String(256), primary_key=True)
    episode: Mapped[str] = mapped_column(String(256), primary_key=True)
    late_label: Mapped[str] = mapped_column(String(128))
    late_probability: Mapped[float]
    length: Mapped[int]
    ended_at: Mapped[datetime] = mapped_column(Instant)


class DeadLetterTable(Base):
    """A record that could not be used, with the reason; one a detector, or one for all."""

    __tablename__ = "dead_letters"
    __table_args__ = (UniqueConstraint("partition_id", "record_offset", "detector"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    partition_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("partitions.id", ondelete="CASCADE")
    )
    record_offset: Mapped[int] = mapped_column(BigInteger)
    detector: Mapped[str] = mapped_column(String(64))
    """Empty where the record was unusable for every detector."""
    reason: Mapped[str] = mapped_column(String(32), index=True)
    detail: Mapped[str] = mapped_column(Text)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    failed_at: Mapped[datetime] = mapped_column(Instant)


class OutboxRow(Base):
    """A decision still to be published; gone once the broker has acknowledged it."""

    __tablename__ = "outbox"
    __table_args__ = (UniqueConstraint("decision_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    group_id: Mapped[str] = mapped_column(String(128), index=True)
    decision_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("decisions.id", ondelete="CASCADE"))


class LeaseRow(Base):
    """Who may do a job that one process at a time may do (publishing the outbox)."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(160), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime] = mapped_column(Instant)


class WorkerRow(Base):
    """A worker that lives; all of a group must run the same detectors."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    group_id: Mapped[str] = mapped_column(String(128), index=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    """SHA-256 over the names and versions of its detectors."""
    seen_at: Mapped[datetime] = mapped_column(Instant)


class LogPartitionRow(Base):
    """One partition of the embedded log: where its next record goes, whatever was deleted."""

    __tablename__ = "log_partitions"

    partition: Mapped[int] = mapped_column(primary_key=True)
    log_id: Mapped[str] = mapped_column(String(64))
    """Names this life of the log, as a topic id names a topic's; the same in every row."""
    next_offset: Mapped[int] = mapped_column(BigInteger)


class LogRecordRow(Base):
    """The embedded driver's append-only record log."""

    __tablename__ = "log_records"

    partition: Mapped[int] = mapped_column(primary_key=True)
    record_offset: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    key: Mapped[str] = mapped_column(String(256))
    value: Mapped[bytes] = mapped_column(LargeBinary)
    appended_at: Mapped[datetime] = mapped_column(Instant)


class DetectorVersionRow(Base):
    """A detector version that has served, with its promise; what the API shows."""

    __tablename__ = "detector_versions"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    """``active`` or ``retired``."""
    card: Mapped[dict[str, Any]] = mapped_column(Json)
    certificate: Mapped[dict[str, Any]] = mapped_column(Json)
    registered_at: Mapped[datetime] = mapped_column(Instant)
    alarm: Mapped[str | None] = mapped_column(String(128))
    """Label that a one-sided rule alone may answer early; None under any other rule."""


class DetectorClassRow(Base):
    """A label that some version of a detector can answer; a truth is checked against these."""

    __tablename__ = "detector_classes"

    detector: Mapped[str] = mapped_column(String(64), primary_key=True)
    label: Mapped[str] = mapped_column(String(128), primary_key=True)


class LabelTable(Base):
    """What a source says is the truth about a stream; all are kept, contradictions too."""

    __tablename__ = "labels"
    __table_args__ = (
        UniqueConstraint("source", "label_id"),
        CheckConstraint("via IN ('api', 'topic', 'cli')", name="via_is_known"),
        Index(None, "stream_id", "id"),
        Index(None, "detector", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    source: Mapped[str] = mapped_column(String(128))
    """Who says so: a person's or a system's name."""
    label_id: Mapped[str] = mapped_column(String(256))
    """The source's own name for this statement: sent again, it counts once."""
    stream_id: Mapped[str] = mapped_column(String(256))
    detector: Mapped[str | None] = mapped_column(String(64))
    """None = whichever detector knows the label."""
    episode: Mapped[str | None] = mapped_column(String(256))
    """None = found by time, see `store.truths`."""
    label: Mapped[str] = mapped_column(String(128))
    labelled_at: Mapped[datetime | None] = mapped_column(Instant)
    """When the truth was established, as the source says; None if it does not."""
    received_at: Mapped[datetime] = mapped_column(Instant)
    """When the store took it."""
    via: Mapped[str] = mapped_column(String(8))
    key_prefix: Mapped[str | None] = mapped_column(String(16))
    """Of the API key that sent it; None unless it came by REST."""


class PepperMarkRow(Base):
    """By what the pepper of the API keys is known again; one row."""

    __tablename__ = "pepper_marks"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    mark: Mapped[bytes] = mapped_column(LargeBinary(32))
    """HMAC-SHA-256 of a constant under the pepper."""


class ApiKeyRow(Base):
    """An API key, as a keyed hash: the secret itself is shown once and never stored."""

    __tablename__ = "api_keys"

    prefix: Mapped[str] = mapped_column(String(16), primary_key=True)
    """Public first part of the key; names it in lists and logs."""
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    """HMAC-SHA-256 of the secret part under the server's pepper."""
    name: Mapped[str] = mapped_column(String(128))
    scopes: Mapped[list[str]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(Instant)
    expires_at: Mapped[datetime | None] = mapped_column(Instant)
    revoked_at: Mapped[datetime | None] = mapped_column(Instant)
    last_used_at: Mapped[datetime | None] = mapped_column(Instant)
