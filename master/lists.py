"""Lists of projects that a farm is to have, as TOML; ``example.toml`` beside this module is shipped.

``build`` and ``dependencies`` are policies (``missing`` or ``always``) for the projects named, and for what they need;
``projects`` are requirements; ``platforms`` may name some of the farm's, else all count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from packaging.requirements import Requirement
from sqlalchemy.orm import Session

from master import requests
from schema import names, toml_file
from schema.db.models import Request
from schema.errors import FarmError, SettingsError
from schema.platforms import Platform
from schema.settings import Settings
from schema.states import BuildPolicy

T = TypeVar("T")

EXAMPLE = Path(__file__).with_name("example.toml")

_KEYS = ("build", "dependencies", "platforms", "projects")


@dataclass(frozen=True, slots=True, kw_only=True)
class WishList:
    """A list as its file has it.

    build, dependencies: None where the farm's own policy counts
    platforms: () for all that the farm builds for
    """

    name: str
    projects: tuple[Requirement, ...]
    build: BuildPolicy | None = None
    dependencies: BuildPolicy | None = None
    platforms: tuple[Platform, ...] = ()


def read(file: Path) -> tuple[Requirement, ...]:
    """The projects that a list names."""
    return load(file).projects


def load(file: Path) -> WishList:
    """Read a list; raise SettingsError that names file, key and what is allowed."""
    data = toml_file.read(file)
    toml_file.refuse_unknown(data, _KEYS, file=file)
    projects = tuple(_checked(file, "projects", names.requirement, text) for text in _texts(file, data, "projects"))
    if not projects:
        raise SettingsError(f'{file}: projects: must name at least one, such as projects = ["click"]')
    return WishList(
        name=file.name,
        projects=projects,
        build=_policy(file, data, "build"),
        dependencies=_policy(file, data, "dependencies"),
        platforms=tuple(_checked(file, "platforms", Platform.parse, text) for text in _texts(file, data, "platforms")),
    )


def request(session: Session, file: Path, *, settings: Settings) -> list[Request]:
    """Ask for all that the list names; asking again changes nothing."""
    wishes = load(file)
    return [
        item
        for project in wishes.projects
        for item in requests.add(
            session,
            project,
            platforms=wishes.platforms,
            farm_platforms=settings.farm.platforms,
            policy=wishes.build or settings.farm.build,
            dependencies=wishes.dependencies or settings.farm.build,
            origin="list",
            because=wishes.name,
        )
    ]


def _texts(file: Path, data: Mapping[str, Any], key: str) -> list[str]:
    values = data.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise SettingsError(f"{file}: {key}: must be a list of texts")
    return values


def _policy(file: Path, data: Mapping[str, Any], key: str) -> BuildPolicy | None:
    if key not in data:
        return None
    if data[key] not in list(BuildPolicy):
        raise SettingsError(f"{file}: {key}: {data[key]!r} is not one of {', '.join(BuildPolicy)}")
    return BuildPolicy(data[key])


def _checked(file: Path, key: str, parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except FarmError as err:
        raise SettingsError(f"{file}: {key}: {err}") from err
