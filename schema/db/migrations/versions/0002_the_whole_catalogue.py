"""the whole catalogue: serials, scores, counts, demand, marks, audit trail, alarms, leadership."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from schema.db.models import Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ORIGINS = "origin IN ('person', 'list', 'demand', 'scope', 'dependency')"

_BUILD_ORIGINS = _ORIGINS.replace(")", ", 'repeat')")

_ONLY = "'the audit trail is only ever added to'"
_KEEP_AUDIT = {
    "sqlite": (
        f"CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit_entries BEGIN SELECT RAISE(ABORT, {_ONLY}); END",
        f"CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_entries BEGIN SELECT RAISE(ABORT, {_ONLY}); END",
    ),
    "postgresql": (
        f"CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION {_ONLY}; END$$",
        """CREATE TRIGGER audit_entries_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
           FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
    ),
}


def upgrade() -> None:
    _add_columns()
    _add_indexes()
    _add_tables()
    for statement in _KEEP_AUDIT[op.get_bind().dialect.name]:
        op.execute(sa.text(statement))
    # What pauses waits from now on; a pause that is over already is ended by the first turn of the loop.
    op.execute("UPDATE builds SET state = 'waiting' WHERE state = 'queued' AND not_before IS NOT NULL")
    op.execute(
        "INSERT INTO build_counts (platform, state, builds)"
        " SELECT platform, state, count(*) FROM builds GROUP BY platform, state"
    )


