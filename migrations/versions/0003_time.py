"""Time: the clock of a partition, when a stream is due, and decisions that the clock brings.

Revision 0003, from 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INDEX = "ix_states_partition_id_deadline_s"
WAITS = sa.text("deadline_s IS NOT NULL")
REASON = "reason_is_known"
BEFORE = "reason IN ('threshold', 'horizon', 'end')"
NOW = "reason IN ('threshold', 'horizon', 'end', 'idle')"


def upgrade() -> None:
    """Add the columns and their index, and let a decision be idle."""
    op.add_column("partitions", sa.Column("clock_s", sa.Double(), nullable=True))
    op.add_column("states", sa.Column("deadline_s", sa.Double(), nullable=True))
    op.add_column("states", sa.Column("pending", sa.LargeBinary(), nullable=True))
    op.create_index(
        INDEX,
        "states",
        ["partition_id", "deadline_s"],
        postgresql_where=WAITS,
        sqlite_where=WAITS,
    )
    _reasons(NOW)


def downgrade() -> None:
    """Drop the columns; a decision that the clock brought counts as one at the stream's end."""
    op.execute("UPDATE decisions SET reason = 'end' WHERE reason = 'idle'")
    _reasons(BEFORE)
    op.drop_index(INDEX, "states")
    with op.batch_alter_table("states") as states:
        states.drop_column("pending")
        states.drop_column("deadline_s")
    with op.batch_alter_table("partitions") as partitions:
        partitions.drop_column("clock_s")


def _reasons(known: str) -> None:
    with op.batch_alter_table("decisions") as decisions:
        decisions.drop_constraint(op.f(f"ck_decisions_{REASON}"), type_="check")
        decisions.create_check_constraint(REASON, known)
