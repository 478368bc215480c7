"""What every view asks: of the application, and of the request; and the blueprint that they all belong to."""

from __future__ import annotations

from typing import Any, cast

from flask import Blueprint, current_app, request

from schema.db.why.surroundings import Rules
from schema.settings import Settings
from web import install
from web.database import Database

pages = Blueprint("pages", "web")


def settings() -> Settings:
    """The farm's."""
    return cast("Settings", current_app.extensions["settings"])


def database() -> Database:
    """The farm's, read only."""
    return cast("Database", current_app.extensions["database"])


def rules() -> Rules:
    """What of the settings the sentences about builds depend on."""
    return Rules.of(settings())


def how_to(*, name: str) -> dict[str, Any]:
    """The views to choose from, the one that is chosen, the one that fits the reader's machine, and install lines."""
    views = install.views(settings().farm.platforms)
    named = next((view for view in views if view.name == request.args.get("view")), None)
    found = install.fitting(views, request.headers.get("User-Agent", ""))
    chosen = named or found or views[0]
    return {"views": views, "chosen": chosen, "found": found, "ways": install.ways(base(), chosen, name=name)}


def base() -> str:
    """The farm's address; where nobody said how people reach it, the one that this reader used, since it works."""
    return settings().public_url if settings().web.public_url else request.host_url.rstrip("/")


def text(key: str) -> str:
    """A text of the query, as a column can hold it: PostgreSQL knows no NUL."""
    return request.args.get(key, "").replace("\0", "")[:255]


def number(key: str) -> int:
    """A number of the query; 0 where it is none that a row can have."""
    text = request.args.get(key, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0  # noqa: PLR2004 - 32 bits hold it
