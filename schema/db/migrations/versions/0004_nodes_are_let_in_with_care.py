"""nodes are let in with care: how each is, and whether it may build."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("nodes") as table:
        table.add_column(sa.Column("health", sa.JSON(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("unfit", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("protocol", sa.Integer(), nullable=False, server_default="1"))
