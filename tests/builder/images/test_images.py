"""An image is made whole or not at all, is found again, and is what it says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from builder import images, toolbox
from builder.images import Image
from schema.errors import EmulationError, ImageError, UnknownPlatformError
from schema.platforms import Platform, this_machine
from tests.builder.images.records import copied
from tests.builder.images.records import recorded as _record
from tests.builder.sandbox.conftest import as_nobody


def test_an_image_is_found_as_it_was_written(tmp_path: Path) -> None:
    image = _record(tmp_path, "debian12-x86_64")

    assert images.find(tmp_path, "debian12-x86_64") == image
    assert images.installed(tmp_path) == [image]
    assert str(image.platform) == "debian12-x86_64-cp311"


def test_an_image_that_is_not_there_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="wheelfarm image make debian12-aarch64"):
        images.find(tmp_path, "debian12-aarch64")


def test_an_image_with_the_tools_of_another_version_is_not_offered(tmp_path: Path) -> None:
    image = _record(tmp_path, "debian12-x86_64")
    (image.tools / toolbox.records(image.platform)[0]).rename(image.tools / "auditwheel-1.0.dist-info")

    with pytest.raises(ImageError, match="wheelfarm image make debian12-x86_64"):
        images.find(tmp_path, "debian12-x86_64")
    assert images.installed(tmp_path) == []


def test_an_image_of_a_farm_that_had_no_bare_roots_is_not_offered(tmp_path: Path) -> None:
    image = _record(tmp_path, "debian12-x86_64")
    shutil.rmtree(image.folder / "bare")

    with pytest.raises(ImageError, match="wheelfarm image make debian12-x86_64"):
        images.find(tmp_path, "debian12-x86_64")
    assert images.installed(tmp_path) == []


@pytest.mark.slow
def test_making_an_image_again_gives_it_the_bare_root_that_it_lacks(image: Image, reachable: Path) -> None:
    copy = copied(reachable, image)
    shutil.rmtree(copy.folder / "bare")
    (copy.folder / "image.json").unlink()
    images.write(replace(copy, libraries={}))

    made = images.make(reachable, image.name, progress=_silent)

    assert made.libraries == image.libraries
    assert images.bare(made).packages == images.bare(image).packages
    assert images.check(made) == []
    assert images.check(image) == []


def test_an_image_whose_bare_root_cannot_be_made_is_not_there(tmp_path: Path) -> None:
    image = _record(tmp_path, "debian12-x86_64")
    shutil.rmtree(image.folder / "bare")

    with pytest.raises(ImageError, match="no bare root of debian12-x86_64"):
        images.make(tmp_path, image.name, progress=_silent)

    assert not (image.folder / "bare").exists()
    assert not list(image.folder.glob(".making*"))


@pytest.mark.slow
def test_making_an_image_again_gives_it_the_tools_of_this_version(image: Image, reachable: Path) -> None:
    tools = copied(reachable, image).tools
    before = sorted(path.name for path in tools.iterdir())
    shutil.rmtree(tools / "installer")
    (tools / toolbox.records(image.platform)[1]).rename(tools / "installer-0.1.dist-info")

    images.make(reachable, image.name, progress=_silent)

    assert sorted(path.name for path in tools.iterdir()) == before
    tools.rename(tools.with_name(".old-tools"))  # as a maker leaves it that is killed between the two

    made = images.make(reachable, image.name, progress=_silent)

    assert sorted(path.name for path in made.tools.iterdir()) == before
    assert images.check(made) == []


def test_an_old_interpreter_gets_the_tools_that_still_run_on_it() -> None:
    new, old = (toolbox.tools_for(Platform.of_image(f"{name}-x86_64")) for name in ("debian12", "debian11"))

    assert new == toolbox.TOOLS
    assert [item.partition("==")[0] for item in old] == [item.partition("==")[0] for item in new]
    assert "installer==0.7.0" in old


def test_no_folder_has_no_images(tmp_path: Path) -> None:
    assert images.installed(tmp_path / "nowhere") == []


@pytest.mark.parametrize("broken", ["", "{}", '{"name": 1}', "[]"])
def test_a_broken_record_is_named_and_does_not_hide_the_others(tmp_path: Path, broken: str) -> None:
    whole = _record(tmp_path, "debian12-x86_64")
    _record(tmp_path, "debian12-aarch64")
    (tmp_path / "debian12-aarch64" / "image.json").write_text(broken)

    with pytest.raises(ImageError, match="broken"):
        images.find(tmp_path, "debian12-aarch64")
    assert images.installed(tmp_path) == [whole]


def test_the_digest_of_a_tree_depends_on_names_modes_links_and_bytes(tmp_path: Path) -> None:
    def tree(name: str, *, content: str = "x", mode: int = 0o644, link: str = "file", extra: str = "folder") -> str:
        root = tmp_path / name
        (root / extra).mkdir(parents=True)
        (root / "file").write_text(content)
        (root / "file").chmod(mode)
        (root / "link").symlink_to(link)
        return images.tree_digest(root)

    digests = [
        tree("one"),
        tree("content", content="y"),
        tree("mode", mode=0o755),
        tree("link", link="folder"),
        tree("name", extra="other"),
    ]

    assert len(set(digests)) == len(digests)
    assert tree("again") == digests[0]


def test_an_image_of_a_platform_that_nobody_knows_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(UnknownPlatformError):
        images.make(tmp_path, "hannah-montana-linux", progress=_silent)


def test_an_image_that_this_machine_cannot_run_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(EmulationError, match=r"does not run programs of s390x .*wheelfarm-node emulate s390x"):
        images.make(tmp_path, "debian12-s390x", progress=_silent)

    assert not (tmp_path / "debian12-s390x").exists()
    assert not list(tmp_path.glob(".making*"))


def test_what_is_unfinished_is_removed_whatever_happens(tmp_path: Path) -> None:
    (tmp_path / ".making-it" / "of a killed maker").mkdir(parents=True)

    def make() -> None:
        with images.unfinished(tmp_path, "it") as making:
            assert list(making.iterdir()) == []
            (making / "half").mkdir()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        make()

    assert list(tmp_path.iterdir()) == []


def test_the_shared_image_is_fit_to_build_in(image: Image) -> None:
    assert images.check(image) == []


def test_a_bare_root_has_the_same_interpreter_and_libraries_and_no_compiler(image: Image) -> None:
    bare = images.bare(image)

    assert bare.packages.items() < image.packages.items()
    assert (bare.name, bare.python, bare.platform) == (image.name, image.python, image.platform)
    assert not [
        name
        for name in bare.packages
        if name.endswith("-dev") or (name.startswith(("gcc-12", "cpp", "g++")) and not name.endswith("-base"))
    ]
    assert {"python3-venv", "ca-certificates", "libstdc++6", "libc6"} <= set(bare.packages)
    assert not (bare.root / "usr/bin/gcc").exists()
    assert not (bare.root / "usr/include/python3.11").exists()
    assert (bare.root / "usr/bin/python3").samefile(image.root / "usr/bin/python3")
    assert bare.tools.resolve() == image.tools.resolve()


def test_an_image_tells_which_package_has_a_library_that_only_came_with_the_compilers(image: Image) -> None:
    lost = set(image.packages) - set(images.bare(image).packages)

    assert image.libraries["libgomp.so.1"] == "libgomp1"
    assert image.libraries["libpython3.11.so.1.0"] == "libpython3.11"
    assert set(image.libraries.values()) <= lost
    assert "libz.so.1" not in image.libraries


def test_an_image_that_was_changed_or_does_not_fit_is_told(image: Image, tmp_path: Path) -> None:
    told = images.check(replace(image, digest=images.tree_digest(tmp_path), python="3.11.99"))

    assert any("3.11.99" in problem for problem in told)
    assert any("not those it was made of" in problem for problem in told)


def test_an_image_in_which_nothing_runs_is_told(tmp_path: Path) -> None:
    _record(tmp_path, "debian12-x86_64")

    told, *_ = images.check(
        replace(images.find(tmp_path, "debian12-x86_64"), added=(), digest=images.tree_digest(tmp_path))
    )

    assert told.startswith(("nothing runs in it", "its interpreter does not work"))


def test_nothing_of_the_making_machine_is_in_the_image(image: Image) -> None:
    root = image.root

    assert not (root / "etc/hostname").exists()
    resolv = root / "etc/resolv.conf"
    assert not resolv.exists() or resolv.read_text() == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="a plain user may well have user numbers")
def test_a_plain_user_without_user_numbers_is_told_what_root_must_do(reachable: Path) -> None:
    reachable.chmod(0o777)

    def make() -> str:
        try:
            images.make(reachable / "images", f"debian12-{this_machine()}", progress=_silent)
        except ImageError as err:
            return str(err)
        return ""

    told = as_nobody(make)

    assert "apt-get install uidmap" in told
    assert "usermod --add-subuids" in told


_MAKER = """
import sys
from pathlib import Path
from builder import images
images.make(Path(sys.argv[1]), sys.argv[2], progress=lambda text, done: print(done, text, flush=True))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can end all that mmdebstrap has started")
def test_a_maker_that_is_killed_leaves_no_image_and_nothing_that_goes_on(image: Image, reachable: Path) -> None:
    maker = subprocess.Popen(
        [sys.executable, "-c", _MAKER, str(reachable), image.name],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    with maker:
        assert maker.stdout is not None
        for line in maker.stdout:
            if "installing compiler" in line:  # now this machine's folders are mounted in it
                break
        maker.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 10
    while any(str(reachable) in command for command in _commands()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert images.installed(reachable) == []
    assert str(reachable) not in Path("/proc/self/mountinfo").read_text()
    with images.locked(reachable, image.name), images.unfinished(reachable, image.name) as making:
        assert list(making.iterdir()) == []


@pytest.mark.slow
def test_two_makers_at_once_make_one_image_that_is_fit(image: Image, reachable: Path) -> None:
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", _MAKER, str(reachable), image.name],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        for _ in range(2)
    ]
    said = [maker.communicate()[0] for maker in makers]

    assert [maker.returncode for maker in makers] == [0, 0]
    assert sorted("unpacking" in text for text in said) == [False, True]
    fractions = [float(line.split()[0]) for text in said for line in text.splitlines() if "unpacking" in text]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    made = images.find(reachable, image.name)
    assert images.check(made) == []
    assert sorted(path.name for path in made.root.iterdir()) == sorted(path.name for path in image.root.iterdir())
    assert json.loads((made.folder / "image.json").read_text())["made_at"].startswith("20")
    shutil.rmtree(made.folder)


def _silent(_text: str, _done: float | None) -> None:
    pass


def _commands() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found.append(entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
    return found
