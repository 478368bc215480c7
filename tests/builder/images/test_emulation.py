"""What a machine runs by itself, what qemu runs for it, and how the kernel is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder import emulation
from schema.errors import EmulationError
from schema.platforms import DEBIAN_ARCHITECTURES, this_machine

OTHERS = [arch for arch in ("aarch64", "armv7l") if not emulation.is_native(arch)]

# As the kernel tells of an entry that Debian's binfmt-support has made.
AARCH64 = """\
enabled
interpreter {program}
flags: POCF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Something that says a version as qemu does."""
    program = tmp_path / "qemu-aarch64-static"
    program.write_text("#!/bin/sh\necho qemu-aarch64 version 7.2.22 '(Debian 1:7.2+dfsg-7+deb12u18)'\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def binfmt(tmp_path: Path) -> Path:
    """Where the kernel would tell; it takes no orders."""
    folder = tmp_path / "binfmt_misc"
    folder.mkdir()
    for name in ("register", "status"):
        (folder / name).write_text("enabled\n" if name == "status" else "")
    return folder


def test_a_machine_runs_its_own_programs_by_itself() -> None:
    assert emulation.is_native(this_machine())
    assert not emulation.is_native("s390x")


def test_what_the_kernel_hands_programs_to_is_found_by_their_headers_not_by_its_name(
    binfmt: Path, program: Path
) -> None:
    (binfmt / "whatever").write_text(AARCH64.format(program=program))

    found = emulation.emulator("aarch64", binfmt=binfmt)

    assert found is not None
    assert (found.program, found.version) == (program, "7.2.22")
    assert emulation.emulator("armv7l", binfmt=binfmt) is None
    assert emulation.emulator("riscv64", binfmt=binfmt) is None


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("enabled", "disabled"),
        ("flags: POCF", "flags: POC"),  # qemu would have to lie in each image
        ("magic 7f454c46", "magic 4d5a"),
        ("0200b700", "02002800"),  # a 64-bit program of ARM's number: there is no such thing
    ],
)
def test_an_entry_that_does_not_serve_images_does_not_count(
    binfmt: Path, program: Path, there: str, instead: str
) -> None:
    (binfmt / "qemu-aarch64").write_text(AARCH64.format(program=program).replace(there, instead))

    assert emulation.emulator("aarch64", binfmt=binfmt) is None


def test_where_the_kernel_tells_nothing_nothing_is_emulated(tmp_path: Path) -> None:
    assert emulation.emulator("aarch64", binfmt=tmp_path / "nowhere") is None


def test_an_order_that_the_kernel_did_not_carry_out_is_an_error(binfmt: Path) -> None:
    with pytest.raises(EmulationError, match="does not use it"):
        emulation.enable("s390x", binfmt=binfmt)

    order = (binfmt / "register").read_bytes()
    assert order.startswith(rb":wheelfarm-s390x:M::\x7f\x45\x4c\x46\x02\x02\x01")
    assert order.count(rb"\x") == 40
    assert order.endswith(b":F")


def test_an_order_that_cannot_be_given_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EmulationError, match="does not take qemu for s390x"):
        emulation.enable("s390x", binfmt=tmp_path / "register" / "nowhere")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may tell the kernel")
@pytest.mark.parametrize("arch", OTHERS)
def test_programs_of_arm_run_here_once_qemu_is_enabled(arch: str) -> None:
    first, again = emulation.enable(arch), emulation.enable(arch)

    assert first == again
    assert first.version
    emulation.need(arch)


@pytest.mark.parametrize("arch", sorted(DEBIAN_ARCHITECTURES))
def test_the_header_of_each_architecture_is_as_long_as_the_kernel_looks(arch: str) -> None:
    magic, mask = emulation.fields(arch)

    assert len(magic) == len(mask) == 20
