from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from schema.db.session import engine, transaction
from schema.sections import FarmSection, RedisSection
from schema.settings import Settings
from tests import rows
from tests.redis_farm import A, B, Farm
from tests.redis_server import Server


@pytest.fixture
def farm(tls_redis: Server, tmp_path: Path, migrated_sqlite: Path) -> Iterator[Farm]:
    shutil.copyfile(migrated_sqlite, tmp_path / "farm.sqlite")
    (tmp_path / "admin-url").write_text(tls_redis.url("admin", tls_redis.password) + "\n")
    section = RedisSection(
        url=f"rediss://localhost:{tls_redis.port}/0",
        ca=tls_redis.authority.file,
        admin_url_file=tmp_path / "admin-url",
    )
    settings = Settings(farm=FarmSection(home=tmp_path), redis=section)
    database = engine(settings.database_url)
    with transaction(database) as session:
        rows.node(session, A)
        rows.node(session, B)
    yield Farm(redis=tls_redis, settings=settings, database=database)
    database.dispose()
