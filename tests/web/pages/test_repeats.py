"""What building the same twice has shown, on the pages."""

from __future__ import annotations

import re
from html import unescape

from flask.testing import FlaskClient
from sqlalchemy import Engine

from schema.db.models import Repeat
from schema.db.session import now, transaction
from tests import entries


def text(client: FlaskClient, path: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", client.get(path).text)))


def built_twice(database: Engine, name: str = "demo", **said: str) -> tuple[int, int]:
    """A published build and the one that repeats it."""
    with transaction(database) as session:
        project = entries.project(session, name)
        first = entries.build(session, project, "1.0", state="published")
        again = entries.build(session, project, "1.0", build_number=-1, origin="repeat")
        told = {"node": "n2", "told_at": now(session), **said} if said else {}
        session.add(Repeat(build_id=first.id, again_id=again.id, **told))
        return first.id, again.id


def test_both_builds_tell_the_verdict_where_it_differs_and_who_did_it(client: FlaskClient, database: Engine) -> None:
    first, again = built_twice(database, verdict="differs", detail="demo/_c.so, section .rodata <b>")

    shown = text(client, f"/build/{first}/")
    assert f"Built twice differs Build {again} repeats this one. Done by node n2" in shown
    assert "demo/_c.so, section .rodata <b>" in shown
    assert f"This build repeats build {first} ; its wheel is compared and never published." in text(
        client, f"/build/{again}/"
    )
    found = client.get(f"/build/{first}/progress.json").get_json()["repeat"]
    assert {key: found[key] for key in ("build", "again", "verdict", "detail", "node")} == {
        "build": first,
        "again": again,
        "verdict": "differs",
        "detail": "demo/_c.so, section .rodata <b>",
        "node": "n2",
    }


def test_before_the_verdict_it_is_said_that_there_is_none_yet(client: FlaskClient, database: Engine) -> None:
    first, again = built_twice(database)

    assert f"Built twice not yet Build {again} repeats this one." in text(client, f"/build/{first}/")
    assert "built once more" in text(client, f"/build/{again}/")
    assert client.get(f"/build/{first}/progress.json").get_json()["repeat"]["verdict"] is None


def test_a_build_that_is_not_repeated_says_nothing_of_it(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        build = entries.build(session, entries.project(session, "demo"), "1.0").id

    assert "Built twice" not in text(client, f"/build/{build}/")
    assert client.get(f"/build/{build}/progress.json").get_json()["repeat"] is None
    assert "Repeatable" not in text(client, "/")


def test_the_home_page_has_the_figures(client: FlaskClient, database: Engine) -> None:
    for name, verdict in (("a", "identical"), ("b", "identical"), ("c", "equivalent"), ("d", "not-repeated")):
        built_twice(database, name, verdict=verdict)

    expected = "Repeatable 3 4 built twice: 2 identical (50 %), 1 equivalent (25 %), 1 not repeated (25 %)"
    assert expected in text(client, "/")
