"""Images of architectures that this machine does not run by itself: whole, honest, and quick where they can be."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder import debian, emulation, images, sandbox
from builder.images import Image
from builder.log import Log
from builder.sandbox import Bind, Sandbox
from schema.jobs import Limits
from schema.platforms import this_machine
from schema.states import Emulation
from schema.wheels import elf, machines

ARM = [arch for arch in ("aarch64", "armv7l") if not emulation.is_native(arch)]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root has the kernel emulate")]


def _run(image: Image, log: Log, script: str, *binds: Bind, **variables: str) -> str:
    """What a script says in an image; it must end well."""
    before = log.bytes_written
    finished = sandbox.run(
        Sandbox(root=image.root, binds=binds, environment={**image.variables, **variables}),
        ["sh", "-euc", script],
        limits=Limits(),
        log=log,
        deadline=time.monotonic() + 120,
        cancelled=threading.Event(),
    )
    said = log.read(before, 2**20).decode()
    assert finished.exit_code == 0, said
    return said.strip()


@pytest.mark.parametrize("arch", ARM)
def test_an_emulated_image_is_whole(arch: str, emulated_image: Callable[[str], Image]) -> None:
    image = emulated_image(arch)

    assert images.check(image) == []
    assert images.find(image.folder.parent, image.name) == image
    assert image.emulation is Emulation.HYBRID
    assert image.python.startswith("3.11.")


@pytest.mark.parametrize("arch", ARM)
def test_a_hybrid_image_compiles_by_itself_for_the_machine_that_it_claims_to_be(
    arch: str, emulated_image: Callable[[str], Image], log: Log, tmp_path: Path
) -> None:
    image, out = emulated_image(arch), Bind(source=tmp_path, target="/out", writable=True)

    said = _run(
        image,
        log,
        "uname -m; python3 -c 'import os, platform; print(platform.machine(), os.uname().machine)';"
        "echo 'int main(void) { return 0; }' >/tmp/a.c; cc -o /out/a /tmp/a.c; /out/a; cp $(command -v make) /out/make",
        out,
    )

    assert said.split() == [arch] * 3
    for name, of in (("a", arch), ("make", this_machine())):
        with (tmp_path / name).open("rb") as file:
            assert list(machines.faults(elf.read(file), of)) == []


@pytest.mark.parametrize("arch", ARM)
def test_packages_of_a_recipe_bring_libraries_of_the_architecture_and_tools_of_this_machine(
    arch: str, emulated_image: Callable[[str], Image], log: Log, cancelled: threading.Event
) -> None:
    image = emulated_image(arch)

    derived = debian.with_packages(image, ["libffi-dev", "swig", "gfortran"], log=log, cancelled=cancelled)

    said = _run(derived, log, "pkg-config --libs-only-L --cflags --libs libffi; swig -version; gfortran -dumpmachine")
    assert "-lffi" in said
    assert "SWIG Version" in said
    assert said.splitlines()[-1] == machines.multiarch(arch)
    library = next(derived.root.glob(f"usr/lib/{machines.multiarch(arch)}/libffi.so.*.*"))
    for path, of in ((library, arch), (derived.root / "usr/bin/swig4.0", this_machine())):
        with path.open("rb") as file:
            assert list(machines.faults(elf.read(file), of)) == []
    assert not list(derived.root.glob(f"usr/lib/{machines.multiarch(this_machine())}/libffi.so"))


@pytest.mark.parametrize("arch", ARM)
def test_wheels_are_tried_where_everything_is_of_the_architecture_and_nothing_compiles(
    arch: str, emulated_image: Callable[[str], Image], log: Log
) -> None:
    bare = images.bare(emulated_image(arch))

    assert bare.emulation is Emulation.FULL
    assert not {"gcc", "g++", "make", "python3-dev", "libc6-dev"} & bare.packages.keys()
    assert _run(bare, log, "command -v cc gcc make || uname -m; python3 -m venv --without-pip /tmp/v") == arch
    for program in ("bash", "tar", "python3.11"):
        with (bare.root / "usr/bin" / program).open("rb") as file:
            assert list(machines.faults(elf.read(file), arch)) == []


@pytest.mark.parametrize("arch", [arch for arch in ARM if arch == "armv7l"])
def test_a_program_for_a_newer_processor_than_the_platform_promises_dies(
    arch: str, emulated_image: Callable[[str], Image], log: Log
) -> None:
    image = emulated_image(arch)
    code = 'int main(void) { __asm__(".arch armv8-a; .arch_extension crc; crc32b r0, r0, r0"); return 0; }'

    said = _run(image, log, f"echo '{code}' >/tmp/a.c; cc -marm -o /tmp/a /tmp/a.c; /tmp/a || echo died of $?")

    assert "died of 132" in said  # SIGILL


def test_a_wholly_emulated_image_is_whole_too(reachable: Path, log: Log) -> None:
    arch = ARM[-1]
    emulation.enable(arch)

    image = images.make(reachable, f"debian12-{arch}", emulated=Emulation.FULL, progress=lambda *_: None)

    assert images.check(image) == []
    assert image.emulation is Emulation.FULL
    assert "PKG_CONFIG_LIBDIR" not in image.variables
    with (image.root / "usr/bin/make").open("rb") as file:
        assert list(machines.faults(elf.read(file), arch)) == []
    assert _run(image, log, "cc -dumpmachine") == machines.multiarch(arch)
