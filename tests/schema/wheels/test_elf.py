"""The ELF reader: right on every real file, harmless on every broken one."""

from __future__ import annotations

import io
import os
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.platforms import this_machine
from schema.wheels import arm, elf
from tests.schema.wheels.forge import arm_object, shared_object

SOURCE = "#include <math.h>\n#include <stdlib.h>\ndouble demo(char *t) { return pow(atof(t), 0.5); }\n"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return shared_object(
        tmp_path_factory.mktemp("so"),
        source=SOURCE,
        flags=["-O0", "-Wl,--no-as-needed", "-lm", "-Wl,-soname,libdemo.so.1", "-Wl,-rpath,$ORIGIN/x:/opt/lib"],
    )


def read(data: bytes) -> elf.Elf:
    return elf.read(io.BytesIO(data))


def test_what_a_shared_object_says_of_itself_is_read(real: bytes) -> None:
    found = read(real)

    assert (found.kind, found.soname, found.interpreter) == (elf.SHARED, "libdemo.so.1", None)
    assert set(found.needed) == {"libm.so.6", "libc.so.6"}
    assert found.search_paths == ("$ORIGIN/x", "/opt/lib")
    assert set(found.versions) == {"libm.so.6", "libc.so.6"}
    assert any(version.startswith("GLIBC_2.") for version in found.versions["libm.so.6"])


def test_a_program_names_its_loader() -> None:
    program = Path(sys.executable).resolve()

    with program.open("rb") as file:
        found = elf.read(file)

    assert found.interpreter
    assert "/ld-linux" in found.interpreter


@pytest.mark.skipif(this_machine() != "x86_64", reason="only x86-64 has these levels")
@pytest.mark.parametrize("level", [2, 3, 4])
def test_the_instruction_set_that_a_file_says_it_needs_is_read(level: int, tmp_path: Path) -> None:
    found = read(shared_object(tmp_path, flags=[f"-Wl,-z,x86-64-v{level}"]))

    assert found.x86_isa.bit_length() == level


def _shared_objects_of_this_machine() -> Iterator[Path]:
    folders = [*Path("/usr/lib").glob("*-linux-gnu*"), *(Path(item) for item in sys.path if "packages" in item)]
    for folder in folders:
        for path in sorted(folder.rglob("*.so*")):
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 20 * 2**20:
                with path.open("rb") as file:
                    if file.read(4) == elf.MAGIC:
                        yield path


def test_it_agrees_with_pyelftools_on_the_shared_objects_of_this_machine() -> None:
    paths = list(islice(_shared_objects_of_this_machine(), 400))
    assert len(paths) > 20
    for path in paths:
        with path.open("rb") as file:
            found, judge = elf.read(file), ELFFile(file)
            assert (found.bits, found.byte_order == "<") == (judge.elfclass, judge.little_endian), path
            assert (found.machine, found.flags) == (_machine(path), judge["e_flags"]), path
            dynamic = judge.get_section_by_name(".dynamic")
            if isinstance(dynamic, DynamicSection):
                needed = [tag.needed for tag in dynamic.iter_tags("DT_NEEDED")]  # type: ignore[attr-defined]
                assert list(found.needed) == needed, path
            versions = judge.get_section_by_name(".gnu.version_r")
            if isinstance(versions, GNUVerNeedSection):
                wanted = {need.name: {one.name for one in ones} for need, ones in versions.iter_versions()}
                assert found.versions == wanted, path
            assert _hardening(found) == _judged(judge), path


def _hardening(found: elf.Elf) -> dict[str, object]:
    return {
        "relro": found.relro,
        "stack": found.executable_stack,
        "now": found.bind_now,
        "pie": found.is_pie,
        "rpath": list(found.rpath),
        "runpath": list(found.runpath),
    }


