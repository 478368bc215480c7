"""The index of the real suite answers what builds of real projects have asked; ``bookworm.toml`` has the answers."""

from __future__ import annotations

import shutil
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest

from builder import apt, process
from builder.debian_index import asking, making
from builder.images import Image
from schema.missing import Missing, MissingKind

pytestmark = pytest.mark.slow

ANSWERS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("bookworm.toml").read_text(encoding="utf-8"))
NEEDLES = [(kind, name, package) for kind, names in ANSWERS["needles"].items() for name, package in names.items()]


@pytest.fixture(scope="module")
def index(image: Image) -> Path:
    return making.make(image, progress=lambda _step, _done: None)


@pytest.fixture(scope="module")
def apt_settings(image: Image, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """apt with the image's sources and packages."""
    folder = tmp_path_factory.mktemp("apt")
    shutil.copytree(image.folder / "apt/sources.list.d", folder / "sources.list.d")
    settings = apt._settings(folder, image.root, image.architectures)
    apt._update(settings, folder / "updated", threading.Event())
    return settings


@pytest.mark.parametrize(("kind", "name", "package"), NEEDLES)
def test_the_first_candidate_is_the_one_that_builds(index: Path, kind: str, name: str, package: str) -> None:
    missing = Missing.found(MissingKind(kind), name)

    assert missing is not None
    assert next((candidate.package for candidate in asking.lookup(index, missing)), "") == package


@pytest.mark.parametrize("project", ANSWERS["build_depends"])
def test_debian_knows_what_it_builds_a_project_with_and_a_wheel_needs_all_of_it(index: Path, project: str) -> None:
    assert list(asking.build_depends(index, project)) == ANSWERS["build_depends"][project]


@pytest.mark.parametrize("project", ["uwsgi", "any other"])
def test_all_that_projects_are_built_with_can_be_installed_at_once(
    index: Path, apt_settings: list[str], project: str
) -> None:
    """apt fails as a whole for one name that is not there, or that several packages provide."""
    projects = [name for name in ANSWERS["build_depends"] if (name == "uwsgi") == (project == "uwsgi")]
    names = sorted({package for name in projects for package in asking.build_depends(index, name)})

    said = process.run(["apt-get", *apt_settings, "--simulate", "--no-install-recommends", "install", "--", *names])

    assert len(names) > 20
    assert "selecting" not in said
    assert [
        name for name in names if f"Inst {name} " not in said and f"{name} is already the newest version" not in said
    ] == []


def test_the_suites_own_version_is_told_without_debians_additions(index: Path) -> None:
    assert asking.version(index, "PyGObject") == "3.42.2"
    assert asking.version(index, "no-such-project-at-all") is None


def test_what_is_known_of_an_index_says_what_it_was_made_of(index: Path) -> None:
    known = making.about(index)

    assert known["suite"] == "bookworm"
    assert int(known["files"]) > 300_000
    assert int(known["sources"]) > 30_000
