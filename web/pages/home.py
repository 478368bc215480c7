"""The first page, and how to use the farm."""

from __future__ import annotations

from flask import render_template

from schema.errors import NotANameError
from schema.names import project_name
from web.overview import overview
from web.pages import asked
from web.pages.asked import pages


@pages.get("/")
def home() -> str:
    """How to use the farm, what it did today, what is stuck, and what it does now."""
    with asked.database().reading() as session:
        found = overview(session, rules=asked.rules())
    return render_template("home.html", farm=found, **asked.how_to(name="NAME"))


@pages.get("/install/")
def install() -> str:
    """The lines that make an installer use the farm, for the machine that the reader is at."""
    name = _name(asked.text("name"))
    return render_template("install.html", name=name, **asked.how_to(name=name))


def _name(text: str) -> str:
    """Only a project's name: the page shows commands that people paste."""
    try:
        return project_name(text)
    except NotANameError:
        return "NAME"
