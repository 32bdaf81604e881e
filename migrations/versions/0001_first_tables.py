"""The first tables: ledger, decisions, dead letters, outbox, embedded log, versions, API keys.

Revision 0001, from nothing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
NOW = {
    "postgresql": "clock_timestamp()",
    "sqlite": "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))",
}

CREATED = (
    "partitions",
    "states",
    "dead_letters",
    "decisions",
    "outcomes",
    "outbox",
    "leases",
    "workers",
    "log_partitions",
    "log_records",
    "detector_versions",
    "pepper_marks",
    "api_keys",
)


def upgrade() -> None:
    """Make all tables."""
    _ledger()
    _decisions()
    _coordination()
    _log()
    _service()


def downgrade() -> None:
    """Drop all tables, with what they hold."""
    for table in reversed(CREATED):
        op.drop_table(table)


def _ledger() -> None:
    op.create_table(
        "partitions",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("group_id", sa.String(128), nullable=False),
        sa.Column("topic", sa.String(256), nullable=False),
        sa.Column("topic_id", sa.String(64), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("n_partitions", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("partition >= 0 AND partition < n_partitions", name="partition_exists"),
        sa.CheckConstraint("epoch >= 1", name="epoch_positive"),
        sa.CheckConstraint("next_offset >= 0", name="next_offset_not_negative"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("group_id", "topic", "partition"),
    )
    _states()
    op.create_table(
        "dead_letters",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("partition_id", ID, nullable=False),
        sa.Column("record_offset", sa.BigInteger(), nullable=False),
        sa.Column("detector", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False, index=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("failed_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["partition_id"], ["partitions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("partition_id", "record_offset", "detector"),
    )


def _states() -> None:
    now = sa.text(NOW[op.get_context().dialect.name])
    op.create_table(
        "states",
        sa.Column("partition_id", ID, nullable=False),
        sa.Column("detector", sa.String(64), nullable=False),
        sa.Column("stream_id", sa.String(256), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("episode", sa.String(256), nullable=False),
        sa.Column("phase", sa.String(8), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", INSTANT, server_default=now, nullable=False),
        sa.CheckConstraint("phase IN ('open', 'halted', 'ended')", name="phase_is_known"),
        sa.ForeignKeyConstraint(["partition_id"], ["partitions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("stream_id", "detector", "partition_id"),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index(None, "states", ["detector", "version", "phase"])


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("detector", sa.String(64), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("stream_id", sa.String(256), nullable=False),
        sa.Column("episode", sa.String(256), nullable=False),
        sa.Column("label", sa.String(128), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("halt_step", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("readiness", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("shadow", sa.Boolean(), nullable=False),
        sa.Column("explanation", JSON, nullable=False),
        sa.Column("trajectory", JSON, nullable=False),
        sa.Column("event_time", INSTANT, nullable=True),
        sa.Column("decided_at", INSTANT, nullable=False),
        sa.CheckConstraint("reason IN ('threshold', 'horizon', 'end')", name="reason_is_known"),
        sa.CheckConstraint("halt_step >= 1", name="halt_step_positive"),
        sa.CheckConstraint("probability >= 0 AND probability <= 1", name="probability_in_range"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("detector", "stream_id", "episode"),
    )
    for leading in ([], ["detector"], ["label"], ["stream_id"]):
        op.create_index(None, "decisions", [*leading, "decided_at", "id"])
    op.create_table(
        "outcomes",
        sa.Column("detector", sa.String(64), nullable=False),
        sa.Column("stream_id", sa.String(256), nullable=False),
        sa.Column("episode", sa.String(256), nullable=False),
        sa.Column("late_label", sa.String(128), nullable=False),
        sa.Column("late_probability", sa.Double(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("ended_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("detector", "stream_id", "episode"),
    )


def _coordination() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("group_id", sa.String(128), nullable=False, index=True),
        sa.Column("decision_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["decision_id"], ["decisions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("decision_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(160), nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("group_id", sa.String(128), nullable=False, index=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _log() -> None:
    op.create_table(
        "log_partitions",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("log_id", sa.String(64), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition"),
    )
    op.create_table(
        "log_records",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("record_offset", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("appended_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("partition", "record_offset"),
    )


def _service() -> None:
    op.create_table(
        "detector_versions",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("card", JSON, nullable=False),
        sa.Column("certificate", JSON, nullable=False),
        sa.Column("registered_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", "version"),
    )
    op.create_table(
        "pepper_marks",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("id = 1", name="one_row"),
    )
    op.create_table(
        "api_keys",
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.Column("revoked_at", INSTANT, nullable=True),
        sa.Column("last_used_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("prefix"),
    )
