"""The reference pages are true: every command with its help, every setting with its default.

``WRITE_REFERENCE=1`` writes the page of the commands anew.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from builder.cli import farm_node
from master.cli import farm
from schema.recipes import Actions, Rule
from schema.settings import Settings

_DOCS = Path(__file__).parents[3] / "docs"
_DEPENDS_ON_THE_MACHINE = {"farm.platforms", "node.slots", "node.workspace", "images.folder"}


def _commands(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    settings = {"terminal_width": 100, "max_content_width": 100, **command.context_settings}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _commands(found, inner, context)


def _page() -> str:
    parts = ["# Commands\n\nWhat each command says of itself with `--help`; a test keeps this page true.\n"]
    for group, name in ((farm, "wheelfarm"), (farm_node, "wheelfarm-node")):
        parts += [f"## {title}\n\n```\n{text}\n```\n" for title, text in _commands(group, name)]
    return "\n".join(parts)


def test_the_page_of_the_commands_is_what_they_say_of_themselves() -> None:
    file = _DOCS / "reference" / "commands.md"
    if os.environ.get("WRITE_REFERENCE"):
        file.write_text(_page())

    assert file.read_text() == _page(), "WRITE_REFERENCE=1 pytest tests/master/cli/test_reference.py writes it anew"


def test_each_command_says_what_it_does_and_how_it_exits() -> None:
    for group, name in ((farm, "wheelfarm"), (farm_node, "wheelfarm-node")):
        for title, text in _commands(group, name):
            assert len(text.splitlines()[2].strip()) > 10, title
            assert title == name or "Exit codes:" in text, title


def _rows() -> dict[str, str]:
    text = (_DOCS / "reference" / "settings.md").read_text()
    return dict(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \| (.*?) \|", text, re.MULTILINE))


def test_every_setting_is_in_the_reference_and_nothing_else() -> None:
    settings = Settings()
    keys = [
        f"{section.name}.{key.name}"
        for section in dataclasses.fields(settings)
        for key in dataclasses.fields(getattr(settings, section.name))
    ]

    assert list(_rows()) == keys


def test_every_default_is_the_one_in_the_reference() -> None:
    settings = Settings()
    for key, told in _rows().items():
        section, _, name = key.partition(".")
        value = getattr(getattr(settings, section), name)
        if key not in _DEPENDS_ON_THE_MACHINE and value not in ("", (), None):
            written = f"{value:g}" if isinstance(value, float) else str(value)
            written = json.dumps(value) if isinstance(value, tuple) else written
            assert told == f"`{written.lower() if isinstance(value, bool) else written}`", key


def test_the_keys_of_a_rule_are_in_the_reference_in_their_order() -> None:
    page = (_DOCS / "reference" / "recipes.md").read_text()
    terms = [key.name for key in dataclasses.fields(Rule)]
    actions = [key.name for key in dataclasses.fields(Actions)]

    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == [*terms[len(actions) :], *actions]


@pytest.mark.parametrize("page", [*_DOCS.rglob("*.md"), _DOCS.parent / "README.md"], ids=lambda page: page.stem)
def test_every_link_of_the_pages_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_folders_that_the_readme_lists_are_the_ones_there_are() -> None:
    readme = (_DOCS.parent / "README.md").read_text()
    listed = set(re.findall(r"^([a-z]+)/  ", readme, re.MULTILINE))
    there = {path.name for path in _DOCS.parent.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))}

    assert listed - {"var"} == there - {"var", "dist"}
