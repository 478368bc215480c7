"""What people know about builds (rules of recipes), and what they have set, as the farm sees both."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from packaging.utils import NormalizedName
from sqlalchemy.orm import Session

from schema import recipe_files
from schema.db import rules
from schema.db.rules import RuleRow
from schema.db.session import now
from schema.errors import SettingsError
from schema.recipes import Rule
from schema.settings import Settings
from web.queries import PAGE

_UNUSED_DAYS = 90
# Whoever knows these may write into the farm's database, send it messages, or speak in its name.
_SECRET = frozenset({"database.url", "redis.url"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A page of rules, by project. faults: files that cannot be read, and why; more: the last project, or ""."""

    rows: Sequence[RuleRow]
    faults: Sequence[str]
    more: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A key of ``farm.toml`` and its value, fit to be shown; changed: it is not the default."""

    key: str
    value: str
    changed: bool


def recipes(session: Session, folders: Sequence[Path], *, after: str = "") -> Rules:
    """The rules of a page of projects, those behind the project *after*."""
    names = [name for name in recipe_files.projects(folders) if name > after]
    found: list[Rule] = []
    faults = []
    for name in names[:PAGE]:
        try:
            found += recipe_files.rules_for(NormalizedName(name), folders)
        except SettingsError as err:
            faults.append(str(err))
    rows = rules.report(session, found, now=now(session), unused_days=_UNUSED_DAYS)
    return Rules(rows=rows, faults=faults, more=names[PAGE - 1] if len(names) > PAGE else "")


def settings(held: Settings) -> dict[str, list[Setting]]:
    """Section → its keys; of what is secret only whether it is set."""
    default = Settings()
    return {
        section.name: [
            Setting(
                key=key.name,
                value=_shown(f"{section.name}.{key.name}", getattr(getattr(held, section.name), key.name)),
                changed=getattr(getattr(held, section.name), key.name)
                != getattr(getattr(default, section.name), key.name),
            )
            for key in dataclasses.fields(getattr(held, section.name))
        ]
        for section in dataclasses.fields(held)
    }


def _shown(key: str, value: Any) -> str:  # noqa: ANN401 - whatever a section holds
    if key in _SECRET:
        return "set, not shown" if value else "not set"
    if value in (None, "", ()):
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(_shown(key, item) for item in value)
    return _without_user(str(value)) if "://" in str(value) else str(value)


def _without_user(url: str) -> str:
    """An address without what may be a name, a password or a token in it."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    except ValueError:
        return "set, not shown"
