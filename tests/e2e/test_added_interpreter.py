"""A farm on Debian 12 builds for another Python too: one distribution, two interpreters, one index for both."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder import images, process
from builder.images import Image
from schema.platforms import Platform
from schema.wheels import machines
from schema.wheels.archive import read
from tests import pythons
from tests.whole_farm import Farm, run_client, view_url

pytestmark = pytest.mark.slow

_ALL_OF_IT_S = 900


@dataclass(frozen=True, kw_only=True)
class Built:
    """A farm that has built a project with an extension for both, and the image of the added one."""

    farm: Farm
    image: Image
    told: tuple[str, str]  # of a run before it was added, and of the one after


@pytest.fixture(scope="module")
def built(farm: Farm, image: Image, other_python: tuple[Platform, Path]) -> Iterator[Built]:
    platform, archive = other_python
    folder = Path(tempfile.mkdtemp(prefix="wf-images-"))
    folder.chmod(0o755)
    (folder / image.name).symlink_to(image.folder)
    platforms = [str(image.platform), str(platform)]
    text = farm.settings_file.read_text().replace("[farm]\n", f"[farm]\nplatforms = {json.dumps(platforms)}\n")
    farm.settings_file.write_text(f'{text}[images]\nfolder = "{folder}"\n')
    (farm.folder / "list.toml").write_text('build = "always"\nprojects = ["markupsafe"]\n')
    before = farm.call("run", "--until-idle", "--list", farm.folder / "list.toml", timeout_s=120)
    assert before.returncode != 0
    farm.call("image", "add-python", platform, "--from", archive, "--json", timeout_s=_ALL_OF_IT_S).check_returncode()
    done = farm.call("run", "--until-idle", "--list", farm.folder / "list.toml", timeout_s=_ALL_OF_IT_S)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    yield Built(farm=farm, image=images.find(folder, platform.image), told=(before.stderr, done.stdout))
    process.remove(folder)


def test_before_it_is_added_the_farm_names_the_command_that_does_it(built: Built) -> None:
    assert f"wheelfarm image add-python {built.image.platform} --from TARBALL" in built.told[0]


def test_the_run_installed_and_imported_it_with_both(built: Built) -> None:
    assert built.told[1].count("installed and imported") == 2


def test_each_interpreter_has_a_wheel_of_its_own_from_its_own_image(built: Built) -> None:
    rows = built.farm.json("builds", "--state", "published", "--json")

    own = Platform.of_image(built.image.platform.view)
    assert sorted(row["platform"] for row in rows) == sorted(map(str, (own, built.image.platform)))
    files = built.farm.folder / "home" / "site" / "files"
    for platform in (own, built.image.platform):
        (wheel,) = files.glob(f"markupsafe-*-{platform.python}-{platform.python}-manylinux*.whl")
        with read(wheel) as archive:
            suffix = f".cpython-{platform.python[2:]}-{machines.multiarch(platform.arch)}.so"
            assert any(name.endswith(suffix) for name in archive.names)


def test_the_attestation_names_the_image_and_the_tarball(built: Built) -> None:
    files = built.farm.folder / "home" / "site" / "files"
    (wheel,) = files.glob(f"markupsafe-*-{built.image.platform.python}-*.whl")

    told = built.farm.json("verify", wheel, "--json")

    text = json.dumps(told)
    assert built.image.interpreter is not None
    assert built.image.digest in text
    assert built.image.interpreter.sha256 in text
    assert built.image.interpreter.file in text


def test_a_user_with_that_python_installs_the_wheel_from_the_view_without_a_compiler(
    built: Built, tmp_path: Path
) -> None:
    prefix, minor = pythons.found()
    python = tmp_path / "env" / "bin" / "python"
    made = run_client(prefix / "bin" / f"python3.{minor}", "-m", "venv", tmp_path / "env")
    assert made.returncode == 0, made.stderr
    built.farm.start("--list", built.farm.folder / "list.toml")
    built.farm.wait_until_it_serves()
    try:
        index = view_url(built.farm)
        installed = run_client(python, "-m", "pip", "install", "--index-url", index, "markupsafe")
    finally:
        built.farm.stop()

    assert installed.returncode == 0, installed.stderr
    imported = run_client(python, "-c", "import markupsafe._speedups as found; print(found.__file__)")
    assert f".cpython-3{minor}-" in imported.stdout, imported.stderr
