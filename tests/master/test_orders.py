from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, text

from master import orders as desk
from master.dispatch import Dispatcher
from schema import orders
from schema.db import orders as table
from schema.db.models import AuditEntry, Build, Node, Order, PinnedRecipe, Request
from schema.db.session import engine, now, transaction
from schema.errors import BusyError
from schema.jobs import Limits
from schema.names import NodeName
from schema.platforms import Platform
from schema.sections import FarmSection
from schema.settings import Settings
from schema.states import BuildState
from tests import rows


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(farm=FarmSection(home=tmp_path, platforms=(Platform.parse(rows.PLATFORM),)))


def ask(database: Engine, action: str, **arguments: Any) -> int:
    with transaction(database) as session:
        return table.ask(session, orders.read(action, arguments), who="ada").id


def turn(database: Engine, settings: Settings) -> int:
    snapshot = engine(database.url.render_as_string(hide_password=False), read_only=True)
    try:
        return desk.turn(database, snapshot=snapshot, settings=settings)
    finally:
        snapshot.dispose()


def order(database: Engine, number: int) -> Order:
    with transaction(database) as session:
        return session.get_one(Order, number)


def test_an_order_is_done_once_and_leaves_the_persons_name_in_the_trail(database: Engine, settings: Settings) -> None:
    with transaction(database) as session:
        build = rows.build(session)
    number = ask(database, "hold", builds=str(build.id), reason="too hot")

    assert (turn(database, settings), turn(database, settings)) == (1, 0)

    done = order(database, number)
    assert (done.outcome, done.told) == ("done", f"build {build.id} of demo 1.0 is held")
    assert done.result == {"builds": [build.id]}
    with transaction(database) as session:
        assert session.get_one(Build, build.id).reason == "held by ada: too hot"
        [entry] = session.scalars(select(AuditEntry)).all()
        assert (entry.who, entry.action, entry.subject) == ("ada", "hold", f"build {build.id}")


def test_what_cannot_be_done_is_refused_with_the_reason_and_nothing_of_it_stays(
    database: Engine, settings: Settings
) -> None:
    with transaction(database) as session:
        build = rows.build(session, state=BuildState.PUBLISHED)
    numbers = [ask(database, "hold", builds=str(build.id)), ask(database, "node-drain", node="pi9")]

    turn(database, settings)

    held, drained = (order(database, number) for number in numbers)
    assert (held.outcome, held.told) == ("refused", f"there is nothing to hold: build {build.id} is published")
    assert (drained.outcome, drained.told) == ("refused", "there is no node pi9 (wheelfarm node list names them)")
    with transaction(database) as session:
        assert session.scalars(select(AuditEntry)).all() == []


def test_a_row_that_no_front_end_would_write_is_refused_when_it_is_done(database: Engine, settings: Settings) -> None:
    with transaction(database) as session:
        moment = now(session)
        for action, arguments in (("format-disk", {}), ("hold", {"builds": "../x"}), ("hold", [1])):
            session.add(Order(who="mallory", action=action, arguments=arguments, asked_at=moment))

    turn(database, settings)

    with transaction(database) as session:
        found = session.scalars(select(Order).order_by(Order.id)).all()
        assert [item.outcome for item in found] == ["refused"] * 3
        assert "there is no order 'format-disk'" in found[0].told


