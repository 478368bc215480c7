"""Which of the farm's own wheels a job carries."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master import farm_wheels
from master.store import Store
from schema.db.models import Build, Wheel
from schema.db.session import now, transaction
from schema.jobs import FarmWheel
from schema.names import Sha256
from schema.states import BuildState
from tests import rows
from tests.upstream import metadata_text


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _wheel(session: Session, store: Store, name: str, version: str = "1.0", *needs: str, **values: str) -> Wheel:
    build = rows.build(session, rows.project(session, name), version=version, state=BuildState.PUBLISHED)
    metadata = store.put_bytes(metadata_text(name, version, requires_dist=needs))
    return rows.wheel(session, build, metadata_sha256=metadata, **values)


def _another(session: Session, of: Wheel, version: str) -> Wheel:
    build = rows.build(session, of.project, version=version, state=BuildState.PUBLISHED)
    return rows.wheel(session, build, metadata_sha256=of.metadata_sha256)


def _for(session: Session, store: Store, *needs: str) -> list[str]:
    build = rows.build(session, rows.project(session, "needy"), needs=list(needs))
    return [item.filename for item in _carried(session, build, store)]


def _carried(session: Session, build: Build, store: Store) -> tuple[FarmWheel, ...]:
    return farm_wheels.wheels_for(session, build, store=store, public_url="https://farm.example")


def test_a_build_that_misses_nothing_gets_nothing(database: Engine, store: Store) -> None:
    with transaction(database) as session:
        _wheel(session, store, "cython")

        assert _for(session, store) == []


def test_a_wheel_comes_with_its_digest_and_where_it_is(database: Engine, store: Store) -> None:
    with transaction(database) as session:
        wheel = _wheel(session, store, "cython")
        build = rows.build(session, needs=["Cython>=1"])

        (carried,) = _carried(session, build, store)

        assert carried == FarmWheel(
            filename="cython-1.0-py3-none-any.whl",
            url="https://farm.example/files/cython-1.0-py3-none-any.whl",
            sha256=Sha256(wheel.sha256),
            size_bytes=1000,
        )


def test_the_newest_that_fits_is_taken(database: Engine, store: Store) -> None:
    with transaction(database) as session:
        first = _wheel(session, store, "cython", "2.0")
        _another(session, first, "2.10")
        _another(session, first, "3.0")

        assert _for(session, store, "cython<3") == ["cython-2.10-py3-none-any.whl"]


def test_what_it_needs_to_run_comes_too(database: Engine, store: Store) -> None:
    with transaction(database) as session:
        _wheel(session, store, "scipy", "1.0", "numpy>=1", "not-here", 'for-windows; sys_platform == "win32"')
        _wheel(session, store, "numpy", "1.0", "scipy")
        _wheel(session, store, "for-windows")

        assert sorted(_for(session, store, "scipy")) == ["numpy-1.0-py3-none-any.whl", "scipy-1.0-py3-none-any.whl"]


def test_what_is_removed_yanked_or_for_others_is_left_out(database: Engine, store: Store) -> None:
    with transaction(database) as session:
        _wheel(session, store, "gone").removed_at = now(session)
        _wheel(session, store, "yanked", yanked="broken")
        _wheel(session, store, "foreign", tags="cp311-cp311-linux_aarch64", view="debian12-aarch64")
        session.flush()

        assert _for(session, store, "gone", "yanked", "foreign") == []


def test_metadata_that_the_store_has_lost_does_not_stop_the_job(database: Engine, store: Store) -> None:
    with transaction(database) as session:
        wheel = _wheel(session, store, "cython")
        store.path(Sha256(wheel.metadata_sha256)).unlink()

        assert _for(session, store, "cython") == ["cython-1.0-py3-none-any.whl"]
