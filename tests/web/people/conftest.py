"""A farm's front-end in this process, and people who log in at it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import Engine

from schema.db.people import users
from schema.db.session import transaction
from schema.people import Role
from tests.web.people_kit import GOOD, Visitor


@pytest.fixture
def people(database: Engine) -> None:
    """One of each role, named as the role is."""
    with transaction(database) as session:
        for role in Role:
            users.add(session, role.value, role, password=GOOD, who="ada@host")


@pytest.fixture
def visitor(app: Flask, people: None) -> Callable[[], Visitor]:  # noqa: ARG001
    """A browser that nobody has logged in with yet."""
    return lambda: Visitor(app.test_client())
