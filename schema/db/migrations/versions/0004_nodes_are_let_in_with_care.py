"""nodes are let in with care: how each is, whether it may build, and what it builds on probation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from schema.db.models import Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


_STATES = "state IN ('probation', 'active', 'draining', 'quarantined', 'retired', 'revoked')"
_VERDICTS = "verdict IN ('identical', 'equivalent', 'differs', 'not-repeated')"


def upgrade() -> None:
    with op.batch_alter_table("nodes") as table:
        table.add_column(sa.Column("health", sa.JSON(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("unfit", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("self_test", sa.JSON(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("protocol", sa.Integer(), nullable=False, server_default="1"))
        table.add_column(sa.Column("probation_since", Instant(), nullable=True))
        table.drop_constraint(op.f("ck_nodes_state_known"), type_="check")
        table.create_check_constraint(op.f("ck_nodes_state_known"), _STATES)
    op.create_table(
        "canaries",
        sa.Column("again_id", sa.Integer(), nullable=False),
        sa.Column("build_id", sa.Integer(), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("sent_at", Instant(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("told_at", Instant(), nullable=True),
        sa.CheckConstraint(_VERDICTS, name=op.f("ck_canaries_verdict_known")),
        sa.ForeignKeyConstraint(["again_id"], ["builds.id"], name=op.f("fk_canaries_again_id_builds")),
        sa.ForeignKeyConstraint(["build_id"], ["builds.id"], name=op.f("fk_canaries_build_id_builds")),
        sa.PrimaryKeyConstraint("again_id", name=op.f("pk_canaries")),
    )
    op.create_index("ix_canaries_node_sent_at", "canaries", ["node", "sent_at"])
    op.create_index("ix_canaries_build_id", "canaries", ["build_id"])
    unsettled = sa.text("verdict IS NULL")
    op.create_index("ix_canaries_open", "canaries", ["node"], sqlite_where=unsettled, postgresql_where=unsettled)
