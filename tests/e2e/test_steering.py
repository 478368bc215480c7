"""A person stops a build that runs, on a real farm."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from sqlalchemy import select

from schema.db.models import Attempt, Build, Node
from schema.db.session import transaction
from schema.sections import ImagesSection
from schema.states import BuildState
from tests.chaos import sdists
from tests.chaos.farm import Farm

_PATIENCE_S = 120.0


def _wait(farm: Farm, what: str, is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {_PATIENCE_S} s: {what}\n{farm.logs()}"
        time.sleep(0.1)


def _sleeper(farm: Farm) -> Build:
    with transaction(farm.database) as session:
        return session.scalars(select(Build).join(Build.project).where(Build.project.has(name="sleeper"))).one()


def _step(farm: Farm) -> str:
    with transaction(farm.database) as session:
        steps = session.scalars(select(Attempt.steps).order_by(Attempt.id.desc()).limit(1)).first()
    return steps[-1]["name"] if steps else ""


@pytest.mark.slow
@pytest.mark.usefixtures("image")
def test_a_cancelled_build_stops_on_its_node_is_not_published_and_can_be_tried_again() -> None:
    with Farm(images=ImagesSection().folder, projects=["other"]) as farm:
        farm.wait(timeout_s=_PATIENCE_S)
        farm.upstream.add_file("sleeper", sdists.tiny("sleeper", sleep_s=3600), filename="sleeper-1.0.tar.gz")
        farm.command("request", "--build", "always", "sleeper")
        _wait(farm, "the build runs", lambda: _step(farm) == "build")

        farm.command("cancel", "sleeper", "--reason", "it sleeps")

        build = _sleeper(farm)
        assert (build.state, build.leased_to) == (BuildState.HELD, None)
        said = f"build {build.id}-{build.fence}: cancelled"
        _wait(farm, "the node has stopped", lambda: said in (farm.folder / "node.log").read_text())
        _wait(farm, "the node has forgotten", lambda: not list(farm.settings.outbox.glob("*-*")))
        assert _sleeper(farm).state == BuildState.HELD
        with transaction(farm.database) as session:
            assert session.scalars(select(Node.state)).all() == ["active"]

        farm.command("retry", "sleeper")
        _wait(farm, "it runs again", lambda: _sleeper(farm).state == BuildState.LEASED)
        assert _sleeper(farm).fence == build.fence + 1
        assert list(farm.wheels()) == ["other-1.0-py3-none-any.whl"]
