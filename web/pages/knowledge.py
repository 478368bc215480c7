"""What people know about builds, and what they have set."""

from __future__ import annotations

from http import HTTPStatus

from flask import abort, current_app, render_template

from web import knowledge
from web.pages import asked
from web.pages.asked import pages


@pages.get("/recipes/")
def recipes() -> str:
    """The rules of recipes, and what came of each."""
    with asked.database().reading() as session:
        page = knowledge.recipes(session, asked.settings().farm.recipes, after=asked.text("after"))
    return render_template("recipes.html", page=page)


@pages.get("/settings/")
def settings() -> str:
    """The settings as the farm sees them, without what is secret; for administrators, where people log in."""
    may = current_app.jinja_env.globals.get("may")
    if callable(may) and not may("admin"):
        abort(HTTPStatus.FORBIDDEN)
    return render_template("settings.html", sections=knowledge.settings(asked.settings()))
