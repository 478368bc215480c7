"""Orders, from a program with a token to the wheel, on a real farm with a real front-end."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from schema.db.people import users
from schema.db.session import transaction
from schema.people import Role
from schema.sections import ImagesSection
from tests.chaos.farm import Farm, tiny_sdist
from tests.web.people_kit import GOOD
from tests.web.server import started

_PATIENCE_S = 180.0


class Api:
    """The API of a front-end at *url*, as a program with *token* uses it."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = f"{url}/api/v1", token

    def call(self, path: str, body: object = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self._url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def order(self, action: str, **arguments: object) -> Any:
        """Give an order, and wait for what comes of it."""
        number = self.call(f"/orders/{action}", arguments)["id"]
        _wait(f"order {action} is done", lambda: self.call(f"/orders/{number}")["outcome"])
        return self.call(f"/orders/{number}")


def _wait(what: str, is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {_PATIENCE_S} s: {what}"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.usefixtures("image")
def test_a_program_asks_for_a_project_watches_it_being_built_and_steers_the_node() -> None:
    with Farm(images=ImagesSection().folder, projects=["other"]) as farm, started(farm.settings_file) as server:
        farm.upstream.add_file("late", tiny_sdist("late"), filename="late-1.0.tar.gz")
        with transaction(farm.database) as session:
            users.add(session, "ada", Role.OPERATOR, password=GOOD, who="ada@host")
        scopes = [word for scope in ("read", "jobs:write", "nodes:write") for word in ("--scope", scope)]
        api = Api(server.url, farm.command("token", "add", "ada", "story", *scopes).split()[-1])

        asked = api.order("request", requirement="late", always=True)

        assert (asked["outcome"], asked["who"]) == ("done", "ada (token story)"), asked
        _wait("the wheel is there", lambda: api.call("/wheels?project=late")["items"])
        [wheel] = api.call("/wheels?project=late")["items"]
        assert wheel["filename"] == "late-1.0-py3-none-any.whl"
        assert api.order("rebuild", builds="late==1.0")["outcome"] == "done"
        [node] = api.call("/nodes")["items"]
        assert api.order("node-drain", node=node["name"])["outcome"] == "done"
        assert api.call("/nodes")["items"][0]["state"] == "draining"
        refused = api.order("hold", builds="nothing-like-it")
        assert (refused["outcome"], "the farm has no build of" in refused["told"]) == ("refused", True)
        did = {(entry["who"], entry["action"]) for entry in api.call("/audit")["items"]}
        assert {("ada (token story)", action) for action in ("request", "rebuild", "drain")} <= did
        assert api.order("coverage", text="late\n")["result"]["requirements"][0]["status"] == "have"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            Api(server.url, "wf_none").call("/me")
