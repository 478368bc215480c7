"""Builds for architectures that this machine does not run by itself, in the real sandbox."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder import emulation, images
from builder.images import Image
from builder.workshop import Workshop
from schema.errors import LimitExceededError
from schema.platforms import this_machine
from schema.settings import Settings
from schema.states import Emulation, FailureClass
from schema.wheels import elf, symbols
from schema.wheels.comparing import Verdict, compare
from tests.builder.pipeline.archives import PROJECTS, file, sdist_of, tar_of
from tests.builder.pipeline.conftest import Attempts
from tests.builder.pipeline.test_real_projects import newest
from tests.upstream import FakeUpstream, metadata_text, wheel_bytes

ARM = [arch for arch in ("aarch64", "armv7l") if not emulation.is_native(arch)]

_PYPROJECT = (PROJECTS / "good-extension" / "pyproject.toml").read_text()

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root has the kernel emulate")]


@pytest.fixture(params=ARM)
def arm(request: pytest.FixtureRequest, emulated_image: Callable[[str], Image], attempt: Attempts) -> Image:
    """An image of ARM, which the attempts are for."""
    image = emulated_image(request.param)
    attempt.platform = str(image.platform)
    return image


def _sdist(changed: dict[str, bytes]) -> bytes:
    """The project good-extension with some files added or replaced."""
    top = "good_extension-1.0"
    with tarfile.open(fileobj=io.BytesIO(sdist_of("good-extension"))) as archive:
        files = [
            (info, archive.extractfile(info)) for info in archive if info.name not in {f"{top}/{n}" for n in changed}
        ]
        members = [(info, source.read() if source else None) for info, source in files]
    return tar_of(*members, *(file(f"{top}/{name}", data) for name, data in changed.items()))


def test_an_extension_is_compiled_tried_and_tells_what_ran_it(
    arm: Image, attempt: Attempts, upstream: FakeUpstream, real_wheels: Callable[[FakeUpstream], None]
) -> None:
    real_wheels(upstream)

    built = attempt("good-extension")

    arch = arm.platform.arch
    assert built.facts.filename.endswith(f"_{arch}.whl")
    assert "modules imported" in attempt.steps[-1].note or "1 of 1" in attempt.log
    assert {tag.interpreter for tag in built.facts.tags} == {"cp311"}
    (emulator,) = (item for item in built.materials if item.kind == "emulator")
    assert emulator.name.startswith("qemu-")
    assert emulator.version
    assert built.environment["QEMU_CPU"].startswith("cortex-")
    assert built.environment["_PYTHON_HOST_PLATFORM"] == f"linux-{arch}"


def test_build_requirements_are_those_of_the_platform_by_their_markers_and_tags(
    arm: Image, attempt: Attempts, upstream: FakeUpstream, real_wheels: Callable[[FakeUpstream], None]
) -> None:
    real_wheels(upstream)
    arch = arm.platform.arch
    for tag in (f"linux_{arch}", f"linux_{this_machine()}"):
        filename = f"tiny_helper-1.0-py3-none-{tag}.whl"
        upstream.add_file("tiny-helper", wheel_bytes(filename, metadata_text("tiny-helper", "1.0")), filename=filename)
    asked = [
        "setuptools",
        f"tiny-helper; platform_machine == '{arch}'",
        f"nowhere; platform_machine == '{this_machine()}'",
    ]
    project = _PYPROJECT.replace('requires = ["setuptools"]', f"requires = {json.dumps(asked)}")

    built = attempt("good-extension", _sdist({"pyproject.toml": project.encode()}))

    (helper,) = (item for item in built.materials if item.name == "tiny-helper")
    assert helper.sha256 == upstream.file("tiny-helper", f"tiny_helper-1.0-py3-none-linux_{arch}.whl").sha256


@pytest.mark.skipif("armv7l" not in ARM, reason="this machine runs programs of ARMv7 by itself")
def test_a_wheel_that_is_named_after_a_64_bit_kernel_gets_the_tag_of_the_platform(
    attempt: Attempts,
    emulated_image: Callable[[str], Image],
    upstream: FakeUpstream,
    real_wheels: Callable[[FakeUpstream], None],
) -> None:
    real_wheels(upstream)
    attempt.platform = str(emulated_image("armv7l").platform)

    built = attempt("good-extension", _sdist({"setup.cfg": b"[bdist_wheel]\nplat_name = linux_armv8l\n"}))

    assert "tagged as good_extension-1.0-cp311-cp311-linux_armv7l.whl" in attempt.log
    assert {tag.platform.rpartition("_")[2] for tag in built.facts.tags} == {"armv7l"}


def test_the_limits_hold_for_what_is_emulated(arm: Image, attempt: Attempts) -> None:
    assert arm.emulation is not None

    with pytest.raises(LimitExceededError) as raised:
        attempt("eats-memory")

    assert raised.value.failure_class is FailureClass.MEMORY


def test_a_real_project_is_built_for_arm_twice_with_what_debian_has_for_it(
    arm: Image, attempt: Attempts, workshop: Workshop
) -> None:
    attempt.workshop = replace(workshop, index_url=Workshop.from_settings(Settings(), uid=None).index_url)
    attempt.workshop = replace(attempt.workshop, heal=replace(workshop.heal, tries=4))

    job = newest("cffi", platform=str(arm.platform))

    built = attempt.run(job)
    again = attempt.run(replace(job, fence=2, known=built.remedies))

    assert "libffi-dev" in {item.name for item in built.materials if item.kind == "debian"}
    assert again.facts.sha256 == built.facts.sha256
    assert any(tag.platform.startswith("manylinux_") for tag in built.facts.tags)
    assert all(tag.platform.endswith(arm.platform.arch) for tag in built.facts.tags)


def test_a_hybrid_image_and_a_wholly_emulated_one_make_the_same_of_a_project(
    attempt: Attempts,
    emulated_image: Callable[[str], Image],
    reachable: Path,
    upstream: FakeUpstream,
    real_wheels: Callable[[FakeUpstream], None],
) -> None:
    real_wheels(upstream)
    hybrid = emulated_image(ARM[-1])
    full = images.make(reachable, hybrid.name, emulated=Emulation.FULL, progress=lambda *_: None)
    attempt.platform = str(hybrid.platform)

    patient = {"silence_s": 900.0, "wall_s": 1800.0}
    built = attempt("good-extension", limits=patient)
    attempt.workshop = replace(attempt.workshop, images=reachable)
    again = attempt("good-extension", limits=patient)

    assert (hybrid.emulation, full.emulation) == (Emulation.HYBRID, Emulation.FULL)
    assert again.facts.filename == built.facts.filename
    assert again.facts.tags == built.facts.tags
    assert again.facts.needed == built.facts.needed
    assert _extension(again.wheel) == _extension(built.wheel)
    # The cross compiler may be of an older update than the native one: then its name, and code, are in the extension.
    told = compare(built.wheel, again.wheel, name=built.facts.filename)
    assert told.verdict is not Verdict.DIFFERS or (told.member.endswith(".so") and not told.others), told.detail


def _extension(wheel: Path) -> tuple[object, ...]:
    """What its one compiled file asks of a machine: processor, libraries, symbols and their versions."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".so"))
        data = archive.read(name)
    found = elf.read(io.BytesIO(data))
    asked = (found.machine, found.bits, found.flags, found.needed, found.versions, found.arm, found.search_paths)
    return (name, *asked, symbols.undefined(io.BytesIO(data)))
