"""The first page for operators: the last 24 hours, two weeks, what is stuck; and the news of an open page."""

from __future__ import annotations

from itertools import islice

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, event

from schema.db import hours
from schema.db.models import HourCount
from schema.db.session import transaction
from schema.db.why.surroundings import Rules
from tests import entries
from tests.entries import HERE, ago
from tests.web.pages.words import words
from web import queries
from web.overview import overview


@pytest.mark.usefixtures("farm")
def test_the_last_day_is_told_in_figures_plots_and_tables(client: FlaskClient) -> None:
    page, text = client.get("/").text, words(client, "/")

    assert (
        "The last 24 hours Built 90 last wheel 3 min ago Failed 33 1 failed in all To do 2 empty in about 23 min"
        in text
    )
    assert "Attempts that ended in the last 14 days" in text
    assert page.count('<svg viewBox="0 0 560 120" preserveAspectRatio="none" role="img"') == 2
    assert page.count("<summary>As a table</summary>") == 2
    assert "style=" not in page


@pytest.mark.usefixtures("database")
def test_a_new_farm_draws_nothing(client: FlaskClient) -> None:
    text = words(client, "/")

    assert "Built 0 last wheel never Failed 0 none failed in all To do 0 the queue Nodes 0 idle" in text
    assert "As a table" not in text
    assert "What is stuck" not in text


def test_what_is_older_than_a_day_is_not_told_as_today(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        session.add(HourCount(hour=ago(days=2), platform=HERE, what=hours.BUILT, builds=7))

    assert "Built 0" in words(client, "/")
    assert "7 gave a wheel, 0 failed." in words(client, "/")


@pytest.mark.usefixtures("farm")
@pytest.mark.parametrize(
    ("topic", "told"),
    [("overview", ["alarms", "today", "running", "load"]), ("queue", ["lanes"]), ("nodes", ["load"])],
)
def test_news_are_the_parts_of_the_page_by_their_names(client: FlaskClient, topic: str, told: list[str]) -> None:
    response = client.get(f"/events?topic={topic}", buffered=False)
    chunks = list(islice(response.iter_encoded(), 2))
    response.close()

    text = chunks[1].decode()
    assert response.mimetype == "text/event-stream"
    assert [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")] == told
    page = client.get({"overview": "/", "queue": "/queue/", "nodes": "/nodes/"}[topic]).text
    assert all(f'sse-swap="{name}"' in page for name in told)
    assert f'sse-connect="/events?topic={topic}"' in page


def test_a_stream_outlives_a_database_that_is_away(unreachable: FlaskClient) -> None:
    response = unreachable.get("/events?topic=queue", buffered=False)

    assert next(iter(response.iter_encoded())) == b"retry: 15000\n\n"
    response.close()
    assert unreachable.get("/events?topic=nothing").status_code == 404


def test_the_first_page_and_the_lists_of_builds_sort_nothing_that_grows(database: Engine) -> None:
    with transaction(database) as session:
        entries.build(session, entries.project(session, "one"))
    asked: list[tuple[str, object]] = []
    event.listen(database, "before_cursor_execute", lambda *args: asked.append((args[2], args[3])))

    with transaction(database) as session:
        overview(session, rules=Rules())
        for state in ("", "open", "failed"):
            queries.latest_builds(session, state=state, platform=HERE, before=9, rules=Rules())
            queries.latest_builds(session, state=state, rules=Rules())
    if database.dialect.name != "sqlite":
        return
    with database.connect() as connection:
        plans = {
            f"{row[3]} -- {sql}"
            for sql, values in asked
            if sql.startswith(("SELECT", "WITH"))
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)  # type: ignore[arg-type]
        }
    grows = ("builds", "wheels", "attempts", "projects", "upstream_files", "failures")
    scans = [plan for plan in plans if plan.startswith(tuple(f"SCAN {table}" for table in grows))]
    # The newest wheels and builds are the first of an index, or of the table itself, that is left after a page.
    assert [plan for plan in scans if "ix_wheels_newest" not in plan and "ORDER BY builds.id DESC" not in plan] == []
