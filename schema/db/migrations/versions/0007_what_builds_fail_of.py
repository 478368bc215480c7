"""what builds fail of, in clusters, what mended it before, and how many attempts end how in each hour."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from schema.db.models import Instant

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "failure_clusters",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("failure_class", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("builds", sa.Integer(), nullable=False),
        sa.Column("projects", sa.Integer(), nullable=False),
        sa.Column("downloads", sa.BigInteger(), nullable=False),
        sa.Column("platforms", sa.JSON(), nullable=False),
        sa.CheckConstraint("builds >= 0 AND projects >= 0", name=op.f("ck_failure_clusters_counts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failure_clusters")),
        sa.UniqueConstraint(
            "failure_class", "kind", "subject", name=op.f("uq_failure_clusters_failure_class_kind_subject")
        ),
    )
    op.create_index("ix_failure_clusters_rank", "failure_clusters", ["downloads", "builds", "id"])
    op.create_index(
        "ix_failure_clusters_class_rank", "failure_clusters", ["failure_class", "downloads", "builds", "id"]
    )
    op.create_table(
        "failures",
        sa.Column("build_id", sa.Integer(), nullable=False),
        sa.Column("cluster_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("platform", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["build_id"], ["builds.id"], name=op.f("fk_failures_build_id_builds")),
        sa.ForeignKeyConstraint(
            ["cluster_id"], ["failure_clusters.id"], name=op.f("fk_failures_cluster_id_failure_clusters")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_failures_project_id_projects")),
        sa.PrimaryKeyConstraint("build_id", name=op.f("pk_failures")),
    )
    op.create_index(op.f("ix_failures_cluster_id_project_id"), "failures", ["cluster_id", "project_id"])
    op.create_index("ix_failures_newest", "failures", ["cluster_id", "build_id"])
    op.create_table(
        "unsorted_failures",
        sa.Column("build_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["build_id"], ["builds.id"], name=op.f("fk_unsorted_failures_build_id_builds")),
        sa.PrimaryKeyConstraint("build_id", name=op.f("pk_unsorted_failures")),
    )
    op.execute("INSERT INTO unsorted_failures (build_id, revision) SELECT id, 1 FROM builds WHERE state = 'failed'")
    op.create_table(
        "cures",
        sa.Column("failure_class", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("actions", sa.JSON(), nullable=False),
        sa.Column("builds", sa.Integer(), nullable=False),
        sa.Column("cured_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("failure_class", "kind", "subject", name=op.f("pk_cures")),
    )
    here = sa.text("removed_at IS NULL")
    op.create_index(
        "ix_wheels_newest", "wheels", ["published_at", "filename"], sqlite_where=here, postgresql_where=here
    )
    op.create_table(
        "hour_counts",
        sa.Column("hour", Instant(), nullable=False),
        sa.Column("platform", sa.String(length=255), nullable=False),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("builds", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "platform", "what", name=op.f("pk_hour_counts")),
    )
