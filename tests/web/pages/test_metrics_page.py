"""``/metrics``: what it tells, and to whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, select

from schema.db.models import User
from schema.db.people import tokens, users
from schema.db.session import transaction
from schema.people import MetricsReaders, Role, Scope
from schema.sections import WebSection
from schema.settings import Settings
from tests.web.people_kit import GOOD
from web.app import create_app

Readers = Callable[[MetricsReaders], FlaskClient]


@pytest.fixture
def let_in(settings: Settings) -> Iterator[Readers]:
    """The front-end where *readers* may read the figures."""
    made: list[Flask] = []

    def start(readers: MetricsReaders) -> FlaskClient:
        made.append(create_app(dataclasses.replace(settings, web=WebSection(metrics=readers))))
        return made[-1].test_client()

    yield start
    for app in made:
        app.extensions["database"].close()


@pytest.fixture
def token(database: Engine) -> Callable[[Scope], str]:
    """A token of an operator."""
    with transaction(database) as session:
        users.add(session, "ada", Role.OPERATOR, password=GOOD, who="ada@host")

    def new(scope: Scope) -> str:
        with transaction(database) as session:
            ada = session.scalars(select(User)).one()
            return tokens.add(session, ada, "prometheus", [scope], days=1, who="ada")[1]

    return new


@pytest.mark.usefixtures("farm")
def test_it_tells_what_the_command_tells_and_how_fast_the_index_answers(let_in: Readers) -> None:
    client = let_in(MetricsReaders.PUBLIC)
    client.application.extensions["latency"].observe("page", 0.001)

    answer = client.get("/metrics")

    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert names >= {"wheelfarm_builds", "wheelfarm_node_load1", "wheelfarm_index_duration_seconds"}


def test_by_default_it_needs_a_token_that_may_read(client: FlaskClient, token: Callable[[Scope], str]) -> None:
    nobody = client.get("/metrics")
    wrong = client.get("/metrics", headers={"Authorization": "Bearer wf_nonsense"})
    reads = client.get("/metrics", headers={"Authorization": f"Bearer {token(Scope.READ)}"})
    other = client.get("/metrics", headers={"Authorization": f"Bearer {token(Scope.NODES)}"})

    assert (nobody.status_code, wrong.status_code) == (401, 401)
    assert nobody.headers["WWW-Authenticate"] == 'Bearer realm="wheelfarm"'
    assert (reads.status_code, other.status_code) == (200, 403)


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {"Host": "[::1]:8181"}, 200),
        ("192.0.2.7", {}, 401),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 401),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, 401),
        ("127.0.0.1", {"Host": "wheels.example"}, 401),
    ],
)
def test_on_its_own_machine_it_may_be_open_to_who_asks_directly(
    let_in: Readers, peer: str, headers: dict[str, str], status: int
) -> None:
    client = let_in(MetricsReaders.LOCAL)

    answer = client.get("/metrics", headers=headers, environ_overrides={"REMOTE_ADDR": peer})

    assert answer.status_code == status


def test_while_the_database_is_away_prometheus_sees_a_target_that_is_down(unreachable: FlaskClient) -> None:
    answer = unreachable.get("/metrics", headers={"Authorization": "Bearer wf_x"})

    assert answer.status_code == 503
