"""``site.yml`` makes one bare Debian 12 a whole farm, its own node included; ``upgrade.yml`` brings another version.

The host has no systemd: the units are started by their command lines, and after the upgrade by the test again.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from schema.platforms import this_machine
from tests import hosts, remote_node
from tests.ansible import playing
from tests.ansible.playing import TREE, Played, Unit
from tests.hosts import Host

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root makes machines")]

_VIEW = f"debian12-{this_machine()}"
_UNITS = ("wheelfarm-master", "wheelfarm-web", "wheelfarm-node")
_NODE = "farm"  # as the inventory calls the machine
_NEWER = "0.1.1"
_PATIENCE_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Whole:
    """The machine, and how ``site.yml`` ended twice."""

    host: Host
    inventory: Path
    first: Played
    second: Played

    def call(self, command: str) -> str:
        return playing.wheelfarm(self.host, command)

    def json(self, command: str) -> Any:
        return json.loads(self.call(f"{command} --json"))

    def start(self) -> None:
        for name in _UNITS:
            Unit(name=name, host=self.host).start()

    def stop(self) -> None:
        for name in reversed(_UNITS):
            Unit(name=name, host=self.host).stop()

    def logs(self) -> str:
        return "\n".join(Unit(name=name, host=self.host).log()[-3000:] for name in _UNITS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    folder = tmp_path_factory.mktemp("whole")
    with hosts.host("whole") as host:
        inventory = playing.inventory(
            folder / "hosts.json",
            host,
            ("redis", "master", "web", "monitoring", "nodes"),
            wheelfarm_public_url=f"http://{host.address}",
            master_settings={"farm": {"platforms": [f"{_VIEW}-cp311"], "build": "always"}},
            node_images_from=str(remote_node.exported(this_machine())),
            node_trusted=True,
        )
        playing.make_usual(host)
        first = playing.play(inventory, "playbooks/site.yml", "--diff")
        second = playing.play(inventory, "playbooks/site.yml", "--diff")
        made = Whole(host=host, inventory=inventory, first=first, second=second)
        made.start()
        yield made


def test_the_second_run_changes_nothing(whole: Whole) -> None:
    assert whole.first.changed > 20
    assert whole.second.changed == 0, whole.second.said


def test_what_it_builds_is_on_its_page(whole: Whole) -> None:
    whole.call("request six")

    _wait_until_built(whole, "six")

    asked = (
        f"python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1/{_VIEW}/simple/six/').read())\""
    )
    assert "six-" in whole.host.ssh(asked).stdout


def test_an_upgrade_loses_no_build_and_the_node_goes_on_after_it(whole: Whole, tmp_path: Path) -> None:
    whole.call("request click idna toolz")

    playing.play(whole.inventory, "playbooks/upgrade.yml", "-e", f"wheelfarm_source={_newer(tmp_path)}")
    whole.stop()
    whole.start()

    assert len(whole.host.ssh("ls -d /var/backups/wheelfarm/2*Z").stdout.split()) == 1
    assert _NEWER in whole.call("--version")
    for project in ("click", "idna", "toolz"):
        _wait_until_built(whole, project)
    (node,) = whole.json("node list")
    assert (node["name"], node["state"]) == (_NODE, "active")


def _newer(folder: Path) -> Path:
    """A tree of the farm that differs by its version."""
    left_out = shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache", "build", "*.egg-info")
    tree = shutil.copytree(TREE.parent, folder / "newer", ignore=left_out)
    file = tree / "pyproject.toml"
    file.write_text(file.read_text().replace('\nversion = "', f'\nversion = "{_NEWER}"\n# was: "', 1))
    return tree


def _wait_until_built(whole: Whole, project: str) -> None:
    until = time.monotonic() + _PATIENCE_S
    while True:
        states = {build["project"]: build["state"] for build in whole.json("builds")}
        if states.get(project) == "published":
            return
        assert time.monotonic() < until, f"{states}\n{whole.call(f'why {project}')}\n{whole.logs()}"
        time.sleep(1)
