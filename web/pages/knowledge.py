"""What people know about builds, and what they have set."""

from __future__ import annotations

from flask import render_template

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
    """The settings as the farm sees them, without what is secret."""
    return render_template("settings.html", sections=knowledge.settings(asked.settings()))
