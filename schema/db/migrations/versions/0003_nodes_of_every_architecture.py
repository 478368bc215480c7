"""nodes of every architecture: emulation, nodes that left the farm, accepted SSH host keys, Redis users of nodes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from schema.db.models import Instant

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
    op.create_table(
        "host_keys",
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("pinned_at", Instant(), nullable=False),
        sa.CheckConstraint("port BETWEEN 1 AND 65535", name=op.f("ck_host_keys_port_range")),
        sa.PrimaryKeyConstraint("node", name=op.f("pk_host_keys")),
    )
