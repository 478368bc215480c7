"""What each client does with the farm's index: every cell of docs/reference/clients.md is run.

``WRITE_REFERENCE=1`` writes the rows anew as the runs came out.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path

import pytest

from tests.sample_site import HERE
from tests.web.conformance import tools
from tests.web.conformance.clients import PIPS, Pip, Poetry, Run, Uv, fetched
from tests.web.conformance.conftest import Server
from tests.web.conformance.recorder import Recorder

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[3] / "docs/reference/clients.md"
INSTALLERS = [*(f"pip {version}" for version in PIPS), "uv"]
PROJECT_TOOLS = ["poetry", "pdm", "pipenv"]
MIRRORS: dict[str, Callable[[str, Path], AbstractContextManager[str]]] = {
    "devpi-server": tools.devpi,
    "proxpi": tools.proxpi,
    "bandersnatch": lambda url, folder: tools.bandersnatch(url, folder, "app", "demo", "lib"),
}
COLUMNS = ("installs", "view", "METADATA first", "wrong hash refused", "download", "cooldown")
_NOT_ASKED = "n/a"

Installed = Callable[[str], str | None]
Row = dict[str, str]


def told(found: bool) -> str:  # noqa: FBT001 - a cell
    return "yes" if found else "no"


def table() -> dict[str, Row]:
    """The rows of the page by their clients."""
    lines = re.findall(r"^\| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    rows = {cell[0]: dict(zip(COLUMNS, cell[2:], strict=True)) for cell in cells if len(cell) == len(COLUMNS) + 2}
    return {client: row for client, row in rows.items() if client not in {"client", "---"}}


def check(client: str, version: str, row: Row) -> None:
    """The page has that row; or write it there."""
    found = {column: row.get(column, _NOT_ASKED) for column in COLUMNS}
    if os.environ.get("WRITE_REFERENCE"):
        with (PAGE.parent / "clients.md").open("r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            text = file.read()
            line = f"| {' | '.join([client, version, *found.values()])} |"
            file.seek(0)
            file.truncate()
            file.write(re.sub(rf"^\| {re.escape(client)} \|.*$", line, text, flags=re.MULTILINE))
    assert table()[client] == found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    return made


def has_all(installed: Installed) -> bool:
    """The newest that is neither yanked nor for another Python, and of what it needs what it can do with."""
    return (installed("app"), installed("lib"), installed("demo")) == ("1.0", "1.9", "1.0")


@pytest.mark.parametrize("name", INSTALLERS)
def test_an_installer(name: str, recorder: Recorder, environment: Path, installed: Installed, tmp_path: Path) -> None:
    kind, _, version = name.partition(" ")
    client = Pip(version=version, environment=environment) if kind == "pip" else Uv(environment=environment)
    simple = f"{recorder.url}/simple/"
    row: Row = {}

    row["installs"] = told(client.install(simple, "app", "demo").exit_code == 0 and has_all(installed))
    wheel = "/files/app-2.0-py3-none-any.whl"
    row["METADATA first"] = told(f"{wheel}.metadata" in recorder.paths and wheel not in recorder.paths)
    view = client.install(f"{recorder.url}/{HERE.view}/simple/", "native")
    row["view"] = told(view.exit_code == 0 and installed("native") == "1.0")
    wrong = tmp_path / "wrong.txt"
    wrong.write_text(f"plus==1.0+local.1 --hash=sha256:{'0' * 64}\n")
    refused = client.install(simple, "--require-hashes", "-r", str(wrong))
    row["wrong hash refused"] = told(refused.exit_code != 0 and installed("plus") is None)
    if isinstance(client, Pip):
        got = client.download(simple, tmp_path / "wheels", "big")
        row["download"] = told(got.exit_code == 0 and (tmp_path / "wheels/big-1.0-py3-none-any.whl").is_file())
    early = client.install(simple, "big", before="2026-11-20T00:00:00Z")
    knows = "no such option" not in early.output
    late = client.install(simple, "big", before="2026-11-21T00:00:00Z")
    if knows:
        row["cooldown"] = told(early.exit_code != 0 and late.exit_code == 0 and installed("big") == "1.0")

    check(name, exact(client), row)


def exact(client: Pip | Uv) -> str:
    """Its version."""
    if isinstance(client, Uv):
        return metadata.version("uv")
    [info] = fetched("pip", client.version, dependencies=False).glob("pip-*.dist-info")
    return info.name.removeprefix("pip-").removesuffix(".dist-info")


@pytest.mark.parametrize("name", PROJECT_TOOLS)
def test_a_tool_that_works_on_a_project(
    name: str, recorder: Recorder, environment: Path, installed: Installed, folder: Path
) -> None:
    run = {"poetry": poetry, "pdm": pdm, "pipenv": pipenv}[name]
    wheel = "/files/app-2.0-py3-none-any.whl"

    done = run(f"{recorder.url}/simple/", environment, folder, "app", "demo")
    all_there = done.exit_code == 0 and has_all(installed)
    row = {"installs": told(all_there)}
    row["METADATA first"] = told(f"{wheel}.metadata" in recorder.paths and wheel not in recorder.paths)
    for file in folder.glob("*.lock"):
        file.unlink()
    done = run(f"{recorder.url}/{HERE.view}/simple/", environment, folder, "native")
    row["view"] = told(done.exit_code == 0 and installed("native") == "1.0")

    assert all_there, done.output
    check(name, version_of(name), row)


def version_of(name: str) -> str:
    if name != "poetry":
        return tools.version_of(name)
    [info] = fetched("poetry", "newest", dependencies=True).glob("poetry-[0-9]*.dist-info")
    return info.name.removeprefix("poetry-").removesuffix(".dist-info")


def poetry(index_url: str, environment: Path, folder: Path, *requirements: str) -> Run:
    (folder / "pyproject.toml").write_text(
        f"""
[project]
name = "sample"
version = "1.0"
requires-python = ">=3.{sys.version_info.minor}"
dependencies = {list(requirements)}
[tool.poetry]
package-mode = false
[[tool.poetry.source]]
name = "farm"
url = "{index_url}"
priority = "primary"
"""
    )
    return Poetry(environment=environment).install(folder)


def pdm(index_url: str, environment: Path, folder: Path, *requirements: str) -> Run:
    return tools.Pdm(environment=environment).install(index_url, folder, *requirements)


def pipenv(index_url: str, environment: Path, folder: Path, *requirements: str) -> Run:
    return tools.Pipenv(environment=environment).install(index_url, folder, *requirements)


@pytest.fixture(params=list(MIRRORS))
def mirror(request: pytest.FixtureRequest, server: Server, folder: Path) -> Iterator[tuple[str, str]]:
    """Its name, and its index URL."""
    with MIRRORS[request.param](f"{server.url}/simple/", folder) as url:
        yield request.param, url


def test_a_mirror(mirror: tuple[str, str], environment: Path, installed: Installed, tmp_path: Path) -> None:
    name, url = mirror
    client = Pip(version="newest", environment=environment)

    done = client.install(url, "app", "demo")
    got = client.download(url, tmp_path / "wheels", "demo")
    assert done.exit_code == 0, done.output

    row = {
        "installs": told(has_all(installed)),
        "download": told(got.exit_code == 0 and (tmp_path / "wheels/demo-1.0-py3-none-any.whl").is_file()),
    }
    check(name, tools.version_of(name), row)


def test_every_client_has_a_row() -> None:
    assert sorted(table()) == sorted([*INSTALLERS, *PROJECT_TOOLS, *MIRRORS])
