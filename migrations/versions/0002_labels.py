"""Labels: what sources say is the truth, and which labels each detector knows and raises.

Revision 0002, from 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make both tables, and the column."""
    op.add_column("detector_versions", sa.Column("alarm", sa.String(128), nullable=True))
    op.create_table(
        "detector_classes",
        sa.Column("detector", sa.String(64), nullable=False),
        sa.Column("label", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("detector", "label"),
    )
    op.create_table(
        "labels",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(128), nullable=False),
        sa.Column("label_id", sa.String(256), nullable=False),
        sa.Column("stream_id", sa.String(256), nullable=False),
        sa.Column("detector", sa.String(64), nullable=True),
        sa.Column("episode", sa.String(256), nullable=True),
        sa.Column("label", sa.String(128), nullable=False),
        sa.Column("labelled_at", INSTANT, nullable=True),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("via", sa.String(8), nullable=False),
        sa.Column("key_prefix", sa.String(16), nullable=True),
        sa.CheckConstraint("via IN ('api', 'topic', 'cli')", name="via_is_known"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("source", "label_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(None, "labels", ["stream_id", "id"])
    op.create_index(None, "labels", ["detector", "id"])


def downgrade() -> None:
    """Drop both tables and the column, with what they hold."""
    op.drop_table("labels")
    op.drop_table("detector_classes")
    with op.batch_alter_table("detector_versions") as versions:
        versions.drop_column("alarm")
