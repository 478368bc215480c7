"""Build requirements that exist as source only: built first, by a real farm, and then used by their digest."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import select

from schema.db.models import Attempt, Build, Project
from schema.db.session import engine, transaction
from schema.names import sha256_of
from schema.settings import load
from tests.builder.pipeline.archives import PROJECTS, file
from tests.upstream import FakeUpstream
from tests.whole_farm import Farm

pytestmark = pytest.mark.slow

_USES_TOOL = "def after(folder, filename):\n    import tool\n\n    print('built with', tool.__file__)\n"
_FAILS = "def after(folder, filename):\n    raise RuntimeError('no such header')\n"
_ALL_OF_IT_S = 900


def _sdist(name: str, requires: Sequence[str] = (), behaviour: str = "") -> bytes:
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        "pyproject.toml": (
            f"[build-system]\nrequires = {json.dumps(list(requires))}\n"
            'build-backend = "tiny_backend"\nbackend-path = ["."]\n'
        ),
        "project.json": json.dumps({"name": name, "version": "1.0"}),
        "tiny_backend.py": (PROJECTS / "tiny_backend.py").read_text(),
        "behaviour.py": behaviour,
        f"src/{name}.py": "WORKS = True\n",
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in files.items():
            info, data = file(f"{name}-1.0/{path}", text.encode())
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def built(farm: Farm) -> Iterator[Farm]:
    """A farm after a run on an index that has source distributions only."""
    with FakeUpstream() as upstream:
        for name, sdist in {
            "app": _sdist("app", ["tool>=1"], _USES_TOOL),
            "tool": _sdist("tool"),
            "stuck": _sdist("stuck", ["breaks"]),
            "breaks": _sdist("breaks", behaviour=_FAILS),
            "lost": _sdist("lost", ["nowhere"]),
            "ringa": _sdist("ringa", ["ringb"]),
            "ringb": _sdist("ringb", ["ringa"]),
        }.items():
            upstream.add_file(name, sdist, filename=f"{name}-1.0.tar.gz")
        more = f'[upstream]\nindex_url = "{upstream.url}"\n[watch]\ncooldown_s = 0\n'
        farm.settings_file.write_text(farm.settings_file.read_text() + more)
        (farm.folder / "list.toml").write_text('projects = ["app", "stuck", "lost", "ringa"]\n')
        done = farm.call("run", "--until-idle", "--list", farm.folder / "list.toml", timeout_s=_ALL_OF_IT_S)
        (farm.folder / "err.txt").write_text(done.stderr)
        yield farm


def _outcome(farm: Farm, name: str) -> tuple[str, str]:
    (row,) = farm.json("builds", "--project", name, "--json")
    return row["state"], row["reason"]


def _attempts(farm: Farm, name: str) -> list[Attempt]:
    database = engine(load(farm.settings_file).database_url, read_only=True)
    with transaction(database) as session:
        wanted = select(Attempt).join(Build).join(Project, Build.project_id == Project.id).where(Project.name == name)
        found = list(session.scalars(wanted.order_by(Attempt.fence)))
    database.dispose()
    return found


def test_a_requirement_that_is_source_only_is_built_and_then_what_needs_it(built: Farm) -> None:
    assert _outcome(built, "tool")[0] == "published"
    assert _outcome(built, "app")[0] == "published"
    assert [attempt.outcome for attempt in _attempts(built, "app")] == ["failed", "built"]


def test_the_farms_wheel_is_among_the_materials_with_its_digest(built: Farm) -> None:
    (wheel,) = (built.folder / "home" / "site" / "files").glob("tool-*.whl")
    materials: list[dict[str, Any]] = _attempts(built, "app")[-1].materials

    (tool,) = (item for item in materials if item["name"] == "tool")

    assert (tool["kind"], tool["version"]) == ("farm-wheel", "1.0")
    assert tool["sha256"] == sha256_of(wheel)


def test_what_needs_a_requirement_that_cannot_be_built_fails_and_why_says_so(built: Farm) -> None:
    state, reason = _outcome(built, "stuck")

    assert state == "failed"
    assert reason.startswith("requirement: needs breaks to build, which cannot be had: breaks 1.0: ")
    assert "needs breaks to build" in built.call("why", "stuck").stdout


def test_what_needs_something_that_the_upstream_has_not_fails(built: Farm) -> None:
    state, reason = _outcome(built, "lost")

    assert state == "failed"
    assert reason.startswith("requirement: needs nowhere to build, which cannot be had: ")


def test_a_circle_ends_with_a_reason_for_both(built: Farm) -> None:
    outcomes = [_outcome(built, name) for name in ("ringa", "ringb")]

    assert [state for state, _ in outcomes] == ["failed", "failed"]
    assert any("a person must break this circle" in reason for _, reason in outcomes)
