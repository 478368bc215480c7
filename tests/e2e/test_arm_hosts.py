"""Two commands make a bare ARM machine a node: what it builds for a master elsewhere, pip installs on such a machine.

The machines are emulated, each with an sshd and name spaces of its own. ``make e2e-arm`` has them make their images
themselves, and build all of paramiko.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builder import emulation
from tests import remote_node
from tests.hosts import host
from tests.remote_node import Deployed

# make e2e-arm: armv7l as well, where cffi has to be compiled before the farm itself is installed.
ARM = [arch for arch in os.environ.get("WHEELFARM_ARM", "aarch64").split() if not emulation.is_native(arch)]
# Requirements of which each is built, whatever wheels the upstream has.
PROJECTS = os.environ.get("WHEELFARM_ARM_PROJECTS", "markupsafe").split()
NAMES = [canonicalize_name(Requirement(text).name) for text in PROJECTS]
_PATIENCE_S = float(os.environ.get("WHEELFARM_ARM_PATIENCE_S", "900"))
_MAKES_IMAGES = os.environ.get("WHEELFARM_ARM_IMAGES") == "made"  # itself, which takes longer than all else
_MODULES = {"pynacl": "nacl", "pycparser": "pycparser"}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root makes machines")]


@pytest.fixture(scope="module", params=ARM)
def built(request: pytest.FixtureRequest) -> Iterator[Deployed]:
    """A farm whose only node was a bare machine, once all that was asked for has its end."""
    arch = request.param
    emulation.enable(arch)
    variables = [] if _MAKES_IMAGES else [f"node_images_from={remote_node.exported(arch)}"]
    with contextlib.ExitStack() as stack:
        machine = stack.enter_context(host(f"node-{arch}", arch=arch))
        made = stack.enter_context(remote_node.deployed(machine, f"debian12-{arch}-cp311", *variables))
        made.build(*PROJECTS, patience_s=_PATIENCE_S)
        yield made


def test_the_machine_tells_that_it_builds_for_itself(built: Deployed) -> None:
    (node,) = built.farm.json("node", "list", "--json")

    assert (node["name"], node["platforms"], node["emulated"]) == (remote_node.NODE, [built.platform], [])


@pytest.mark.parametrize("project", NAMES)
def test_what_was_asked_for_is_built_there_and_published(project: str, built: Deployed) -> None:
    states = {row["project"]: row["state"] for row in built.farm.json("builds", "--json")}

    assert states[project] == "published", built.farm.call("why", project).stdout[-3000:]


def test_pip_installs_wheels_from_the_view_alone_in_a_clean_machine_and_they_are_imported(built: Deployed) -> None:
    view = built.platform.rpartition("-")[0]
    index = f"http://{built.machine.gateway}:{built.farm.port}/{view}/simple/"
    modules = ", ".join(_MODULES.get(name, name.replace("-", "_")) for name in NAMES)
    with host("clean", arch=view.partition("-")[2]) as clean:
        pip = f"/environment/bin/pip install --only-binary :all: --trusted-host {built.machine.gateway}"
        for command in (
            "apt-get -qq update && apt-get -qq install --no-install-recommends python3-venv",
            "python3 -m venv /environment",
            f"{pip} --index-url {index} {' '.join(NAMES)}",
            f"/environment/bin/python -c 'import {modules}'",
        ):
            done = clean.ssh(command, timeout_s=1800)
            assert done.returncode == 0, done.stdout + done.stderr
