"""downloads are counted: per file, day and kind of installer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "downloads",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("client", sa.String(length=32), nullable=False),
        sa.Column("version", sa.String(length=16), nullable=False),
        sa.Column("python", sa.String(length=16), nullable=False),
        sa.Column("distribution", sa.String(length=32), nullable=False),
        sa.Column("arch", sa.String(length=16), nullable=False),
        sa.Column("project", sa.String(length=255), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("count > 0", name=op.f("ck_downloads_is_counted")),
        sa.PrimaryKeyConstraint(
            "day", "filename", "client", "version", "python", "distribution", "arch", name=op.f("pk_downloads")
        ),
    )
    op.create_index("ix_downloads_project_day", "downloads", ["project", "day"])
    unfolded = sa.text("client <> ''")
    op.create_index("ix_downloads_unfolded", "downloads", ["day"], sqlite_where=unfolded, postgresql_where=unfolded)