def _add_columns() -> None:
    with op.batch_alter_table("projects") as table:
        table.add_column(sa.Column("serial", sa.BigInteger(), nullable=False, server_default="0"))
        table.add_column(sa.Column("event_serial", sa.BigInteger(), nullable=False, server_default="0"))
        table.add_column(sa.Column("undecided", sa.Boolean(), nullable=False, server_default=sa.true()))
        table.add_column(sa.Column("downloads", sa.BigInteger(), nullable=False, server_default="0"))
        table.add_column(sa.Column("dependents", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("projects") as table:  # those that were there before are all decided once more
        table.alter_column("undecided", server_default=sa.false())
    with op.batch_alter_table("upstream_files") as table:
        table.add_column(sa.Column("gone_told", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("requests") as table:
        table.add_column(sa.Column("every_release", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.drop_constraint(op.f("ck_requests_origin_known"), type_="check")
        table.create_check_constraint(op.f("ck_requests_origin_known"), _ORIGINS)
    with op.batch_alter_table("nodes") as table:
        table.add_column(sa.Column("cores", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("memory_bytes", sa.BigInteger(), nullable=False, server_default="0"))
        table.add_column(sa.Column("disk_free_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    with op.batch_alter_table("attempts") as table:
        table.alter_column("failure_class", existing_type=sa.String(length=16), type_=sa.String(length=32))
        table.add_column(sa.Column("rules", sa.JSON(), nullable=False, server_default="[]"))
        table.add_column(sa.Column("line", sa.Integer(), nullable=True))
        table.add_column(sa.Column("tries", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("wheels", sa.Column("runtime_packages", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("wheels", sa.Column("portability", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("builds", sa.Column("origin", sa.String(length=16), nullable=False, server_default="scope"))
    op.execute(
        "UPDATE builds SET origin = CASE priority WHEN 0 THEN 'person' WHEN 10 THEN 'list' ELSE 'dependency' END"
    )
    with op.batch_alter_table("builds") as table:
        table.drop_index("ix_builds_next")
        table.drop_index("ix_builds_state")
        table.drop_index("ix_builds_leased_to")
        table.drop_column("priority")
        table.add_column(sa.Column("score", sa.Double(), nullable=False, server_default="0"))
        table.add_column(sa.Column("boost", sa.Double(), nullable=False, server_default="0"))
        table.add_column(sa.Column("size", sa.SmallInteger(), nullable=False, server_default="1"))
        table.add_column(sa.Column("expected_s", sa.Double(), nullable=True))
        table.add_column(sa.Column("waits_for", sa.Integer(), nullable=True))
        table.add_column(sa.Column("needs", sa.JSON(), nullable=False, server_default="[]"))
        table.create_check_constraint(op.f("ck_builds_size_known"), "size BETWEEN 0 AND 4")
        table.create_check_constraint(op.f("ck_builds_origin_known"), _BUILD_ORIGINS)
        table.create_foreign_key(op.f("fk_builds_waits_for_projects"), "projects", ["waits_for"], ["id"])


def _add_indexes() -> None:
    _index("ix_projects_undecided", "projects", ["id"], when="undecided AND checked_at IS NOT NULL")
    _index("ix_projects_downloads", "projects", ["downloads"], when="downloads > 0")
    _index("ix_builds_next", "builds", ["platform", "size", "score", "id"], when="state = 'queued'")
    _index("ix_builds_ripe", "builds", ["not_before"], when="state = 'waiting' AND not_before IS NOT NULL")
    _index("ix_builds_waits_for", "builds", ["waits_for"], when="waits_for IS NOT NULL")
    unfollowed = "followed_at IS NULL AND state IN ('published', 'unneeded')"
    _index("ix_builds_unfollowed", "builds", ["not_before"], when=unfollowed)
    _index("ix_builds_lease_until", "builds", ["lease_until"], when="leased_to IS NOT NULL")
    _index("ix_builds_leased_to", "builds", ["leased_to"], when="leased_to IS NOT NULL")
    op.create_index("ix_builds_state", "builds", ["state", "id"])
    for column in ("sha256", "metadata_sha256", "provenance_sha256"):
        op.create_index(f"ix_wheels_{column}", "wheels", [column])
    _index("ix_requests_listed", "requests", ["because"], when="origin = 'list'")
    _index("ix_requests_demanded", "requests", ["id"], when="origin = 'demand'")


def _index(name: str, table: str, columns: Sequence[str], *, when: str) -> None:
    op.create_index(name, table, list(columns), sqlite_where=sa.text(when), postgresql_where=sa.text(when))


def _add_tables() -> None:
    op.create_table(
        "build_materials",
        sa.Column("build_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["build_id"], ["builds.id"], name=op.f("fk_build_materials_build_id_builds")),
        sa.PrimaryKeyConstraint("build_id", "name", name=op.f("pk_build_materials")),
    )
    op.create_index("ix_build_materials_name_build_id", "build_materials", ["name", "build_id"])
    op.create_table(
        "anatomies",
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("format", sa.SmallInteger(), nullable=False),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["filename"], ["wheels.filename"], name=op.f("fk_anatomies_filename_wheels")),
        sa.PrimaryKeyConstraint("filename", name=op.f("pk_anatomies")),
    )
    op.create_table(
        "repeats",
        sa.Column("build_id", sa.Integer(), nullable=False),
        sa.Column("again_id", sa.Integer(), nullable=False),
        sa.Column("not_on", sa.String(length=255), nullable=True),
        sa.Column("not_on_until", Instant(), nullable=True),
        sa.Column("verdict", sa.String(length=16), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=True),
        sa.Column("told_at", Instant(), nullable=True),
        sa.CheckConstraint(
            "verdict IN ('identical', 'equivalent', 'differs', 'not-repeated')", name=op.f("ck_repeats_verdict_known")
        ),
        sa.ForeignKeyConstraint(["build_id"], ["builds.id"], name=op.f("fk_repeats_build_id_builds")),
        sa.ForeignKeyConstraint(["again_id"], ["builds.id"], name=op.f("fk_repeats_again_id_builds")),
        sa.PrimaryKeyConstraint("build_id", name=op.f("pk_repeats")),
        sa.UniqueConstraint("again_id", name=op.f("uq_repeats_again_id")),
    )
    op.create_index("ix_repeats_verdict", "repeats", ["verdict"])
    op.create_table(
        "rule_counts",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("successes", sa.Integer(), nullable=False),
        sa.Column("used_at", Instant(), nullable=True),
        sa.CheckConstraint("successes BETWEEN 0 AND uses", name=op.f("ck_rule_counts_successes_are_uses")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_counts")),
    )
    op.create_table(
        "what_worked",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("platform", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("remedies", sa.JSON(), nullable=False),
        sa.Column("built_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_what_worked_project_id_projects")),
        sa.PrimaryKeyConstraint("project_id", "platform", name=op.f("pk_what_worked")),
    )
    op.create_table(
        "build_counts",
        sa.Column("platform", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("builds", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "state", name=op.f("pk_build_counts")),
    )
    op.create_table(
        "demands",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("view", sa.String(length=255), nullable=False),
        sa.Column("asks", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name", "view", name=op.f("pk_demands")),
    )
    op.create_table(
        "marks",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("started_at", Instant(), nullable=True),
        sa.Column("finished_at", Instant(), nullable=True),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_marks")),
    )
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("who", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_subject", "audit_entries", ["subject"])
    op.create_table(
        "alarms",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("raised_at", Instant(), nullable=False),
        sa.Column("told_at", Instant(), nullable=True),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarms")),
    )
    _index("ix_alarms_open", "alarms", ["name"], when="ended_at IS NULL")
    op.create_table(
        "leadership",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(length=255), nullable=False),
        sa.Column("process", sa.String(length=255), server_default="", nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("since", Instant(), nullable=True),
        sa.Column("until", Instant(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_leadership_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leadership")),
        sa.UniqueConstraint("epoch", name=op.f("uq_leadership_epoch")),
    )
