"""``wheelfarm anatomy``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from master import anatomies
from master.store import Store
from schema.db.models import Wheel, WheelAnatomy
from schema.db.session import engine, now, transaction
from schema.names import Sha256
from schema.settings import Settings
from schema.wheels.anatomy import FORMAT
from schema.wheels.examine import examine
from tests import published
from tests.schema.wheels.forge import LINUX, members, shared_object, write

Call = Callable[..., Any]


@pytest.fixture
def database(settings: Settings) -> Iterator[Engine]:
    made = engine(settings.database_url)
    yield made
    made.dispose()


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """One with an extension module that keeps to a policy, and a library that is nowhere."""
    tag = f"cp311-cp311-{LINUX}"
    files = {
        "demo/_c.abi3.so": shared_object(tmp_path / "a", flags=["-Wl,-z,relro", "-Wl,-z,now"]),
        "demo/tool.so": shared_object(tmp_path / "b", flags=["-Wl,--no-as-needed", "-l:libffi.so.8"]),
        "demo/broken.so": b"\x7fELF",
    }
    return write(tmp_path, {**members(tag, purelib=False), **files}, filename=f"demo-1.0-{tag}.whl")


def publish(database: Engine, settings: Settings, wheel: Path) -> str:
    with transaction(database) as session:
        return published.publish(session, Store(settings.store), wheel).sha256


def test_a_wheel_on_this_machine_is_told_without_a_farm(wheelfarm: Call, wheel: Path) -> None:
    told = wheelfarm("anatomy", wheel)

    assert told.code == 0, told.err
    for part in (wheel.name, "libffi.so.8 (outside)", "extension module", "full", "malformed", "beyond the end", ".py"):
        assert part in told.out, part
    assert wheelfarm("anatomy", wheel, "--json").json == json.loads(json.dumps(examine(wheel).to_json()))


def test_a_published_wheel_is_told_from_what_is_kept_else_from_the_store(
    wheelfarm: Call, database: Engine, settings: Settings, wheel: Path
) -> None:
    publish(database, settings, wheel)

    fresh = wheelfarm("anatomy", wheel.name, "--json").json

    assert fresh == json.loads(json.dumps(examine(wheel).to_json()))
    with transaction(database) as session:
        assert session.get(WheelAnatomy, wheel.name) is None
        session.add(WheelAnatomy(filename=wheel.name, format=FORMAT, found={**fresh, "members": 4711}))
    assert wheelfarm("anatomy", wheel.name, "--json").json["members"] == 4711


def test_every_wheel_without_an_anatomy_of_this_format_gets_one(
    wheelfarm: Call, database: Engine, settings: Settings, wheel: Path, tmp_path: Path
) -> None:
    others = [published.wheel_file(tmp_path, name, "1.0") for name in ("older", "known", "gone")]
    for path in (wheel, *others):
        publish(database, settings, path)
    with transaction(database) as session:
        rows = {row.filename: row for row in session.query(Wheel)}
        session.add(WheelAnatomy(filename=others[0].name, format=FORMAT - 1, found={}))
        session.add(WheelAnatomy(filename=others[1].name, format=FORMAT, found={"kept": True}))
        rows[others[2].name].removed_at = now(session)

    done = wheelfarm("anatomy", "--missing", "--json")

    assert done.code == 0, done.err
    assert done.json == {"wheels": 2, "failed": {}}
    with transaction(database) as session:
        kept = {row.filename: row.found for row in session.query(WheelAnatomy)}
    assert kept[wheel.name]["filename"] == wheel.name
    assert kept[others[0].name]["format"] == FORMAT
    assert kept[others[1].name] == {"kept": True}
    assert others[2].name not in kept
    assert wheelfarm("anatomy", "--missing", "--json").json["wheels"] == 0


def test_wheels_are_looked_for_a_page_at_a_time(database: Engine, settings: Settings, tmp_path: Path) -> None:
    for number in range(5):
        publish(database, settings, published.wheel_file(tmp_path, f"demo{number}", "1.0"))

    done = anatomies.examine_missing(database, Store(settings.store), tell=str, page=2)

    assert (done.wheels, done.failed) == (5, {})


def test_a_lost_and_a_damaged_file_are_named_and_the_rest_is_examined(
    wheelfarm: Call, database: Engine, settings: Settings, tmp_path: Path
) -> None:
    paths = [published.wheel_file(tmp_path, name, "1.0") for name in ("damaged", "lost", "sound")]
    store = Store(settings.store)
    damaged, lost, _ = (store.path(Sha256(publish(database, settings, path))) for path in paths)
    damaged.chmod(0o644)
    damaged.write_bytes(b"no archive")
    lost.unlink()

    done = wheelfarm("anatomy", "--missing")

    assert done.code == 1
    assert "1 wheels examined, 2 cannot be" in done.out
    assert f"{paths[0].name}: A-05" in done.err
    assert f"{paths[1].name}: cannot be read from the store" in done.err
    asked = wheelfarm("anatomy", paths[1].name)
    assert asked.code == 2
    assert "wheelfarm scrub" in asked.err


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name one wheel, or give --missing"),
        (("demo-1.0-py3-none-any.whl", "--missing"), "name one wheel, or give --missing"),
        (("demo-1.0-py3-none-any.whl",), "neither a file nor a published wheel"),
        (("\x1b[31m",), "neither a file nor a published wheel"),
    ],
)
def test_what_cannot_be_told_is_said(arguments: tuple[str, ...], said: str, wheelfarm: Call) -> None:
    called = wheelfarm("anatomy", *arguments)

    assert called.code == 2
    assert said in called.err
    assert "\x1b" not in called.err


def test_a_file_that_is_no_wheel_is_refused_with_the_rule(wheelfarm: Call, tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(b"no archive")

    called = wheelfarm("anatomy", path)

    assert called.code == 1
    assert "A-05" in called.err