def _judged(judge: ELFFile) -> dict[str, object]:
    """The same by pyelftools."""
    segments = {segment["p_type"]: segment["p_flags"] for segment in judge.iter_segments()}
    dynamic = next((part for part in judge.iter_segments() if part["p_type"] == "PT_DYNAMIC"), None)
    tags: dict[str, Any] = {tag.entry.d_tag: tag for tag in dynamic.iter_tags()} if dynamic else {}  # type: ignore[attr-defined]
    flags, flags_1 = (tags[name].entry.d_val if name in tags else 0 for name in ("DT_FLAGS", "DT_FLAGS_1"))
    return {
        "relro": "PT_GNU_RELRO" in segments,
        "stack": bool(segments["PT_GNU_STACK"] & 1) if "PT_GNU_STACK" in segments else None,
        "now": "DT_BIND_NOW" in tags or bool(flags & 8 or flags_1 & 1),
        "pie": bool(flags_1 & 0x8000000),
        "rpath": tags["DT_RPATH"].rpath.split(":") if "DT_RPATH" in tags else [],
        "runpath": tags["DT_RUNPATH"].runpath.split(":") if "DT_RUNPATH" in tags else [],
    }


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["-Wl,-z,norelro", "-Wl,-z,lazy"], {"relro": False, "bind_now": False, "executable_stack": False}),
        (["-Wl,-z,relro", "-Wl,-z,now"], {"relro": True, "bind_now": True, "executable_stack": False}),
        (["-Wl,-z,execstack"], {"executable_stack": True}),
        (["-Wl,-rpath,/a:/b", "-Wl,--disable-new-dtags"], {"rpath": ("/a", "/b"), "runpath": ()}),
        (["-Wl,-rpath,/a", "-Wl,--enable-new-dtags"], {"rpath": (), "runpath": ("/a",)}),
    ],
)
def test_how_a_file_was_hardened_is_read(flags: list[str], wanted: dict[str, object], tmp_path: Path) -> None:
    found = read(shared_object(tmp_path, flags=flags))

    assert {key: getattr(found, key) for key in wanted} == wanted


def _machine(path: Path) -> int:
    with path.open("rb") as file:
        file.seek(18)
        return int.from_bytes(file.read(2), sys.byteorder)


def test_the_attributes_of_arm_files_are_read() -> None:
    found = read(arm_object(attributes={arm.CPU_ARCH: 10, arm.ADVANCED_SIMD: 1, arm.VFP_ARGS: 1}))

    assert (found.bits, found.byte_order, found.machine, found.flags) == (32, "<", 40, 0x5000400)
    assert found.arm == {arm.CPU_ARCH: 10, arm.ADVANCED_SIMD: 1, arm.VFP_ARGS: 1}
    assert found.needed == ("libc.so.6",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"B",
        b"A\4\0\0\0",
        b"A\xff\0\0\0aeabi\0",
        b"A\x0f\0\0\0aeabi\0\1\4\0\0\0",
        b"A\x0f\0\0\0aeabi\0\1\xff\0\0\0",
        b"A\x10\0\0\0aeabi\0\1\6\0\0\0\6",
        b"A\x10\0\0\0aeabi\0\1\6\0\0\0\x86",
        b"A\x11\0\0\0aeabi\0\1\7\0\0\0\5x",
    ],
)
def test_arm_attributes_that_break_off_are_malformed(data: bytes) -> None:
    with pytest.raises(arm.MalformedAttributesError):
        arm.attributes(data, "<")


def test_attributes_of_other_vendors_scopes_and_kinds_are_passed_over() -> None:
    mine = b"\x20\1gnu\0\x41\0\x43conf\0\x0c\1"  # compatibility, two texts, Advanced SIMD
    scoped = b"\2\5\0\0\0" + b"\1" + struct.pack("<I", len(mine) + 5) + mine
    data = b"A" + struct.pack("<I", 9) + b"gnu\0\0" + struct.pack("<I", len(scoped) + 10) + b"aeabi\0" + scoped

    assert arm.attributes(data, "<") == {32: 1, arm.ADVANCED_SIMD: 1}


