"""What people know about builds, and what they have set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schema.db.rules import RuleRow
from schema.people import Role, Scope
from schema.printable import printable
from web import knowledge
from web.api.asked import NameCursor
from web.api.endpoints import endpoint, get
from web.pages.asked import database
from web.pages.asked import settings as held


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipesAsked:
    """cursor: of the page before."""

    cursor: NameCursor = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeRow:
    """A rule of a recipe. uses, successes: attempts that ended with it, and those of them that gave a wheel."""

    id: str
    applies: str
    why: str
    uses: int
    successes: int
    used_at: datetime | None
    expires: str | None
    notes: list[str]

    @classmethod
    def of(cls, row: RuleRow) -> RecipeRow:
        """As the pages show it."""
        same = ("id", "applies", "uses", "successes", "used_at", "expires")
        return cls(why=printable(row.why), notes=list(row.notes), **{name: getattr(row, name) for name in same})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipes:
    """A page of rules. faults: files that cannot be read, and why; next: the cursor of those that follow, or ""."""

    items: list[RecipeRow]
    faults: list[str]
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """A key of ``farm.toml``. value: as people read it, of what is secret only whether it is set.

    changed: it is not the default
    """

    key: str
    value: str
    changed: bool


@get("/recipes")
def recipes(query: RecipesAsked) -> Recipes:
    """The rules that people wrote, by project, and what came of each."""
    with database().reading() as session:
        page = knowledge.recipes(session, held().farm.recipes, after=query.cursor)
    rows, faults = [RecipeRow.of(row) for row in page.rows], [printable(text) for text in page.faults]
    return Recipes(items=rows, faults=faults, next=page.more)


def settings() -> dict[str, list[SettingRow]]:
    """The settings as this front-end has read them: section → its keys."""
    return {
        section: [SettingRow(key=key.key, value=printable(key.value), changed=key.changed) for key in keys]
        for section, keys in knowledge.settings(held()).items()
    }


endpoint("GET", "/settings", settings, role=Role.ADMIN, scope=Scope.ADMIN)
