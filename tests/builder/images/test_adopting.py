"""A root file system from elsewhere becomes an image if it is what its name says, and nothing is left of it if not."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builder import bytecode, debian, emulation, images, process
from builder.debian_index import making
from builder.images import Image, Interpreter, tree
from builder.images.tarball import Limits
from builder.log import Log
from schema.errors import EmulationError, ImageError, PackagesError, UnknownPlatformError
from schema.names import sha256_of
from schema.platforms import Platform, this_machine
from schema.states import Emulation
from tests.builder.images.conftest import compiled
from tests.builder.images.records import copied
from tests.builder.images.tars import Item, file, folder, link, tar

HERE = f"debian12-{this_machine()}"
ETC = file("etc/os-release", b'ID=debian\nVERSION_ID="12"\n')


def _silent(_text: str, _done: float | None) -> None:
    pass


def _refused(reachable: Path, *items: Item, name: str = HERE) -> str:
    """Why a tarball is no image; nothing may be left of it."""
    archive = tar(reachable / "t.tar", *items)
    with pytest.raises(ImageError) as raised:
        images.adopt(reachable / "images", name, archive, progress=_silent)
    assert [path.name for path in (reachable / "images").iterdir()] == [f".{name}.lock"]
    return str(raised.value)


def _python(program: bytes) -> Item:
    return file("usr/bin/python3", program, mode=0o755)


def test_what_is_no_root_file_system_is_refused(reachable: Path) -> None:
    told = _refused(reachable, file("manifest.json", b"[]"), file("layer/layer.tar", b""))

    assert "no root file system: it has no folder usr" in told
    assert "docker export" in told


@pytest.mark.parametrize("name", ["usr", "etc"])
def test_a_folder_of_the_root_that_leads_out_is_refused(name: str, reachable: Path) -> None:
    others = [folder(other) for other in ("usr", "etc") if other != name]

    assert f"it has no folder {name}" in _refused(reachable, link(name, f"/{name}"), *others)


@pytest.mark.parametrize(
    "python",
    [
        file("usr/bin/sh", b""),
        link("usr/bin/python3", "/usr/bin/python3.11"),
        link("usr/bin/python3", "../../../../../../usr/bin/env"),
        link("usr/bin/python3", "python3"),
        file("usr/bin/python3", b"#!/bin/sh\necho 3.11.2\n"),
        file("usr/bin/python3", b"\x7fELF" + b"\xff" * 60),
    ],
)
def test_an_interpreter_that_is_not_in_the_root_or_is_no_program_is_refused(python: Item, reachable: Path) -> None:
    told = _refused(reachable, ETC, python)

    assert "no /usr/bin/python3 of its own" in told or "cannot be read" in told


def test_an_interpreter_that_does_not_run_is_refused(reachable: Path, compile_c: Callable[[str], bytes]) -> None:
    broken = compile_c('#include <stdio.h>\nint main(void) { puts("\\033[2Jno libraries"); return 3; }')

    told = _refused(reachable, ETC, _python(broken))

    assert "does not work: no libraries" in told


def _says(**fields: object) -> str:
    """What the script would print, as a C string."""
    told = {"implementation": "CPython", "python": "3.11.2", "id": "debian", "version": "12", "packages": {}} | fields
    return json.dumps(json.dumps(told))[1:-1]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("nothing of the kind", "makes no sense"),
        ("[1, 2]", "makes no sense"),
        (_says(packages=[1]), "makes no sense"),
        ("[" * 100_000, "makes no sense"),
        (_says(id="alp\x1b[2Jine", version="3"), "its /etc/os-release says alpine 3, not debian 12"),
        (_says(python="3.9.2"), "its python3 is CPython 3.9.2, not CPython 3.11"),
        (_says(implementation="PyPy"), "its python3 is PyPy 3.11.2, not CPython 3.11"),
        (_says(packages={"a": 1}), "nothing can be built in it: what its interpreter says makes no sense"),
    ],
)
def test_an_interpreter_that_lies_gets_no_further_than_its_lie(
    said: str, reason: str, reachable: Path, compile_c: Callable[[str], bytes]
) -> None:
    liar = compile_c(f'#include <stdio.h>\nint main(void) {{ puts("{said}"); return 0; }}')

    told = _refused(reachable, ETC, _python(liar))

    assert reason in told
    assert "\x1b" not in told


def test_an_interpreter_that_wants_to_write_finds_the_image_closed(
    reachable: Path, compile_c: Callable[[str], bytes]
) -> None:
    writes = compile_c(
        "#include <fcntl.h>\n#include <stdio.h>\n#include <sys/stat.h>\nint main(void) {"
        ' int a = open("/usr/x", O_CREAT | O_WRONLY, 0600), b = open("/etc/os-release", O_RDWR);'
        ' int c = chmod("/usr/bin/python3", 04755), d = open("/etc/shadow", O_RDONLY);'
        ' printf("%d %d %d %d", a, b, c, d); return 1; }'
    )

    assert "does not work: -1 -1 -1 -1" in _refused(reachable, ETC, _python(writes))


@pytest.mark.parametrize("planted", ['symlink("/etc/passwd", FILE)', "mkfifo(FILE, 0666)", "mkdir(FILE, 0700)"])
def test_of_a_strange_interpreters_byte_code_only_plain_files_are_taken(
    planted: str, reachable: Path, compile_c: Callable[[str], bytes]
) -> None:
    plants = compile_c(
        "#include <sys/stat.h>\n#include <unistd.h>\nint main(void) {"
        ' chdir("/target/tools"); mkdir("__pycache__", 0755); symlink("/etc", "also"); rename("a.py", "b.py");'
        f" return {planted.replace('FILE', chr(34) + '__pycache__/a.cpython-311.pyc' + chr(34))}; }}"
    )
    root, tools = reachable / "root", reachable / "tools"
    for folder_of in (root / "usr/bin", root / "etc", tools):
        folder_of.mkdir(parents=True)
    (root / "usr/bin/python3").write_bytes(plants)
    (root / "usr/bin/python3").chmod(0o755)
    (tools / "a.py").write_text("A = 1\n")

    with pytest.raises(ImageError, match="byte code that the image makes cannot be read"):
        bytecode.compile_apart(root, {"/tools": tools})

    assert [path.name for path in tools.rglob("*")] == ["a.py"]


def test_a_name_that_is_no_platform_is_refused(reachable: Path) -> None:
    with pytest.raises(UnknownPlatformError):
        images.adopt(reachable, "alpine3.20-x86_64", reachable / "t.tar", progress=_silent)


def test_what_this_machine_does_not_run_is_refused_before_anything_is_unpacked(reachable: Path) -> None:
    with pytest.raises(EmulationError, match="does not run programs of s390x"):
        images.adopt(reachable / "images", "debian12-s390x", tar(reachable / "t.tar", ETC), progress=_silent)

    assert not (reachable / "images").exists()


def test_an_image_that_is_there_is_never_replaced(reachable: Path) -> None:
    (reachable / HERE).mkdir()

    with pytest.raises(ImageError, match=f"there is an image {HERE} already .*remove"):
        images.adopt(reachable, HERE, tar(reachable / "t.tar", ETC), progress=_silent)


def test_the_most_that_may_come_out_holds_for_an_import(reachable: Path) -> None:
    with pytest.raises(ImageError, match="larger than"):
        images.adopt(
            reachable,
            HERE,
            tar(reachable / "t.tar", ETC, file("usr/x", bytes(2**20))),
            limits=Limits(most_bytes=2**19),
            progress=_silent,
        )


@pytest.fixture(scope="module")
def exported(image: Image, tmp_path_factory: pytest.TempPathFactory) -> tuple[Image, Path, Path]:
    """The shared image as a farm of this version makes it (no file with another user's rights), and its tarballs."""
    folder = tmp_path_factory.mktemp("exported")
    copy = copied(folder, image, sharing=False).folder
    for root in (copy / "root", copy / "bare" / "root"):
        tree.tame(root)
    bare = replace(images.bare(image), folder=copy / "bare", digest=images.tree_digest(copy / "bare" / "root"))
    tame = replace(image, folder=copy, digest=images.tree_digest(copy / "root"))
    images.write(bare)
    images.write(tame)
    images.export(tame, folder / "image.tar.zst", progress=_silent)
    images.export(bare, folder / "bare.tar.zst", progress=_silent)
    return tame, folder / "image.tar.zst", folder / "bare.tar.zst"


@pytest.fixture(scope="module")
def adopted(exported: tuple[Image, Path, Path]) -> Iterator[Image]:
    """What comes of them elsewhere, where the build user can reach it."""
    _, archive, bare = exported
    elsewhere = Path(tempfile.mkdtemp(prefix="wf-images-"))
    elsewhere.chmod(0o755)
    yield images.adopt(elsewhere, HERE, archive, bare=bare, progress=_silent)
    process.remove(elsewhere)


@pytest.mark.slow
def test_an_image_that_was_exported_is_the_same_where_it_is_imported(
    exported: tuple[Image, Path, Path], adopted: Image
) -> None:
    tame, archive, _ = exported

    assert adopted.digest == tame.digest
    assert images.bare(adopted).digest == images.bare(tame).digest
    assert images.check(adopted) == []
    assert (adopted.python, adopted.packages, adopted.emulation) == (tame.python, tame.packages, tame.emulation)
    assert adopted.origin == images.Origin(file="image.tar.zst", sha256=sha256_of(archive))
    assert images.find(adopted.folder.parent, HERE) == adopted
    assert images.installed(adopted.folder.parent) == [adopted]


@pytest.mark.slow
def test_an_export_has_the_same_bytes_each_time_and_replaces_nothing(
    exported: tuple[Image, Path, Path], adopted: Image, tmp_path: Path
) -> None:
    tame, archive, _ = exported

    images.export(adopted, tmp_path / "again.tar.zst", progress=_silent)

    assert sha256_of(tmp_path / "again.tar.zst") == sha256_of(archive)
    with pytest.raises(ImageError, match="is there already"):
        images.export(tame, archive, progress=_silent)
    with pytest.raises(ImageError, match="could not be written"):
        images.export(tame, tmp_path / "nowhere" / "a.tar.zst", progress=_silent)


def test_an_image_that_runs_in_part_on_the_machine_that_emulates_it_is_not_exported(
    image: Image, tmp_path: Path
) -> None:
    hybrid = replace(image, name="debian12-aarch64", emulation=Emulation.HYBRID)

    with pytest.raises(ImageError, match=r'would run on no aarch64 machine .*emulation = "full"'):
        images.export(hybrid, tmp_path / "a.tar.zst", progress=_silent)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_imported_image_that_was_changed_or_has_old_tools_is_told(adopted: Image, reachable: Path) -> None:
    process.run(["cp", "-a", str(adopted.folder), str(reachable)])
    image = images.find(reachable, HERE)
    (image.root / "usr/bin/new").write_text("")
    shutil.rmtree(image.tools / next(path.name for path in image.tools.glob("installer-*.dist-info")))

    assert any("import image.tar.zst again" in problem for problem in images.check(image))
    with pytest.raises(ImageError, match=f"wheelfarm image make {HERE}"):
        images.find(reachable, HERE)
    assert images.make(reachable, HERE, progress=_silent).origin == adopted.origin


@pytest.mark.slow
def test_an_imported_image_takes_no_debian_packages_and_stands_in_for_no_other(
    adopted: Image, log: Log, cancelled: threading.Event
) -> None:
    with pytest.raises(PackagesError, match=r"libpq-dev: no packages are added to .* imported"):
        debian.with_packages(adopted, ["libpq-dev"], log=log, cancelled=cancelled)
    with pytest.raises(ImageError, match="which was imported"):
        making.make(adopted, progress=_silent)
    assert debian.with_packages(adopted, ["gcc"], log=log, cancelled=cancelled) is adopted

    elsewhere = adopted.folder.parent / "debian12-s390x"
    emulated = replace(adopted, name=elsewhere.name, folder=elsewhere, emulation=Emulation.FULL)
    assert images.stand_in(emulated) is emulated


@pytest.mark.slow
def test_an_interpreter_is_added_to_it_and_of_both_it_is_known_where_they_are_from(
    adopted: Image, other_python: tuple[Platform, Path]
) -> None:
    platform, archive = other_python

    made = images.add_python(adopted.folder.parent, platform, archive, progress=_silent)

    try:
        assert images.check(made) == []
        assert (made.origin, images.bare(made).origin) == (adopted.origin, images.bare(adopted).origin)
        assert made.interpreter == Interpreter(file=archive.name, sha256=sha256_of(archive), base=adopted.digest)
    finally:
        process.remove(made.folder)


@pytest.mark.slow
def test_a_root_without_compilers_is_no_image_to_build_in(exported: tuple[Image, Path, Path], reachable: Path) -> None:
    _, _, bare = exported

    with pytest.raises(ImageError, match=r"nothing can be built in it: .*gcc") as raised:
        images.adopt(reachable / "images", HERE, bare, progress=_silent)

    assert "headers of its python3" in str(raised.value)
    assert not (reachable / "images" / HERE).exists()


@pytest.mark.slow
def test_without_a_bare_root_wheels_are_tried_where_they_are_built(
    exported: tuple[Image, Path, Path], reachable: Path
) -> None:
    _, archive, _ = exported

    image = images.adopt(reachable, HERE, archive, progress=_silent)

    assert images.bare(image).root.resolve() == image.root
    assert images.bare(image).digest == image.digest
    assert images.check(image) == []
    told = json.loads((image.folder / "image.json").read_text())
    assert told["origin"]["file"] == "image.tar.zst"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has the kernel emulate")
@pytest.mark.skipif(emulation.is_native("armv7l"), reason="the compilers here are cross compilers")
@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        ("gcc", "is made for a processor after ARMv6"),  # Debian's armhf
        ("arm-linux-gnueabi-gcc", "is soft-float"),  # armel
    ],
)
def test_only_an_armv6_system_with_hard_float_passes_for_raspberry_pi_os(
    compiler: str, reason: str, emulated_image: Callable[[str], Image], reachable: Path, log: Log
) -> None:
    image, out = emulated_image("armv7l"), reachable / "out"
    out.mkdir()
    if compiler != "gcc":
        image = debian.with_packages(image, ["gcc-arm-linux-gnueabi"], log=log, cancelled=threading.Event())
    (out / "a.c").write_text("void _start(void) { for (;;) ; }")
    program = compiled(image, out, f"{compiler} -nostdlib -o /out/a /out/a.c")

    told = _refused(
        reachable,
        file("etc/os-release", b"ID=raspbian\nVERSION_ID=12\n"),
        file("usr/bin/python3.11", program, mode=0o755),
        link("usr/bin/python3", "/usr/bin/python3.11"),
        name="raspbian12-armv6l",
    )

    assert "this is no image of raspbian12-armv6l" in told
    assert reason in told


def test_the_tarball_of_a_machine_of_another_architecture_is_refused(
    reachable: Path, compile_c: Callable[[str], bytes]
) -> None:
    other = next((arch for arch in ("i686", "armv7l") if emulation.is_native(arch) and arch != this_machine()), None)
    if other is None:
        pytest.skip("this machine runs its own architecture only")

    told = _refused(reachable, ETC, _python(compile_c("int main(void) { return 0; }")), name=f"debian12-{other}")

    assert f"this is no image of debian12-{other}: its interpreter is for machine" in told


def test_the_archive_may_be_a_stream_of_many_folders(reachable: Path) -> None:
    told: list[str] = []
    archive = reachable / "t.tar"
    with tarfile.open(archive, "w") as opened:
        for number in range(4500):
            opened.addfile(*file(f"usr/{number % 7}/{number}"))  # type: ignore[arg-type]

    with pytest.raises(ImageError):
        images.adopt(reachable / "images", HERE, archive, progress=lambda text, _: told.append(text))

    assert [text for text in told if text.startswith("unpacking: ")] == [
        "unpacking: 2000 files, 1 MiB",
        "unpacking: 4000 files, 2 MiB",
    ]