def test_the_forged_arm_object_is_one_to_pyelftools_too() -> None:
    judge = ELFFile(io.BytesIO(arm_object(needed=["libc.so.6", "libm.so.6"], interpreter="/lib/ld-linux-armhf.so.3")))

    assert judge.get_machine_arch() == "ARM"
    (dynamic,) = (segment for segment in judge.iter_segments() if segment.header.p_type == "PT_DYNAMIC")
    assert dynamic.header.p_filesz == 40


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF",
        b"\x7fELF" + bytes(12),
        b"\x7fELF\3\1\1" + bytes(100),
        b"\x7fELF\2\3\1" + bytes(100),
        b"\x7fELF\2\1\1" + bytes(9) + b"\xff" * 48,
        b"\x7fELF\1\1\1" + bytes(9) + b"\xff" * 36,
    ],
)
def test_a_header_that_leads_nowhere_is_malformed(data: bytes) -> None:
    with pytest.raises(elf.MalformedElfError):
        read(data)


def test_every_truncation_is_read_or_malformed(real: bytes) -> None:
    for length in range(4, len(real), 97):
        try:
            read(real[:length])
        except elf.MalformedElfError:
            continue


def _patched(data: bytes, offset: int, form: str, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(form, changed, offset, value)
    return bytes(changed)


@pytest.mark.skipif(struct.calcsize("P") != 8, reason="the offsets are those of 64-bit headers")
@pytest.mark.parametrize(
    ("offset", "form", "value"),
    [
        (54, "H", 0),  # e_phentsize: the same header again and again
        (56, "H", 0xFFFF),  # e_phnum
        (32, "Q", 2**64 - 1),  # e_phoff
        (32, "Q", 2**63 - 1),
    ],
)
def test_counts_and_sizes_that_make_other_readers_loop_are_malformed_at_once(
    offset: int, form: str, value: int, real: bytes
) -> None:
    begun = time.monotonic()

    with pytest.raises(elf.MalformedElfError):
        read(_patched(real, offset, "<" + form, value))
    assert time.monotonic() - begun < 1


@settings(max_examples=300, deadline=2000)
@given(
    data=st.data(),
    changes=st.lists(st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6),
)
def test_mutated_files_never_raise_anything_else_and_never_hang(
    real: bytes, data: st.DataObject, changes: list[tuple[int, bytes]]
) -> None:
    source = data.draw(st.sampled_from([real, arm_object(attributes={arm.CPU_ARCH: 6}, interpreter="/lib/ld.so")]))
    mutated = bytearray(source)
    for offset, new in changes:
        at = offset % len(mutated)
        mutated[at : at + len(new)] = new
    with suppress(elf.MalformedElfError):
        read(bytes(mutated))


@settings(max_examples=300, deadline=2000)
@given(body=st.binary(max_size=600), bits=st.sampled_from([1, 2]), order=st.sampled_from([1, 2]))
def test_random_bytes_behind_the_magic_never_raise_anything_else(body: bytes, bits: int, order: int) -> None:
    with suppress(elf.MalformedElfError):
        read(elf.MAGIC + bytes([bits, order, 1]) + bytes(9) + body)


@settings(max_examples=300, deadline=1000)
@given(st.binary(max_size=300).map(lambda data: b"A" + data), st.sampled_from("<>"))
def test_random_arm_attributes_never_raise_anything_else(data: bytes, order: str) -> None:
    with suppress(arm.MalformedAttributesError):
        arm.attributes(data, order)


def test_a_sparse_file_of_a_gigabyte_is_read_without_reading_it(real: bytes, tmp_path: Path) -> None:
    path = tmp_path / "huge.so"
    path.write_bytes(real)
    os.truncate(path, 2**30)
    begun = time.monotonic()

    with path.open("rb") as file:
        found = elf.read(file)

    assert found.soname == "libdemo.so.1"
    assert time.monotonic() - begun < 1


def test_more_needed_libraries_than_any_linker_writes_are_malformed() -> None:
    with pytest.raises(elf.MalformedElfError, match="2000 needed libraries"):
        read(arm_object(needed=["libc.so.6"] * 2000))


def test_a_name_may_be_the_end_of_another_but_a_small_file_has_no_thousand_long_names() -> None:
    assert read(arm_object(needed=["libxdemo.so", "demo.so"])).needed == ("libxdemo.so", "demo.so")

    with pytest.raises(elf.MalformedElfError, match="overlap"):
        read(arm_object(needed=["x" * length for length in range(1000, 0, -1)]))
