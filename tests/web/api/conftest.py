"""A filled farm, and programs with tokens at its API."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import Engine

from schema.db.people import tokens, users
from schema.db.session import transaction
from schema.people import Role, Scope
from tests.web.people_kit import GOOD, Program

Programs = Callable[..., Program]


@pytest.fixture
def program(app: Flask, database: Engine) -> Programs:
    """A program of a person of that role, whose token is good for the scopes."""

    def make(role: Role, *scopes: Scope) -> Program:
        with transaction(database) as session:
            found = {item.name: item for item in users.everyone(session)}
            user = found.get(role) or users.add(session, role.value, role, password=GOOD, who="ada@host")
            _, text = tokens.add(session, user, "ci", scopes, days=1, who="ada@host")
        return Program(app, text)

    return make


@pytest.fixture
def anybody(app: Flask) -> Program:
    return Program(app, "")
