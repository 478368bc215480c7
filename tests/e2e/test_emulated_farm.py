"""A farm on this machine builds for ARM: from a request to pip in a clean image of that platform."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from builder import emulation
from builder.images import Image
from schema.wheels import machines
from schema.wheels.archive import read
from tests.whole_farm import Farm

ARM = [arch for arch in ("aarch64", "armv7l") if not emulation.is_native(arch)]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root has the kernel emulate")]


@pytest.fixture(scope="module")
def built(farm: Farm, emulated_image: Callable[[str], Image]) -> Farm:
    """A farm that has built, installed and imported a project with an extension on each platform of ARM."""
    platforms = [str(emulated_image(arch).platform) for arch in ARM]
    text = farm.settings_file.read_text()
    farm.settings_file.write_text(text.replace("[farm]\n", f"[farm]\nplatforms = {json.dumps(platforms)}\n"))
    wishes = farm.folder / "list.toml"
    wishes.write_text('build = "always"\nprojects = ["markupsafe"]\n')

    process = farm.start("--list", wishes, "--until-idle")

    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said + (farm.folder / "run.log").read_text()[-3000:]
    return farm


@pytest.mark.parametrize("arch", ARM)
def test_the_wheel_is_published_portable_and_of_that_machine(arch: str, built: Farm) -> None:
    files = built.folder / "home" / "site" / "files"

    (wheel,) = (file for file in files.glob("markupsafe-*.whl") if arch in file.name)

    assert "manylinux_2_17" in wheel.name
    with read(wheel) as archive:
        assert any(f".cpython-311-{machines.multiarch(arch)}.so" in name for name in archive.names)


def test_the_attestation_names_what_ran_the_build(built: Farm) -> None:
    (first, *_) = built.json("builds", "--state", "published", "--json")
    wheel = next(
        file
        for file in (built.folder / "home" / "site" / "files").glob("markupsafe-*.whl")
        if first["platform"].split("-")[1] in file.name
    )

    told = built.call("verify", wheel)

    assert told.returncode == 0, told.stderr
    assert "1 emulator" in told.stdout


def test_operators_see_what_the_node_emulates(built: Farm) -> None:
    (node,) = built.json("node", "list", "--json")

    assert sorted(node["emulated"]) == sorted(node["platforms"])
    assert "(emulated)" in built.call("node", "list").stdout


def test_the_image_it_was_built_in_is_listed_with_its_emulation(built: Farm) -> None:
    listed = subprocess.run(
        built.command("image", "list", "--json", module="builder.cli"),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(built.folder),
    )

    found = {item["name"]: item["emulation"] for item in json.loads(listed.stdout)}
    assert all(found[f"debian12-{arch}"] == "hybrid" for arch in ARM)
