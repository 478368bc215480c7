"""A portable wheel is tried in other images that its tags claim; here in copies of the one image, under other names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder import images, process
from builder.images import Image
from schema.errors import BuildFailedError
from schema.portability import Fate
from schema.states import FailureClass
from tests.builder.pipeline.archives import file, tar_of
from tests.builder.pipeline.conftest import Attempts
from tests.upstream import FakeUpstream

pytestmark = pytest.mark.slow

CALLS_CPLUSPLUS = """
#include <iostream>
#include <Python.h>
static struct PyModuleDef about = {PyModuleDef_HEAD_INIT, "linked"};
PyMODINIT_FUNC PyInit_linked(void) { std::cout << "made\\n"; return PyModule_Create(&about); }
"""
SETUP = "from setuptools import Extension, setup\nsetup(ext_modules=[Extension('linked', ['linked.cpp'])])\n"


@pytest.fixture
def elsewhere(attempt: Attempts, image: Image, workspace: Path) -> Callable[[str], Path]:
    """Add an image of that name to the workshop; answer its folder. It shares its files with the one image."""
    folder = workspace / "images"
    folder.mkdir()
    (folder / image.name).symlink_to(image.folder)
    attempt.workshop = replace(attempt.workshop, images=folder)
    bare = images.bare(image)

    def add(distribution: str) -> Path:
        name = f"{distribution}-{image.platform.arch}"
        made = folder / name
        (made / "bare").mkdir(parents=True)
        for target in (made, made / "bare"):
            (target / "tools").symlink_to(image.tools)
            (target / "apt").symlink_to(image.folder / "apt")
        (made / "bare" / "root").symlink_to(bare.root)
        images.write(replace(image, name=name, folder=made))
        images.write(replace(bare, name=name, folder=made / "bare"))
        return made

    return add


def changeable(image: Path) -> Path:
    """The root that wheels are tried in, as a copy of its own."""
    root = image / "bare" / "root"
    source = root.resolve()
    root.unlink()
    process.run(["cp", "-a", "--reflink=auto", str(source), str(root)])
    return root


def cplusplus() -> bytes:
    about = "Metadata-Version: 2.1\nName: linked\nVersion: 1.0\n"
    project = '[build-system]\nrequires = ["setuptools"]\n[project]\nname = "linked"\nversion = "1.0"\n'
    files = {"PKG-INFO": about, "pyproject.toml": project, "setup.py": SETUP, "linked.cpp": CALLS_CPLUSPLUS}
    return tar_of(*(file(f"linked-1.0/{name}", text.encode()) for name, text in files.items()))


def test_a_wheel_is_tried_nowhere_else_where_there_is_no_other_image(
    attempt: Attempts, elsewhere: Callable[[str], Path]
) -> None:
    del elsewhere  # only the one image is in its folder

    assert attempt("good-pure").portability == ()


def test_a_pure_wheel_is_imported_in_the_oldest_and_the_newest_image(
    attempt: Attempts, elsewhere: Callable[[str], Path], image: Image
) -> None:
    for distribution in ("debian13", "ubuntu2404", "ubuntu2204"):
        elsewhere(distribution)

    built = attempt("good-pure")

    arch = image.platform.arch
    assert [(item.image, item.fate) for item in built.portability] == [
        (f"ubuntu2204-{arch}", Fate.IMPORTED),
        (f"debian13-{arch}", Fate.IMPORTED),
    ]
    assert built.portability[0].why == "1 of 1 modules imported"
    assert f"trying it in debian13-{arch}" in attempt.log


def test_an_image_that_cannot_be_used_just_now_costs_a_build_nothing(
    attempt: Attempts, elsewhere: Callable[[str], Path]
) -> None:
    (elsewhere("debian13") / "bare" / "image.json").write_text("{}")

    built = attempt("good-pure")

    assert built.portability == ()
    assert "it could not be tried in debian13" in attempt.log


def test_what_does_not_import_elsewhere_is_told_and_the_wheel_stays(
    attempt: Attempts, elsewhere: Callable[[str], Path]
) -> None:
    (changeable(elsewhere("debian13")) / "etc/debian_version").unlink()

    built = attempt("only-here")

    (verdict,) = built.portability
    assert (verdict.fate, verdict.why) == (Fate.BROKEN, "ImportError: this is no Debian")


def test_compiled_files_are_loaded_where_there_is_no_interpreter_for_them(
    attempt: Attempts,
    elsewhere: Callable[[str], Path],
    upstream: FakeUpstream,
    real_wheels: Callable[[FakeUpstream], None],
) -> None:
    real_wheels(upstream)
    elsewhere("debian13")

    built = attempt("linked", cplusplus())

    (verdict,) = built.portability
    assert (verdict.fate, verdict.why) == (Fate.LOADS, "cp313 is not what it is for")
    assert "loading linked.cpython-311" in attempt.log


def test_a_tag_that_the_linker_of_another_image_finds_untrue_fails_the_build(
    attempt: Attempts,
    elsewhere: Callable[[str], Path],
    upstream: FakeUpstream,
    real_wheels: Callable[[FakeUpstream], None],
) -> None:
    real_wheels(upstream)
    (library,) = (changeable(elsewhere("debian13")) / "usr/lib").glob("*-linux-gnu/libstdc++.so.6")
    library.unlink()
    library.symlink_to("libz.so.1")

    with pytest.raises(BuildFailedError, match=r"claim Debian 13, where it does not load: linked.*GLIBCXX") as caught:
        attempt("linked", cplusplus())

    assert caught.value.failure_class is FailureClass.IMPORT


def test_a_library_that_is_missing_elsewhere_is_told_and_the_wheel_stays(
    attempt: Attempts,
    elsewhere: Callable[[str], Path],
    upstream: FakeUpstream,
    real_wheels: Callable[[FakeUpstream], None],
) -> None:
    real_wheels(upstream)
    (library,) = (changeable(elsewhere("debian13")) / "usr/lib").glob("*-linux-gnu/libstdc++.so.6")
    library.unlink()

    built = attempt("linked", cplusplus())

    (verdict,) = built.portability
    assert verdict.fate is Fate.BROKEN
    assert "libstdc++.so.6: cannot open shared object file" in verdict.why
