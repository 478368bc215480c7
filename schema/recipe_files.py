"""Recipes as files: what people know about building a project, one ``NAME.toml`` each, named as the index names it.

The shipped files are read first, then the operator's folders, the first of them last. A rule with the id of an earlier
one takes its place; ``off = true`` instead of anything else takes the earlier one away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName, canonicalize_name

from schema import toml_file
from schema.errors import SettingsError
from schema.recipes import KEYS, MOST_REMEDIES, Rule

_MOST_RULES = 100
_OFF = frozenset({"id", "off"})


def rules_for(name: NormalizedName, folders: Sequence[Path] = ()) -> tuple[Rule, ...]:
    """The rules of a project in their order, none where nothing is known; raise SettingsError for a faulty file.

    folders: the operator's; they win over what is shipped, and the first wins over the others
    """
    found: dict[str, Rule] = {}
    for folder in (*_shipped(), *reversed(folders)):
        file = folder / f"{name}.toml"
        if file.is_file():
            for rule_id, rule in read(file).items():
                if rule is None:
                    found.pop(rule_id, None)
                else:
                    found[rule_id] = rule
    if len([rule for rule in found.values() if rule.after]) > MOST_REMEDIES:
        raise SettingsError(f"recipes for {name}: more than {MOST_REMEDIES} rules have after; a node takes no more")
    return tuple(found.values())


def projects(folders: Sequence[Path] = ()) -> list[NormalizedName]:
    """The projects that there are recipes for, sorted."""
    return sorted({canonicalize_name(file.stem) for file in _files(folders)})


def decisive(folders: Sequence[Path] = ()) -> list[Rule]:
    """The rules that say whether something is built at all; raise SettingsError for a faulty file."""
    return [
        rule
        for name in projects(folders)
        for rule in rules_for(name, folders)
        if rule.do_not_build or rule.use_upstream_wheel
    ]


def check(folders: Sequence[Path]) -> None:
    """Read every recipe there is; raise SettingsError for the first fault, so that a farm tells it when it starts."""
    for folder in folders:
        if not folder.is_dir():
            raise SettingsError(f"farm.recipes: there is no folder {folder}")
    for file in _files(folders):
        if file.stem != canonicalize_name(file.stem):
            raise SettingsError(f"{file}: is never read", advice=f"name it {canonicalize_name(file.stem)}.toml")
        read(file)
    for name in projects(folders):
        rules_for(name, folders)


def read(file: Path) -> dict[str, Rule | None]:
    """The rules of one file by their farm-wide ids, in order; None for one that is switched off.

    Raise SettingsError that names file, rule and key, and what is allowed.
    """
    data = toml_file.read(file)
    if flat := [key for key in data if key in KEYS]:
        raise SettingsError(
            f"{file}: {flat[0]}: stands outside a rule",
            advice='recipes are lists of rules now: write [[rule]] and id = "needs" above it,'
            " and [rule.environment] for [environment]",
        )
    toml_file.refuse_unknown(data, {"rule"}, file=file)
    tables = data.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        raise SettingsError(f"{file}: rule: must be tables: write [[rule]] above each")
    if len(tables) > _MOST_RULES:
        raise SettingsError(f"{file}: rule: {len(tables)} rules; at most {_MOST_RULES} are allowed")
    found: dict[str, Rule | None] = {}
    for place, table in enumerate(tables, start=1):
        rule_id, rule = _rule(file, table, place)
        if rule_id in found:
            raise SettingsError(f"{file}: rule {place}: id: {table['id']!r} is the id of an earlier rule")
        found[rule_id] = rule
    return found


def _rule(file: Path, table: Mapping[str, Any], place: int) -> tuple[str, Rule | None]:
    where = f"rule {str(table.get('id', place))[:40]}: "
    own_id = table.get("id")
    if not isinstance(own_id, str) or "/" in own_id:
        raise SettingsError(f"{file}: {where}id: must be a text of lower-case letters, digits and hyphens")
    rule_id = f"{canonicalize_name(file.stem)}/{own_id}"
    if "off" in table:
        toml_file.refuse_unknown(table, _OFF, file=file, where=where)
        if table["off"] is not True:
            raise SettingsError(f"{file}: {where}off: must be true; leave the rule out of the file to have it on")
        return rule_id, None
    toml_file.refuse_unknown(table, KEYS | _OFF, file=file, where=where)
    try:
        return rule_id, Rule.parse({**table, "id": rule_id})
    except ValueError as err:
        raise SettingsError(f"{file}: {where}{err}") from None


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    return (file for folder in (*folders, *_shipped()) for file in sorted(folder.glob("*.toml")))


def _shipped() -> Iterable[Path]:
    """In ``master`` in an installed farm, at the top of a checkout."""
    top = Path(__file__).parent.parent
    return (folder for folder in (top / "master" / "shipped_recipes", top / "recipes") if folder.is_dir())
