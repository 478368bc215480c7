"""Recipes: what people know about building a project, one ``NAME.toml`` each, named as the index names the project.

The operator's folders come first, then those that are shipped; the first file found counts, whole. A recipe is text
that goes to every node, so each value is checked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from schema import toml_file
from schema.errors import SettingsError
from schema.jobs import Recipe

_KEYS = frozenset({"why", "debian_packages", "environment", "config_settings", "build_constraints"})

_DEBIAN_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Compiler flags in the environment replace the interpreter's own: -O2 and the hardening would be gone. The others are
# the sandbox's: they make builds repeatable, and keep them where they are.
_REFUSED_VARIABLES = frozenset(
    {
        "CFLAGS",
        "CXXFLAGS",
        "OPT",
        "PATH",
        "HOME",
        "TMPDIR",
        "SOURCE_DATE_EPOCH",
        "LANG",
        "TZ",
        "ENV",
        "BASH_ENV",
        "VIRTUAL_ENV",
    }
)
_REFUSED_PREFIXES = ("LC_", "LD_", "PIP_", "PYTHON", "_PYTHON", "WHEELFARM_")


def recipe_for(name: NormalizedName, folders: Sequence[Path] = ()) -> Recipe:
    """The recipe of a project, an empty one where there is none; raise SettingsError for a faulty one.

    folders: the operator's; they win over what is shipped
    """
    for folder in (*folders, *_shipped()):
        file = folder / f"{name}.toml"
        if file.is_file():
            return read(file)
    return Recipe()


def check(folders: Sequence[Path]) -> None:
    """Read every recipe there is; raise SettingsError for the first fault, so that a farm tells it when it starts."""
    for folder in folders:
        if not folder.is_dir():
            raise SettingsError(f"farm.recipes: there is no folder {folder}")
    for folder in (*folders, *_shipped()):
        for file in sorted(folder.glob("*.toml")):
            if file.stem != canonicalize_name(file.stem):
                raise SettingsError(f"{file}: is never read", advice=f"name it {canonicalize_name(file.stem)}.toml")
            read(file)


def read(file: Path) -> Recipe:
    """Read one recipe; raise SettingsError that names file, key and what is allowed."""
    data = toml_file.read(file)
    toml_file.refuse_unknown(data, _KEYS, file=file)
    if not isinstance(data.get("why", ""), str):
        raise SettingsError(f"{file}: why: must be a text")
    return Recipe(
        debian_packages=_texts(file, data, "debian_packages", _is_debian_package, "the name of a Debian package"),
        environment=_table(file, data, "environment", _is_free_variable, _VARIABLE_RULE),
        config_settings=_table(file, data, "config_settings", bool, "the name of a config setting"),
        build_constraints=_texts(file, data, "build_constraints", _is_constraint, "a requirement such as cython<3"),
    )


_VARIABLE_RULE = (
    f"a variable that a recipe may set; not allowed are {', '.join(sorted(_REFUSED_VARIABLES))}"
    f" and what begins with {', '.join(_REFUSED_PREFIXES)}"
)


def _shipped() -> Iterable[Path]:
    """Beside this module in an installed farm, at the top of a checkout."""
    here = Path(__file__).parent
    return (folder for folder in (here / "shipped_recipes", here.parent / "recipes") if folder.is_dir())


def _texts(file: Path, data: Mapping[str, Any], key: str, allowed: Callable[[str], bool], rule: str) -> tuple[str, ...]:
    values = data.get(key, [])
    if not isinstance(values, list):
        raise SettingsError(f"{file}: {key}: must be a list of texts")
    for value in values:
        if not isinstance(value, str) or not allowed(value):
            raise SettingsError(f"{file}: {key}: {value!r} is not {rule}")
    return tuple(values)


def _table(file: Path, data: Mapping[str, Any], key: str, allowed: Callable[[str], bool], rule: str) -> dict[str, str]:
    table = data.get(key, {})
    if not isinstance(table, Mapping):
        raise SettingsError(f"{file}: {key}: must be a table of texts")
    for name, value in table.items():
        if not allowed(name):
            raise SettingsError(f"{file}: {key}.{name}: is not {rule}")
        if not isinstance(value, str) or "\0" in value:
            raise SettingsError(f"{file}: {key}.{name}: {value!r} is not a text")
    return dict(table)


def _is_debian_package(text: str) -> bool:
    return _DEBIAN_PACKAGE.fullmatch(text) is not None


def _is_free_variable(name: str) -> bool:
    return (
        _VARIABLE.fullmatch(name) is not None
        and name not in _REFUSED_VARIABLES
        and not name.startswith(_REFUSED_PREFIXES)
    )


def _is_constraint(text: str) -> bool:
    try:
        parsed = Requirement(text)
    except InvalidRequirement:
        return False
    return not parsed.url and not parsed.extras
