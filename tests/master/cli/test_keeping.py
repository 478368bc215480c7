"""``wheelfarm scrub``, ``gc``, ``backup``, ``restore``, ``alarms``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from master.keep import alarms
from master.store import Store
from schema.attest.authority import Authority
from schema.db.models import BuildCount, Wheel
from schema.db.session import engine, transaction
from schema.names import Sha256
from schema.settings import Settings
from tests import published, rows

Call = Callable[..., Any]


@pytest.fixture
def wheel(settings: Settings, tmp_path: Path) -> Wheel:
    """The one that the farm has published."""
    database = engine(settings.database_url)
    Authority.create(settings.authority)
    with transaction(database) as session:
        found = published.publish(session, Store(settings.store), published.wheel_file(tmp_path, "demo", "1.0"))
    database.dispose()
    return found


def _old_orphan(settings: Settings) -> Path:
    store = Store(settings.store)
    path = store.path(store.put_bytes(b"nobody needs it"))
    then = time.time() - 2 * 86400
    os.utime(path, (then, then))
    return path


def test_a_sound_store_is_said_so(wheelfarm: Call, wheel: Wheel) -> None:
    called = wheelfarm("scrub")

    assert (called.code, called.out) == (0, "3 files read (0.0 MiB), 0 damaged or missing\n")
    assert wheel.filename not in called.err


def test_damage_is_told_and_is_the_exit_code(wheelfarm: Call, settings: Settings, wheel: Wheel) -> None:
    Store(settings.store).path(Sha256(wheel.sha256)).unlink()

    called = wheelfarm("scrub", "--json")

    assert called.code == 1
    assert called.json["damaged"] == [{"digest": wheel.sha256, "what": "is missing", "wheels": [wheel.filename]}]
    assert f"{wheel.sha256} is missing: {wheel.filename}" in called.err


def test_gc_only_shows_what_it_would_remove_until_it_is_told_yes(
    wheelfarm: Call, settings: Settings, wheel: Wheel
) -> None:
    orphan = _old_orphan(settings)

    for option in ((), ("--dry-run",)):
        shown = wheelfarm("gc", *option)
        assert shown.out == "would remove 1 file (0.0 MiB); wheelfarm gc --yes does it\n"
        assert orphan.exists()
    done = wheelfarm("gc", "--yes", "--json")

    assert (done.json["removed"], [item["path"] for item in done.json["items"]]) == (True, [str(orphan)])
    assert not orphan.exists()
    assert wheelfarm("gc").out == "there is nothing to remove\n"
    assert Sha256(wheel.sha256) in Store(settings.store)


def test_gc_cannot_be_told_both(wheelfarm: Call, settings: Settings) -> None:
    assert settings.farm.home.exists()
    assert wheelfarm("gc", "--yes", "--dry-run").code == 2


def test_backup_check_and_restore(wheelfarm: Call, settings: Settings, wheel: Wheel, tmp_path: Path) -> None:
    made = wheelfarm("backup", tmp_path / "backups")
    assert made.out.endswith(": complete; 3 stored files, 3 of them new\n")
    assert wheelfarm("backup", tmp_path / "backups", "--check").out.endswith(": sound\n")
    refused = wheelfarm("restore", tmp_path / "backups")
    assert (refused.code, "there is a farm already" in refused.err) == (2, True)

    restored = wheelfarm("restore", tmp_path / "backups", "--force", "--json")

    assert (restored.code, restored.json["files"], restored.json["given_back"]) == (0, 3, 0)
    assert (settings.site / "files" / wheel.filename).is_file()
    (copy,) = (tmp_path / "backups").glob("[0-9]*")
    assert "farm.toml" in {path.name for path in copy.iterdir()}


def test_a_damaged_backup_is_the_exit_code_of_the_check(
    wheelfarm: Call, settings: Settings, wheel: Wheel, tmp_path: Path
) -> None:
    wheelfarm("backup", tmp_path / "backups")
    Store(tmp_path / "backups" / "store").path(Sha256(wheel.sha256)).unlink()

    called = wheelfarm("backup", tmp_path / "backups", "--check")

    assert (called.code, "is missing" in called.out) == (1, True)
    assert Sha256(wheel.sha256) in Store(settings.store)


def test_alarms_are_listed_and_can_be_an_exit_code(wheelfarm: Call, settings: Settings) -> None:
    assert (wheelfarm("alarms", "--check").code, wheelfarm("alarms").out) == (0, "no alarm\n")
    database = engine(settings.database_url)
    with transaction(database) as session:
        alarms.settle(session, {"disk-low": "only 1.0 GiB are free", "old": "was"})
        alarms.settle(session, {"disk-low": "only 1.0 GiB are free"})
    database.dispose()

    listed = wheelfarm("alarms")

    assert [line.split()[:2] for line in listed.out.splitlines()[1:]] == [["disk-low", "open"], ["old", "ended"]]
    assert (listed.code, wheelfarm("alarms", "--check").code) == (0, 1)
    assert [row["name"] for row in wheelfarm("alarms", "--json").json] == ["disk-low", "old"]


def test_counts_that_were_changed_by_hand_are_corrected(wheelfarm: Call, settings: Settings) -> None:
    database = engine(settings.database_url)
    with transaction(database) as session:
        rows.build(session)
    with transaction(database) as session:
        session.execute(update(BuildCount).values(builds=7))
    database.dispose()

    called = wheelfarm("recount")

    assert (called.code, called.out) == (1, f"{rows.PLATFORM} queued: -6\n")
    assert (wheelfarm("recount").code, wheelfarm("recount").out) == (0, "every count is right\n")
    assert wheelfarm("status", "--json").json["builds"] == {"queued": 1}
