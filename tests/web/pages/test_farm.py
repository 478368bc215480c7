"""The page about the farm itself, and the audit trail."""

from __future__ import annotations

import re
from html import unescape

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from schema.db.models import BuildCount, Demand, Leadership
from schema.db.session import transaction
from tests import entries
from tests.entries import HERE, ago, later


def _text(client: FlaskClient, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", response.text)))


@pytest.mark.usefixtures("database")
def test_a_new_farm_has_nothing_to_tell(client: FlaskClient) -> None:
    text = _text(client, "/farm/")

    assert "Nothing needs a person just now." in text
    assert "What people did" not in text
    assert "Nothing." in _text(client, "/audit/")


def test_an_open_alarm_stands_on_the_first_page_until_it_ends(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        alarm = entries.alarm(session, text="Node pi4 is silent: `wheelfarm node list` tells more.")
        entries.alarm(session, "disk", text="The disk is full.", ended_at=ago(minutes=1))

    assert "Node pi4 is silent: wheelfarm node list tells more." in _text(client, "/")
    assert "The disk is full." not in _text(client, "/")
    assert "Ended by themselves (1) The disk is full." in _text(client, "/farm/")

    with transaction(database) as session:
        session.merge(alarm).ended_at = ago()

    assert "pi4 is silent" not in _text(client, "/")


def test_a_walk_shows_how_far_it_is_and_a_finished_one_no_bar(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        entries.mark(session, "reconcile", done=350_000, total=700_000, started_at=ago(hours=1), note="at name m")
        entries.mark(session, "scrub", done=10, total=10, started_at=ago(hours=3), finished_at=ago(hours=2))
        entries.mark(session, "cursor-of-something", note="for programs only")

    page = client.get("/farm/").text

    assert "350,000 of 700,000" in page
    assert 'aria-label="50 percent"' in page
    assert page.count('role="img"') == 1
    assert "for programs only" not in page


def test_builds_are_told_by_platform_and_state_in_the_order_of_a_builds_life(
    client: FlaskClient, database: Engine
) -> None:
    with transaction(database) as session:
        for state, builds in (("published", 12_000), ("failed", 0), ("queued", 7)):
            session.add(BuildCount(platform=HERE, state=state, builds=builds))

    assert f"{HERE} 7 queued , 12,000 published" in _text(client, "/farm/")


def test_who_leads_and_what_clients_asked_for_is_told(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        session.add(Leadership(id=1, holder="farm-a:4711", epoch=3, until=later(seconds=15)))
        session.add(Demand(name="scipy", view="debian12-aarch64", asks=41, asked_at=ago(minutes=1)))

    text = _text(client, "/farm/")

    assert "Led by farm-a:4711. Upstream was not asked yet." in text
    assert "scipy on debian12-aarch64 41 times" in text


def test_a_farm_without_a_leader_and_how_it_follows_upstream_is_told(client: FlaskClient, database: Engine) -> None:
    until = ago(minutes=5)
    with transaction(database) as session:
        session.add(Leadership(id=1, holder="farm-a:4711", epoch=3, until=until))
        entries.mark(session, "feed", cursor="simple", note="simple", serial=28_123_456, changed_at=until)

    text = _text(client, "/farm/")

    assert f"No master leads since {until:%Y-%m-%d %H:%M} UTC." in text
    assert f"Upstream: simple, serial 28,123,456, asked {until:%Y-%m-%d %H:%M} UTC, nothing to read." in text


def test_the_audit_trail_tells_who_changed_what_the_newest_first(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        entries.audit(session, "build 7")
        entries.audit(session, "node pi4", who="grace", action="drain", before={}, after={"state": "draining"})

    text = _text(client, "/audit/")

    assert text.index("grace drain node pi4 state: none → draining") < text.index(
        "ada hold build 7 state: queued → held"
    )
    assert "it needs a look" in text
    assert "node pi4" not in _text(client, "/audit/?subject=build+7")


def test_the_audit_trail_goes_on_page_by_page(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        for number in range(60):
            entries.audit(session, f"build {number}")

    first = client.get("/audit/").text
    (following,) = re.findall(r'rel="next" href="([^"]*)"', first)
    second = client.get(unescape(following)).text

    assert first.count("<tr>") == 51
    assert second.count("<tr>") == 11
    assert 'rel="next"' not in second


def test_what_people_did_to_a_build_stands_on_its_page(
    client: FlaskClient, database: Engine, farm: dict[str, int]
) -> None:
    with transaction(database) as session:
        entries.audit(session, f"build {farm['held']}")
        entries.audit(session, "build 999", who="grace")

    text = _text(client, f"/build/{farm['held']}/")

    assert "What people did to it" in text
    assert "ada hold" in text
    assert "grace" not in text


@pytest.mark.usefixtures("database")
def test_odd_questions_are_harmless(client: FlaskClient) -> None:
    for query in (
        "audit/?subject=%00",
        "audit/?before=99999999999999",
        "builds/?platform=%00",
        "search?q=%00&after=%00",
    ):
        assert client.get(f"/{query}").status_code == 200, query
    assert client.get(f"/audit/?subject={'x' * 5000}").status_code == 200
