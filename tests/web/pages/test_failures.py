"""What to mend first: causes in the order of what they keep from people, and one cause with its builds."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from markupsafe import Markup
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from master import failures
from schema.db.models import Build, Cure
from schema.db.session import transaction
from schema.db.why.surroundings import Rules
from tests import entries
from tests.entries import ARM, HERE, ago
from tests.web.pages.words import words
from web.failures import cluster_page, ranking

FFI = "a.c:1:1: fatal error: ffi.h: No such file or directory"


def _failed(session: Session, name: str, failure_class: str, evidence: str, **values: Any) -> Build:
    downloads = values.pop("downloads", 0)
    project = entries.project(session, name, downloads=downloads)
    build = entries.build(session, project, state="failed", fence=1, reason=f"{failure_class}: {evidence}", **values)
    entries.attempt(
        session, build, outcome="failed", failure_class=failure_class, evidence=evidence, line=7, finished_at=ago()
    )
    return build


def test_what_keeps_most_downloads_from_a_wheel_stands_first(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        for number in range(3):
            _failed(session, f"slow-{number}", "timeout", "too long", downloads=10)
        newest = _failed(session, "cffi", "header", FFI, downloads=9_000_000, platform=ARM)
        failures.sort(session)

    text = words(client, "/failures/")

    assert "Header ffi.h is missing header That header is missing: add its Debian package" in text
    assert f"9,000,000 1 1 {ARM} 1 #{newest.id} cffi 1.17.1" in text
    assert text.index("Header ffi.h is missing") < text.index("Took too long")
    assert "30 3 3" in text
    assert "Took too long" not in words(client, "/failures/?class=header")


def test_a_cause_tells_what_helps_and_which_builds_failed_of_it(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        first = _failed(session, "cffi", "header", FFI, downloads=5)
        newest = _failed(session, "other", "header", FFI, platform=ARM)
        failures.sort(session)

    text = words(client, "/failures/1/")

    assert "Header ffi.h is missing Downloads blocked 5" in text
    assert "an operator can act" in text
    assert "wheelfarm-node packages --header ffi.h" in text
    assert 'Then a rule in recipes/other.toml, with that package: [[rule]] id = "needs"' in text
    assert 'why = "header ffi.h is missing" debian_packages = ["PACKAGE"]' in text
    assert f"What the log of build #{newest.id} says {FFI} Line 7 of other 1.17.1 on {ARM}" in text
    assert f"#{newest.id} other" in text
    assert f"#{first.id} cffi" in text


@pytest.mark.usefixtures("database")
def test_a_farm_without_failures_says_so(client: FlaskClient) -> None:
    assert "No build is failed just now." in words(client, "/failures/")
    assert "No build has failed in this way." in words(client, "/failures/?class=header")
    assert "No build is failed just now." in words(client, "/failures/?class=%00'&after=99999999999")
    for gone in ("7", "99999999999"):
        assert client.get(f"/failures/{gone}/").status_code == 404


def test_causes_and_builds_go_on_page_by_page(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        project = entries.project(session, "many")
        for number in range(60):
            entries.build(session, project, f"1.{number}", state="failed", reason="timeout: too long")
            entries.build(session, project, f"2.{number}", state="failed", reason=f"source: {'x' * (number + 1)}")
        failures.sort(session)

    def pages(path: str) -> list[int]:
        counts = []
        while path:
            page = client.get(path).text
            counts.append(page.count('data-label="Builds"') or page.count('data-label="Build"'))
            following = re.findall(r'rel="next" href="([^"]*)"', page)
            path = unescape(following[0]) if following else ""
        return counts

    biggest = re.findall(r"/failures/(\d+)/", client.get("/failures/?class=timeout").text)[0]
    assert pages("/failures/") == [50, 11]
    assert pages(f"/failures/{biggest}/") == [50, 10]


def test_the_queries_look_at_no_more_than_a_page_of_clusters_or_failures(database: Engine) -> None:
    with transaction(database) as session:
        _failed(session, "cffi", "header", FFI)
        failures.sort(session)
    asked: list[tuple[str, object]] = []
    event.listen(database, "before_cursor_execute", lambda *args: asked.append((args[2], args[3])))

    with transaction(database) as session:
        ranking(session)
        ranking(session, failure_class="header", after=1)
        cluster_page(session, 1, before=99, rules=Rules())
    if database.dialect.name != "sqlite":
        return
    looks = [(sql, values) for sql, values in asked if re.search(r"FROM failure", sql)]
    with database.connect() as connection:
        plans = [
            row[3]
            for sql, values in looks
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)  # type: ignore[arg-type]
        ]
    assert [
        plan for plan in plans if plan.startswith("SCAN failure") and "USING INDEX ix_failure_clusters" not in plan
    ] == []
    assert [plan for plan in plans if "TEMP B-TREE" in plan] == []


def test_sorted_builds_of_the_seed_farm_stand_on_the_first_page(client: FlaskClient, farm: dict[str, int]) -> None:
    text = words(client, "/")

    assert farm["failed"]
    assert "What is stuck" in text
    assert "fatal error: ffi.h: No such file or directory A recipe may help" in text
    assert "1 build lost again and again; a person must look" in text
    assert HERE in text


def test_what_mended_the_same_in_other_builds_is_suggested(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        _failed(session, "cffi", "header", FFI)
        failures.sort(session)
        known = {"failure_class": "header", "kind": "header", "subject": "ffi.h"}
        session.add(Cure(**known, actions={"debian_packages": ["libffi-dev"]}, builds=12, cured_at=ago(hours=3)))

    text = words(client, "/failures/1/")

    assert "suggested This mended 12 builds that failed of the same, last 3 h ago" in text
    assert 'debian_packages = ["libffi-dev"]' in text
    assert "wheelfarm-node packages" not in text
    assert "Try it with build" not in text


def test_an_operator_gets_buttons_and_nobody_else(app: Flask, database: Engine) -> None:
    with transaction(database) as session:
        _failed(session, "cffi", "header", FFI)
        failures.sort(session)
        known = {"failure_class": "header", "kind": "header", "subject": "ffi.h"}
        session.add(Cure(**known, actions={"debian_packages": ['x"><b>-dev']}, cured_at=ago()))
    app.add_url_rule("/orders/", endpoint="pages_orders.ask", build_only=True)
    client = app.test_client()
    assert "<form" not in client.get("/failures/1/").text.partition("<main")[2]

    app.jinja_env.globals.update(may=lambda role: role == "operator", csrf=lambda: Markup('<input name="csrf">'))
    page = client.get("/failures/1/").text

    arguments = [json.loads(unescape(text)) for text in re.findall(r'name="arguments" value="([^"]*)"', page)]
    assert arguments == [{"build": 1, "recipe": {"debian_packages": ['x"><b>-dev']}}, {"builds": "1"}]
    assert page.count('<input name="csrf">') == 2
    assert page.count('name="next" value=""') == 2  # on to the order, which is followed until it is done
    assert "<b>-dev" not in page
