"""Builds for architectures that this machine does not run by itself, in the real sandbox."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace

import pytest

from builder import emulation
from builder.images import Image
from builder.workshop import Workshop
from schema.errors import LimitExceededError
from schema.settings import Settings
from schema.states import FailureClass
from tests.builder.pipeline.archives import file, sdist_of, tar_of
from tests.builder.pipeline.conftest import Attempts
from tests.builder.pipeline.test_real_projects import newest
from tests.upstream import FakeUpstream

ARM = [arch for arch in ("aarch64", "armv7l") if not emulation.is_native(arch)]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root has the kernel emulate")]


@pytest.fixture(params=ARM)
def arm(request: pytest.FixtureRequest, emulated_image: Callable[[str], Image], attempt: Attempts) -> Image:
    """An image of ARM, which the attempts are for."""
    image = emulated_image(request.param)
    attempt.platform = str(image.platform)
    return image


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


@pytest.mark.skipif("armv7l" not in ARM, reason="this machine runs programs of ARMv7 by itself")
def test_a_wheel_that_is_named_after_a_64_bit_kernel_gets_the_tag_of_the_platform(
    attempt: Attempts,
    emulated_image: Callable[[str], Image],
    upstream: FakeUpstream,
    real_wheels: Callable[[FakeUpstream], None],
) -> None:
    real_wheels(upstream)
    attempt.platform = str(emulated_image("armv7l").platform)
    with tarfile.open(fileobj=io.BytesIO(sdist_of("good-extension"))) as archive:
        files = [(info, archive.extractfile(info)) for info in archive]
        members = [(info, source.read() if source else None) for info, source in files]
    settings = file("good_extension-1.0/setup.cfg", b"[bdist_wheel]\nplat_name = linux_armv8l\n")

    built = attempt("good-extension", tar_of(*members, settings))

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

    assert [remedy.debian_packages for remedy in built.remedies] == [("libffi-dev",)]
    assert again.facts.sha256 == built.facts.sha256
    assert any(tag.platform.startswith("manylinux_") for tag in built.facts.tags)
    assert all(tag.platform.endswith(arm.platform.arch) for tag in built.facts.tags)
