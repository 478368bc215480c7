"""The first page."""

from __future__ import annotations

from flask import render_template

from schema.db.health import open_alarms
from web import queries
from web.pages import asked
from web.pages.asked import pages
from web.people.needs import needs


@pages.get("/")
@needs("reader")
def home() -> str:
    """What this farm serves, how to use it, and what it builds now."""
    with asked.database().reading() as session:
        found = queries.overview(session, rules=asked.rules())
        alarms = open_alarms(session)
    return render_template("home.html", farm=found, alarms=alarms, **asked.how_to(name="NAME"))
