"""``wheelfarm migrate``, ``ssh-key`` and ``metrics``: what setting up and watching a master's machine needs."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.orm import Session

from master.cli import hosting
from schema.db.models import Leadership
from schema.db.session import engine, transaction
from schema.errors import UsageError
from schema.settings import load
from tests import entries, rows
from tests.entries import HERE, ago, later
from tests.master.cli.conftest import Call


def test_migrate_founds_the_database_and_then_finds_nothing_to_do(wheelfarm: Call) -> None:
    before = wheelfarm("status")

    first, second = wheelfarm("migrate", "--json"), wheelfarm("migrate", "--json")

    assert before.code == 3
    assert (first.json, second.json) == ({"changed": True}, {"changed": False})
    assert wheelfarm("status").code == 0


def test_migrate_says_where_no_database_answers(wheelfarm: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEELFARM_DATABASE_URL", "postgresql://farm:secret@127.0.0.1:1/farm")

    called = wheelfarm("migrate")

    assert called.code == 3
    assert "the database does not answer" in called.err
    assert "secret" not in called.err


def test_the_ssh_key_is_made_once_and_only_its_public_half_is_told(wheelfarm: Call, settings_file: Path) -> None:
    first, second = wheelfarm("ssh-key").out, wheelfarm("ssh-key").out

    assert first == second
    assert first.startswith("ssh-ed25519 ")
    key = load(settings_file).ssh / "farm.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o400


@pytest.mark.usefixtures("settings")
def test_a_farm_that_never_ran_has_few_figures_and_none_that_is_made_up(wheelfarm: Call) -> None:
    found = _samples(wheelfarm("metrics").out)

    assert found["wheelfarm_wheels", ()] == 0
    assert found["wheelfarm_master_leads", ()] == 0
    assert not [name for name, _ in found if "timestamp" in name or "node" in name or "alarm" in name]


def test_the_figures_are_those_of_status(wheelfarm: Call, settings_file: Path) -> None:
    wheelfarm("migrate")
    heard = ago(minutes=1)
    opened = engine(load(settings_file).database_url)
    with transaction(opened) as session:
        _fill(session)
        rows.node(session).heard_at = heard
    opened.dispose()

    found = _samples(wheelfarm("metrics").out)

    assert found["wheelfarm_builds", (HERE, "queued")] == 1
    assert found["wheelfarm_master_leads", ()] == 1
    assert found["wheelfarm_alarm", ('node-silent:"\\\n',)] == 1
    assert found["wheelfarm_node_busy_slots", ("n1",)] == 0
    assert found["wheelfarm_node_heard_timestamp_seconds", ("n1",)] == pytest.approx(heard.timestamp())


@pytest.mark.usefixtures("settings")
def test_the_file_is_for_everybody_and_replaced_as_a_whole(wheelfarm: Call, tmp_path: Path) -> None:
    file = tmp_path / "wheelfarm.prom"
    file.write_text("old")

    called = wheelfarm("metrics", "--file", file)

    assert (called.code, called.out) == (0, "")
    assert file.read_text() == wheelfarm("metrics").out
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.glob(".*prom*")] == []


@pytest.mark.usefixtures("settings")
def test_a_file_that_cannot_be_written_is_told_and_nothing_is_left_beside_it(wheelfarm: Call, tmp_path: Path) -> None:
    (tmp_path / "taken.prom").mkdir()

    (tmp_path / "taken.prom" / "something").touch()

    missing = wheelfarm("metrics", "--file", tmp_path / "no-folder" / "wheelfarm.prom")
    taken = _refused(tmp_path / "taken.prom")

    assert missing.code == 2
    assert "is its folder there" in missing.err
    assert "cannot be written" in taken
    assert [path.name for path in tmp_path.glob(".taken*")] == []


def _refused(file: Path) -> str:
    """What is said of a file that the command line's own check would not let through."""
    with pytest.raises(UsageError) as refused:
        hosting.write(file, b"")
    return str(refused.value)


def _fill(session: Session) -> None:
    session.add(Leadership(id=1, holder="farm-a:4711", epoch=1, until=later(minutes=1)))
    entries.alarm(session, name='node-silent:"\\\n')
    entries.build(session, entries.project(session))


def _samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Each sample's name and the values of its labels → its value, as Prometheus's own library reads them."""
    families = text_string_to_metric_families(text)
    return {(item.name, tuple(item.labels.values())): item.value for family in families for item in family.samples}
