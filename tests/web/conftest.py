"""A farm's front-end in this process, over a filled database; on SQLite and on PostgreSQL."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine

from schema.db.session import transaction
from schema.platforms import Platform
from schema.sections import DatabaseSection, FarmSection
from schema.settings import Settings
from tests.entries import ARM, HERE
from tests.web import seed
from web.app import create_app


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(
        farm=FarmSection(home=tmp_path / "home", platforms=(Platform.parse(HERE), Platform.parse(ARM))),
        database=DatabaseSection(url=database_url),
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    made = create_app(settings)
    yield made
    made.extensions["database"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def farm(database: Engine, settings: Settings) -> dict[str, int]:
    """The numbers of the builds of ``seed.farm``, by state."""
    with transaction(database) as session:
        return {state: build.id for state, build in seed.farm(session, settings).items()}


@pytest.fixture
def unreachable(settings: Settings) -> Iterator[FlaskClient]:
    """The front-end of a farm whose database does not answer."""
    nowhere = DatabaseSection(url="postgresql://farm@/farm?host=/nonexistent")
    made = create_app(dataclasses.replace(settings, database=nowhere))
    yield made.test_client()
    made.extensions["database"].close()