def test_a_fault_of_the_farm_keeps_no_other_order_from_being_done(
    database: Engine, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        session.execute(text(_NO_ROW[database.dialect.name]))
    broken = ask(database, "try-recipe", build=rows_failed(database), recipe={"jobs": 1})
    sound = ask(database, "hold", builds=str(build.id))

    turn(database, settings)

    told = order(database, broken)
    assert (told.outcome, "a fault of the farm (IntegrityError)" in told.told) == ("failed", True)
    assert order(database, sound).outcome == "done"
    assert "Traceback" in caplog.text


_NO_ROW = {
    "sqlite": "CREATE TRIGGER never BEFORE INSERT ON pinned_recipes BEGIN SELECT RAISE(ABORT, 'never'); END",
    "postgresql": "ALTER TABLE pinned_recipes ADD CHECK (false)",
}


def rows_failed(database: Engine) -> int:
    with transaction(database) as session:
        return rows.build(session, rows.project(session, "cffi"), state=BuildState.FAILED).id


_KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from master import orders
from schema.db.session import engine
from schema.settings import load

database, marked = engine(sys.argv[1]), []

@event.listens_for(database, "after_cursor_execute")
def look(connection, cursor, statement, *rest):
    marked.extend([statement] if statement.startswith("UPDATE orders") else [])

@event.listens_for(database, "commit")
def die(connection):
    if marked:
        os.kill(os.getpid(), signal.SIGKILL)

orders.turn(database, snapshot=database, settings=load(Path(sys.argv[2])))
"""


def test_a_master_killed_between_doing_and_marking_does_it_once_all_the_same(
    database: Engine, database_url: str, settings: Settings, tmp_path: Path
) -> None:
    with transaction(database) as session:
        build = rows.build(session, state=BuildState.PUBLISHED)
    number = ask(database, "rebuild", builds="demo==1.0")
    file = tmp_path / "farm.toml"
    file.write_text(f'[farm]\nplatforms = ["{rows.PLATFORM}"]\n', encoding="utf-8")

    killed = subprocess.run([sys.executable, "-c", _KILLED, database_url, str(file)], check=False, timeout=60)

    assert killed.returncode == -signal.SIGKILL
    assert order(database, number).outcome is None
    turn(database, settings)
    turn(database, settings)
    with transaction(database) as session:
        assert session.scalars(select(Build.build_number).where(Build.id != build.id)).all() == [1]
        assert [entry.action for entry in session.scalars(select(AuditEntry))] == ["rebuild"]
    assert order(database, number).outcome == "done"


def test_a_request_wants_what_the_command_would_want(database: Engine, settings: Settings) -> None:
    number = ask(database, "request", requirement="Click>=8", platforms=[rows.PLATFORM], always=True)

    turn(database, settings)

    assert order(database, number).told == "requested Click>=8"
    with transaction(database) as session:
        [wanted] = session.scalars(select(Request)).all()
        assert (wanted.project.name, wanted.specifier, wanted.platform) == ("click", ">=8", rows.PLATFORM)
        assert (wanted.policy, wanted.origin) == ("always", "person")


def test_each_order_of_builds_and_nodes_does_what_its_command_does(database: Engine, settings: Settings) -> None:
    with transaction(database) as session:
        running, waiting = rows.build(session), rows.build(session, rows.project(session, "cffi"))
        rows.node(session)
        rows.lease(session, running, node=NodeName("n1"))
    for action, arguments in (
        ("cancel", {"builds": str(running.id)}),
        ("release", {"builds": str(running.id)}),
        ("priority", {"builds": "cffi==1.0", "platform": rows.PLATFORM, "points": 7.0}),
        ("hold", {"builds": "cffi"}),
        ("retry", {"builds": "cffi"}),
        ("node-drain", {"node": "n1"}),
        ("node-quarantine", {"node": "n1", "reason": "strange"}),
    ):
        number = ask(database, action, **arguments)
        turn(database, settings)
        assert order(database, number).outcome == "done", order(database, number).told

    with transaction(database) as session:
        assert session.get_one(Build, running.id).state == BuildState.QUEUED
        assert session.get_one(Build, waiting.id).boost == 7.0
        node = session.get_one(Node, "n1")
        assert (node.state, node.state_reason) == ("quarantined", "strange")
        trail = [entry.action for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]
    assert trail == ["cancel", "release", "priority", "hold", "retry", "drain", "quarantine"]
    back = ask(database, "node-resume", node="n1")
    turn(database, settings)
    assert order(database, back).told == "node n1 is active"


def test_a_recipe_that_is_tried_is_in_the_job_and_stays_for_builds_of_that_release(
    database: Engine, settings: Settings
) -> None:
    failed = rows_failed(database)
    ask(database, "try-recipe", build=failed, recipe={"debian_packages": ["libffi-dev"]})

    turn(database, settings)

    with transaction(database) as session:
        rows.node(session)
        [(_, job)] = Dispatcher(recipe_folders=(), limits=Limits(), lease_s=90, silent_after_s=15).dispatch(session)
        assert job.build_id == failed
        assert job.recipe.debian_packages == ("libffi-dev",)
        assert "cffi/tried" in job.recipe.rules
        [pinned] = session.scalars(select(PinnedRecipe)).all()
        assert (pinned.version, pinned.who) == ("1.0", "ada")
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
        assert entry is not None
        assert entry.after == {"debian_packages": ["libffi-dev"]}


def test_coverage_tells_how_each_requirement_stands_and_reads_no_other_file(
    database: Engine, settings: Settings
) -> None:
    with transaction(database) as session:
        rows.wheel(session, rows.build(session, state=BuildState.PUBLISHED))
    asked = ask(database, "coverage", text="demo\nnumpy\n")
    other = ask(database, "coverage", text="-r /etc/hostname\n")
    broken = ask(database, "coverage", text="lock-version = 9", file="pylock.toml")

    turn(database, settings)

    told = order(database, asked)
    assert told.outcome == "done", told.told
    assert [row["status"] for row in told.result["requirements"]] == ["have", "not-watched"]
    assert told.result["platform"] == rows.PLATFORM
    assert order(database, other).outcome == order(database, broken).outcome == "refused"
    assert "/tmp" not in order(database, other).told  # noqa: S108 - where the file lay is nobody's business


def test_orders_are_not_taken_without_bound(database: Engine) -> None:
    with transaction(database) as session:
        moment = now(session)
        session.add_all(
            Order(who="ada", action="retry", arguments={"builds": "1"}, asked_at=moment) for _ in range(1000)
        )

    with pytest.raises(BusyError, match="1000 orders wait for the master"):
        ask(database, "retry", builds="1")


def test_orders_are_listed_from_the_newest_on(database: Engine) -> None:
    numbers = [ask(database, "retry", builds=str(build)) for build in (1, 2, 3)]

    with transaction(database) as session:
        assert [row.id for row in table.latest(session, limit=2)] == [numbers[2], numbers[1]]
        assert [row.id for row in table.latest(session, limit=2, before=numbers[1])] == [numbers[0]]
