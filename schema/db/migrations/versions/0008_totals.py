"""totals that only a walk through every row would tell, for Prometheus."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_WHEELS = """INSERT INTO totals (name, platform, what, value)
    SELECT {name}, '', '', {value} FROM wheels WHERE removed_at IS NULL"""


def upgrade() -> None:
    op.create_table(
        "totals",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("platform", sa.String(length=255), nullable=False),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "platform", "what", name=op.f("pk_totals")),
    )
    op.execute(_WHEELS.format(name="'wheels'", value="count(*)"))
    op.execute(_WHEELS.format(name="'wheel-bytes'", value="coalesce(sum(size_bytes), 0)"))
    failing = sa.text("errors > 0")
    op.create_index("ix_projects_failing", "projects", ["id"], sqlite_where=failing, postgresql_where=failing)
