"""What people know about builds, and what they have set."""

from __future__ import annotations

from flask import render_template

from schema.db import webhooks
from schema.webhooks import Event
from web import knowledge
from web.pages import asked
from web.pages.asked import pages
from web.people.needs import needs


@pages.get("/recipes/")
@needs("reader")
def recipes() -> str:
    """The rules of recipes, and what came of each."""
    with asked.database().reading() as session:
        page = knowledge.recipes(session, asked.settings().farm.recipes, after=asked.text("after"))
    return render_template("recipes.html", page=page)


@pages.get("/settings/")
@needs("admin")
def settings() -> str:
    """The settings as the farm sees them, without what is secret; and its webhooks."""
    return settings_page()


def settings_page(*, secret: str = "", trouble: str = "") -> str:
    """The same after something was done: with the secret of a new webhook, or why it could not be."""
    with asked.database().reading() as session:
        found = webhooks.everyone(session)
    sections = knowledge.settings(asked.settings())
    return render_template(
        "settings.html", sections=sections, webhooks=found, events=list(Event), secret=secret, trouble=trouble
    )
