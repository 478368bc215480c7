"""An interpreter that the distribution has not makes a second image, or is refused with the reason."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builder import debian, images, process
from builder.images import Image, Interpreter, build_variables, identity
from builder.images.tarball import Limits
from builder.log import Log
from schema.errors import EmulationError, ImageError
from schema.names import Sha256, sha256_of
from schema.platforms import Platform, this_machine
from schema.states import Emulation
from schema.wheels import machines
from tests.builder.images.records import copied, recorded
from tests.builder.images.tars import Item, file, link, tar
from tests.schema.wheels.forge import versioned_object

HERE = Platform.parse(f"debian12-{this_machine()}-cp313")
MACHINE = machines.identity(this_machine())[0]
PROGRAM = versioned_object(needs={"libc.so.6": "GLIBC_2.36"}, machine=MACHINE)
HEADER = file("python/include/python3.13/Python.h", b"")
LIBRARY = file("python/lib/python3.13/os.py", b"")
DATA = file("python/lib/python3.13/_sysconfigdata__linux_.py", b"")


def _silent(_text: str, _done: float | None) -> None:
    pass


def _program(data: bytes = PROGRAM) -> Item:
    return file("python/bin/python3.13", data, mode=0o755)


@pytest.fixture
def base(image: Image, reachable: Path) -> Path:
    """A folder of images with the shared one."""
    (reachable / "images").mkdir(mode=0o755)
    (reachable / "images" / image.name).symlink_to(image.folder)
    return reachable / "images"


def _refused(base: Path, *items: Item, platform: Platform = HERE) -> str:
    """Why no image comes of a tarball; nothing may be left of it."""
    before = {path.name for path in base.iterdir()} | {f".{platform.image}.lock"}
    archive = tar(base.parent / "t.tar", *items)
    with pytest.raises(ImageError) as raised:
        images.add_python(base, platform, archive, progress=_silent)
    assert {path.name for path in base.iterdir()} == before
    return str(raised.value)


def test_the_interpreter_of_the_distribution_itself_is_not_added(base: Path) -> None:
    with pytest.raises(ImageError, match=f"cp311 is what Debian 12 has itself .*image make {HERE.view}"):
        images.add_python(base, Platform.of_image(HERE.view), tar(base / "t.tar"), progress=_silent)


def test_without_the_distributions_image_the_command_that_makes_it_is_told(reachable: Path) -> None:
    told = _refused(reachable, _program(), LIBRARY, HEADER)

    assert f"wheelfarm image make {HERE.view}" in told


def test_what_this_machine_does_not_run_is_refused(reachable: Path) -> None:
    with pytest.raises(EmulationError, match="does not run programs of s390x"):
        images.add_python(reachable, Platform.parse("debian12-s390x-cp313"), tar(reachable / "t.tar"), progress=_silent)


def test_another_tarball_than_was_meant_is_refused_before_it_is_opened(base: Path) -> None:
    archive = tar(base.parent / "t.tar", _program())

    with pytest.raises(ImageError, match=f"t.tar has the sha256 {sha256_of(archive)}, not {'0' * 64}"):
        images.add_python(base, HERE, archive, sha256=Sha256("0" * 64), progress=_silent)


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([file("python/bin/pip", b"")], "no bin/python3.13 with lib/python3.13 beside it, but no interpreter at all"),
        ([file("bin/python3.12", PROGRAM), LIBRARY], "beside it, but python3.12"),
        ([_program(), HEADER], "beside it, but python3.13"),
        ([link("python/bin/python3.13", "python3"), LIBRARY, HEADER], "beside it"),
        ([link("python/bin", "/usr/bin"), LIBRARY, HEADER], "beside it"),
        ([_program(), LIBRARY, file("b/bin/python3.13"), file("b/lib/python3.13/os.py")], "has 2 interpreters"),
        ([_program(), LIBRARY], "it has no headers"),
        ([_program(b"#!/bin/sh\n"), LIBRARY, HEADER], "bin/python3.13 is no program"),
        ([_program(b"\x7fELF" + b"\xff" * 60), LIBRARY, HEADER], "bin/python3.13 cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_whole_interpreter_of_that_version_is_refused(
    items: Sequence[Item], reason: str, base: Path
) -> None:
    assert reason in _refused(base, *items)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (versioned_object(needs={"libc.so.6": ""}, machine=22), "is for machine 22 with 64 bits"),
        (
            versioned_object(needs={"libc.so.6": "GLIBC_2.38"}, machine=MACHINE),
            "needs GLIBC_2.38, but Debian 12 has 2.36",
        ),
        (
            versioned_object(needs={"libpython3.13.so.1.0": ""}, machine=MACHINE),
            "does not look for libpython3.13.so.1.0 beside itself: compile it without --enable-shared, or patchelf",
        ),
    ],
)
def test_a_program_that_would_not_run_there_is_refused_unrun(program: bytes, reason: str, base: Path) -> None:
    told = _refused(base, _program(program), LIBRARY, HEADER)

    assert f"bin/python3.13 {reason}" in told


def test_a_module_of_another_machine_is_refused_as_well(base: Path) -> None:
    module = file("python/lib/python3.13/lib-dynload/math.so", versioned_object(needs={}, machine=22))

    assert "lib-dynload/math.so is for machine 22" in _refused(base, _program(), LIBRARY, HEADER, module)


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../../../etc/passwd", "../../..", "down/../../../../x", "down/../x", "./../../../.."]
)
def test_a_link_that_may_lead_out_is_refused(target: str, base: Path) -> None:
    down = file("python/lib/python3.13/down/file", b"")
    escape = link("python/lib/python3.13/escape", target)

    told = _refused(base, _program(), LIBRARY, HEADER, down, escape)

    assert "the link lib/python3.13/escape leads out of it" in told


def test_a_way_up_in_the_tarball_and_too_much_of_it_are_refused(base: Path) -> None:
    assert "'..'" in _refused(base, file("../x", b""))
    with pytest.raises(ImageError, match="larger than"):
        images.add_python(
            base, HERE, tar(base.parent / "t.tar", _program()), limits=Limits(most_bytes=100), progress=_silent
        )


def _answers(variables: str, told: str) -> str:
    """An interpreter that says the first when asked for its variables, and the second when asked for itself."""
    first, second = (json.dumps(text) for text in (variables, told))
    return (
        "#include <stdio.h>\n#include <string.h>\nint main(int count, char **words) {"
        f' puts(count > 3 && strstr(words[3], "lacking") ? {second} : {first}); return 0; }}'
    )


@pytest.mark.parametrize(
    ("variables", "told", "reason"),
    [
        ("nothing of the kind", "", "was compiled with makes no sense"),
        ("[" * 100_000, "", "was compiled with makes no sense"),
        ('{"prefix": ["/install"]}', "", "was compiled with makes no sense"),
        ('{"prefix": "no path"}', "", "which prefix it was compiled for"),
        ('{"prefix": "/install"}', "{}", "of itself makes no sense"),
        ('{"prefix": "/install"}', '{"python": "3.12.1", "lacking": {}}', "is 3.12.1, not cp313"),
        (
            '{"prefix": "/install"}',
            '{"python": "3.13.0", "lacking": {"ssl": "libssl.so.1.1: cannot open shared object file"}}',
            "it lacks: ssl (libssl.so.1.1: cannot open shared object file)",
        ),
    ],
)
def test_an_interpreter_that_lies_gets_no_further_than_its_lie(
    variables: str, told: str, reason: str, reachable: Path, compile_c: Callable[[str], bytes]
) -> None:
    image, liar = recorded(reachable / "images", HERE.view), compile_c(_answers(variables, told))
    (image.root / "usr/bin").mkdir(parents=True)
    (image.root / "usr/bin/python3").write_bytes(liar)
    (image.root / "usr/bin/python3").chmod(0o755)

    assert reason in _refused(reachable / "images", _program(liar), LIBRARY, HEADER, DATA)


@pytest.mark.slow
def test_what_compiles_nothing_is_refused(base: Path, compile_c: Callable[[str], bytes]) -> None:
    liar = compile_c(_answers('{"prefix": "/install"}', '{"python": "3.13.0", "lacking": {}}'))

    assert "nothing can be built with the interpreter: " in _refused(base, _program(liar), LIBRARY, HEADER, DATA)


@pytest.mark.parametrize("taken", ["opt", "opt/python"])
def test_no_link_of_an_imported_image_is_followed(taken: str, reachable: Path) -> None:
    image, outside = recorded(reachable / "images", HERE.view), reachable / "outside"
    outside.mkdir()
    (image.root / taken).parent.mkdir(exist_ok=True)
    (image.root / taken).symlink_to(outside)

    told = _refused(reachable / "images", _program(), LIBRARY, HEADER)

    assert f"{taken} is no folder in {HERE.view}" in told
    assert list(outside.iterdir()) == []


def test_what_lies_in_its_place_is_not_replaced(reachable: Path) -> None:
    image = recorded(reachable / "images", HERE.view)
    (image.root / "opt/python/cp313").mkdir(parents=True)

    assert "has something in opt/python/cp313 already" in _refused(reachable / "images", _program(), LIBRARY, HEADER)


@pytest.fixture
def listed(tmp_path: Path) -> Image:
    """An image of next to nothing that says it has an added interpreter."""
    image = recorded(tmp_path, str(HERE))
    image = replace(image, interpreter=Interpreter(file="a.tar", sha256=Sha256("1" * 64), base=Sha256("2" * 64)))
    images.write(image)
    return image


def test_it_is_found_by_its_platform_and_its_interpreter_is_not_the_distributions(listed: Image) -> None:
    assert images.find(listed.folder.parent, HERE.image) == listed
    assert listed.platform == HERE
    assert listed.program == "/opt/python/cp313/bin/python3.13"


def test_the_record_of_an_image_that_was_made_before_there_were_any_is_read(listed: Image) -> None:
    file = listed.folder / "image.json"
    record = json.loads(file.read_text())
    del record["interpreter"]
    file.write_text(json.dumps(record))

    assert images.read(listed.folder).interpreter is None


def test_another_tarball_never_replaces_the_interpreter(listed: Image, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=f"there is an image {HERE} already, of another tarball .*remove"):
        images.add_python(listed.folder.parent, HERE, tar(tmp_path / "t.tar"), progress=_silent)


def test_it_stands_in_for_no_other(listed: Image) -> None:
    other = replace(HERE, arch="s390x").image
    emulated = replace(listed, name=other, folder=listed.folder.parent / other, emulation=Emulation.FULL)

    assert images.stand_in(emulated) is emulated


def test_it_is_neither_made_nor_exported_nor_imported_but_added_again(listed: Image, tmp_path: Path) -> None:
    again = f"wheelfarm image add-python {HERE} --from"

    with pytest.raises(ImageError, match=f"there is no image {HERE} in .*{again} TARBALL"):
        images.make(tmp_path / "none", str(HERE), progress=_silent)
    with pytest.raises(ImageError, match=f"export {HERE.view}, and there {again} a.tar"):
        images.export(listed, tmp_path / "b.tar.zst", progress=_silent)
    with pytest.raises(ImageError, match=f"import {HERE.view}, then {again} TARBALL"):
        images.adopt(tmp_path / "none", str(HERE), tar(tmp_path / "t.tar"), progress=_silent)


@dataclass(frozen=True, kw_only=True)
class Added:
    """The image that came of a real interpreter, its base, a copy of the shared one, and what was told meanwhile."""

    image: Image
    base: Image
    archive: Path
    told: list[str]


@pytest.fixture(scope="module")
def added(image: Image, other_python: tuple[Platform, Path]) -> Iterator[Added]:
    platform, archive = other_python
    folder, told = Path(tempfile.mkdtemp(prefix="wf-added-")), []
    folder.chmod(0o755)
    copied(folder, image)
    made = images.add_python(folder, platform, archive, progress=lambda text, _: told.append(text))
    yield Added(image=made, base=images.find(folder, image.name), archive=archive, told=told)
    process.remove(folder)


@pytest.mark.slow
def test_it_builds_is_recorded_and_leaves_its_base_as_it_was(added: Added) -> None:
    made, base = added.image, added.base

    assert images.check(made) == []
    assert images.installed(base.folder.parent) == [base, made]
    assert made.interpreter == Interpreter(file=added.archive.name, sha256=sha256_of(added.archive), base=base.digest)
    assert (made.packages, made.libraries, made.origin) == (base.packages, base.libraries, base.origin)
    assert made.python.startswith(f"3.{made.platform.python_version[1]}.")
    assert images.bare(made).program == made.program
    assert images.tree_digest(base.root) == base.digest
    assert added.told[-1] == "done"


@pytest.mark.slow
def test_builds_are_told_of_the_images_compiler_and_nothing_of_whoever_made_the_interpreter(added: Added) -> None:
    made, variables = added.image, {}
    for program in (made.program, "/usr/bin/python3"):
        said = identity.said(made.root, made.platform, [program, "-I", "-c", build_variables.SCRIPT], {})
        variables[program] = build_variables.read(said)
    its, own = variables.values()

    for name in ("CC", "CXX", "AR", "CFLAGS", "LDSHARED"):
        assert its[name] == own[name]
    assert its["LIBPC"] == f"/opt/python/{made.platform.python}/lib/pkgconfig"
    assert not [name for name, value in its.items() if "/install/" in str(value) or "clang" in str(value)]


@pytest.mark.slow
def test_the_distributions_own_interpreter_is_still_there_for_its_scripts(added: Added) -> None:
    said = identity.said(added.image.root, added.base.platform, ["/usr/bin/python3", "--version"], {})

    assert said.split() == ["Python", added.base.python]


@pytest.mark.slow
def test_of_the_same_tarball_it_is_not_made_again(added: Added) -> None:
    before, told = (added.image.folder / "image.json").stat().st_mtime_ns, []

    again = images.add_python(
        added.base.folder.parent, added.image.platform, added.archive, progress=lambda text, _: told.append(text)
    )

    assert (again, told) == (added.image, [])
    assert (added.image.folder / "image.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_debian_packages_are_added_to_it_as_to_every_image(added: Added, log: Log, cancelled: threading.Event) -> None:
    derived = debian.with_packages(added.image, ["libffi-dev"], log=log, cancelled=cancelled)

    assert "libffi-dev" in derived.packages
    assert (derived.program, derived.interpreter) == (added.image.program, added.image.interpreter)


@pytest.mark.slow
def test_it_needs_its_base_no_more(added: Added) -> None:
    away = added.base.folder.with_name("away")
    added.base.folder.rename(away)
    try:
        assert images.check(added.image) == []
        assert images.find(away.parent, added.image.name) == added.image
    finally:
        away.rename(added.base.folder)
