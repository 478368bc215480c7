"""``wheelfarm-node``, and ``wheelfarm image`` which hands over to it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from builder.images import Image
from tests import signing
from tests.whole_farm import Farm


def _node(farm: Farm, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = farm.command(*arguments, module="builder.cli")
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, cwd=farm.folder)


def test_it_tells_what_this_machine_can_do(farm: Farm) -> None:
    told = json.loads(_node(farm, "check", "--json").stdout)

    assert told["problems"] == []
    assert told["isolation"]["sandbox"].startswith("bubblewrap ")


@pytest.mark.parametrize("module", ["builder.cli", "master.cli"])
def test_the_images_of_the_machine_are_listed_by_both_commands(farm: Farm, module: str) -> None:
    command = farm.command("image", "list", "--json", module=module)

    listed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd=farm.folder)

    assert all(
        set(item) == {"name", "python", "packages", "emulation", "origin", "interpreter", "digest", "folder"}
        for item in json.loads(listed.stdout)
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["image", "make", "beos5-x86_64"], 2, "not a platform: 'beos5-x86_64'"),
        (["image", "check", "debian11-s390x"], 1, "there is no image debian11-s390x"),
        (["image", "import", "beos5-x86_64", __file__], 2, "not a platform: 'beos5-x86_64'"),
        (["image", "import", "debian11-x86_64", __file__], 1, "is no readable tarball"),
        (["image", "import", "debian11-x86_64", "/nowhere"], 2, "does not exist"),
        (["image", "export", "debian11-s390x", "/nowhere/image.tar.zst"], 1, "there is no image debian11-s390x"),
        (["try", "click"], 2, "which version of click?"),
        (["try", "not a name==1"], 2, "not a project name"),
        (["packages"], 2, "what does the build miss?"),
        (["packages", "--header", "; rm -rf"], 2, "no header that a package could bring"),
        (["packages", "--platform", "debian11-s390x-cp39", "zlib.h"], 1, "wheelfarm image make debian11-s390x"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_exit_code(farm: Farm, arguments: list[str], code: int, said: str) -> None:
    called = _node(farm, *arguments)

    assert (called.returncode, called.stdout) == (code, ""), called.stderr
    assert said in called.stderr
    assert "Traceback" not in called.stderr


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"build_id": 1}', "[" * 10_000])
def test_what_is_no_job_is_not_built(farm: Farm, tmp_path: Path, text: str) -> None:
    (tmp_path / "job.json").write_text(text)

    called = _node(farm, "build", tmp_path / "job.json", "--into", tmp_path / "out")

    assert (called.returncode, called.stdout) == (2, ""), called.stderr
    assert "no job:" in called.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_job_that_cannot_be_built_leaves_its_log_and_says_why(farm: Farm, tmp_path: Path) -> None:
    job = signing.job(platform="debian11-s390x-cp39")
    (tmp_path / "job.json").write_text(json.dumps(job.to_json()))

    called = _node(farm, "build", tmp_path / "job.json", "--into", tmp_path / "out", "--json")
    again = _node(farm, "build", tmp_path / "job.json", "--into", tmp_path / "out")

    told = json.loads(called.stdout)
    assert (called.returncode, told["outcome"], told["wheel"]) == (1, "node", None)
    assert "wheelfarm image make debian11-s390x" in told["message"]
    assert [item.name for item in (tmp_path / "out").iterdir()] == ["build.log"]
    assert again.returncode == 2
    assert "name a folder that is not there" in again.stderr


@pytest.mark.slow
def test_an_image_that_is_there_is_not_made_again(farm: Farm, image: Image) -> None:
    made = _node(farm, "image", "make", image.name, "--json")

    assert made.returncode == 0, made.stderr
    assert [json.loads(line)["digest"] for line in made.stdout.splitlines()] == [image.digest]


def test_a_key_is_made_once_and_replaced_only_if_that_is_asked_for(farm: Farm) -> None:
    first, again, other = (
        json.loads(_node(farm, "new-key", *options, "--json").stdout)
        for options in (("--if-missing",), ("--if-missing",), ())
    )

    assert (first["changed"], again) == (True, first | {"changed": False})
    assert Path(first["csr"]).read_text().startswith("-----BEGIN CERTIFICATE REQUEST")
    assert other["key"] != first["key"]
