"""nodes of every architecture: what a node emulates; nodes that left the farm; Redis users of nodes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATES = "state IN ('active', 'draining', 'quarantined', 'retired', 'revoked')"


def upgrade() -> None:
    with op.batch_alter_table("nodes") as table:
        table.add_column(sa.Column("emulated", sa.JSON(), nullable=False, server_default="[]"))
        table.add_column(sa.Column("revoked_keys", sa.JSON(), nullable=False, server_default="[]"))
        table.add_column(sa.Column("redis_sha256", sa.String(length=64), nullable=True))
        table.drop_constraint(op.f("ck_nodes_state_known"), type_="check")
        table.create_check_constraint(op.f("ck_nodes_state_known"), _STATES)
