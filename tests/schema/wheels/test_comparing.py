"""Two wheels compared: the same, the same but for what is harmless, or not; and where they first part."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.errors import WheelRejectedError
from schema.wheels import difference
from schema.wheels.comparing import ARCHIVE, BUILD_NUMBER, RECORD, SPELLING, Comparison, Verdict, compare
from schema.wheels.sections import sections
from tests.schema.wheels import forge

SO = "demo/_c.so"
# The strings are as long as each other, so nothing moves from section to section.
SOURCE = 'const char *demo(void) {{ return "{0}"; }}\n'
WITH_ID = ["-Wl,--build-id=sha1"]


def pair(folder: Path, one: Mapping[str, bytes], other: Mapping[str, bytes], **how: Any) -> Comparison:
    """Two wheels with those files beside the usual ones; *how* the second is written."""
    usual = forge.members()
    left = forge.write(folder / "one", usual | dict(one))
    return compare(left, forge.write(folder / "other", usual | dict(other), **how))


def differs(member: str, place: str, *harmless: str, others: int = 0) -> Comparison:
    return Comparison(
        verdict=Verdict.DIFFERS, member=member, place=place, harmless=tuple(sorted(harmless)), others=others
    )


def equivalent(*harmless: str) -> Comparison:
    return Comparison(verdict=Verdict.EQUIVALENT, harmless=tuple(sorted(harmless)))


def compiled(folder: Path, text: str = "one", *, flags: list[str] = WITH_ID) -> bytes:
    return forge.shared_object(folder, source=SOURCE.format(text), flags=flags)


def test_the_same_bytes_are_identical(tmp_path: Path) -> None:
    found = pair(tmp_path, {"a.py": b"1\n"}, {"a.py": b"1\n"})

    assert (found, str(found), found.detail) == (Comparison(verdict=Verdict.IDENTICAL), "identical", "")


def test_how_the_archive_holds_its_members_is_harmless(tmp_path: Path) -> None:
    files = forge.members()
    one = forge.write(tmp_path / "one", files)
    other = forge.write(tmp_path / "other", dict(reversed(files.items())), modes={"demo/__init__.py": 0o600})

    assert compare(one, other) == equivalent(ARCHIVE, RECORD)


def test_another_compression_alone_is_told_too(tmp_path: Path) -> None:
    one = forge.canonical(tmp_path / "one", forge.members() | {"a.py": b"x = 1\n" * 500})
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / one.name
    with zipfile.ZipFile(one) as source, zipfile.ZipFile(other, "w") as copy:
        for info in source.infolist():
            copy.writestr(info, source.read(info), compresslevel=1)

    assert compare(one, other) == equivalent(ARCHIVE)


def test_a_build_number_is_harmless_in_the_name_in_wheel_and_in_record(tmp_path: Path) -> None:
    one = forge.canonical(tmp_path / "one", forge.members())
    other = forge.canonical(tmp_path / "other", forge.members(), build_number=3)

    found = compare(one, other)

    assert found == equivalent(BUILD_NUMBER, RECORD)
    assert str(found) == "equivalent: RECORD, the build number"
    assert found.to_json()["harmless"] == ["RECORD", "the build number"]


def test_the_spelling_of_dist_info_is_harmless(tmp_path: Path) -> None:
    one = forge.write(tmp_path / "one", forge.members())
    other = forge.write(tmp_path / "other", forge.members(info="Demo-1.0.dist-info"), info="Demo-1.0.dist-info")

    assert compare(one, other) == equivalent(SPELLING, RECORD)


def test_another_tag_in_wheel_is_not(tmp_path: Path) -> None:
    wheel = "demo-1.0.dist-info/WHEEL"

    found = pair(tmp_path, {}, {wheel: forge.wheel_file("py2-none-any")})

    assert found == differs(wheel, "line 4: 'Tag: py3-none-any' / 'Tag: py2-none-any'", RECORD)


def test_names_that_mean_something_else_are_the_difference(tmp_path: Path) -> None:
    one = forge.write(tmp_path, forge.members())
    other = forge.write(tmp_path, forge.members("cp311-none-any"), filename="demo-1.0-cp311-none-any.whl")

    assert compare(one, other) == differs("the file name", "tags py3-none-any / cp311-none-any")
    assert compare(one, one, name="demo-2.0-py3-none-any.whl") == differs("the file name", "version 2.0 / 1.0")
    assert compare(one, one, name="memo-1.0-py3-none-any.whl") == differs("the file name", "project memo / demo")


def test_a_file_in_the_store_is_compared_under_the_name_that_it_has(tmp_path: Path) -> None:
    one = forge.canonical(tmp_path, forge.members())
    stored = tmp_path / "0f3a"
    stored.write_bytes(one.read_bytes())

    assert compare(stored, one, name=one.name).verdict is Verdict.IDENTICAL


def test_other_metadata_is_told_with_both_lines(tmp_path: Path) -> None:
    name = "demo-1.0.dist-info/METADATA"
    other = {name: forge.metadata("demo", "1.0", "Requires-Dist: evil\x1b[31m")}

    found = pair(tmp_path, {name: forge.metadata("demo", "1.0", "Requires-Dist: good")}, other)

    assert found == differs(name, "line 4: 'Requires-Dist: good' / 'Requires-Dist: evil␛[31m'", RECORD)


def test_the_first_of_many_files_is_told_and_the_number_of_the_others(tmp_path: Path) -> None:
    found = pair(tmp_path, {"b.py": b"1", "c.py": b"1\n1"}, {"b.py": b"2", "c.py": b"1\n2"})

    assert found == differs("b.py", "line 1: '1' / '2'", RECORD, others=1)
    assert str(found) == "differs: b.py, line 1: '1' / '2' (and 1 more file)"


def test_a_missing_file_is_the_difference(tmp_path: Path) -> None:
    files = {"z.py": b""}

    assert pair(tmp_path / "1", files, {}) == differs("z.py", "only in the first", RECORD)
    assert pair(tmp_path / "2", {}, files) == differs("z.py", "only in the second", RECORD)


def test_a_program_that_only_one_has_as_one_differs_but_scripts_are_made_so_by_installers(tmp_path: Path) -> None:
    files = {"demo/tool": b"#!/bin/sh\n", "demo-1.0.data/scripts/run": b"#!python\n"}

    found = pair(tmp_path, files, files, modes={"demo/tool": 0o755, "demo-1.0.data/scripts/run": 0o755})

    assert found == differs("demo/tool", "executable in one of the two only", ARCHIVE)


def test_a_record_that_lies_is_not_harmless(tmp_path: Path) -> None:
    lie = forge.record(forge.members() | {"demo/gone.py": b""}, "demo-1.0.dist-info/RECORD")

    found = pair(tmp_path, {}, {}, listing=lie)

    assert found == differs("demo-1.0.dist-info/RECORD", "RECORD lists 'demo/gone.py', which is not in the wheel")


def test_a_constant_of_a_compiled_file_is_told_with_its_section(tmp_path: Path) -> None:
    found = pair(tmp_path, {SO: compiled(tmp_path / "a", "one")}, {SO: compiled(tmp_path / "b", "two")})

    assert found == differs(SO, "section .rodata", RECORD)


def test_code_that_grew_is_told_with_a_section_although_everything_after_it_moved(tmp_path: Path) -> None:
    one = forge.shared_object(tmp_path / "a", flags=["-Wl,--build-id=none"])
    grown = "int demo(int a) { return a * a + 7; }\n" + "int more(void) { return 2; }\n"
    other = forge.shared_object(tmp_path / "b", source=grown, flags=["-Wl,--build-id=none"])

    found = pair(tmp_path, {SO: one}, {SO: other})

    assert found.member == SO
    assert found.place.startswith("section .")


def test_a_build_id_alone_is_harmless(tmp_path: Path) -> None:
    one, other = (compiled(tmp_path / word, flags=[f"-Wl,--build-id=0x{word * 10}"]) for word in ("ab", "cd"))
    assert one != other

    assert pair(tmp_path, {SO: one}, {SO: other}) == equivalent(difference.BUILD_ID, RECORD)


def test_code_that_hides_in_a_section_of_that_name_is_not(tmp_path: Path) -> None:
    """The section's header leads to the constants, which are no note."""
    one = compiled(tmp_path / "a", "one")
    other = compiled(tmp_path / "b", "two")
    constants = one.index(b"one\0")

    found = pair(tmp_path, {SO: _moved(one, constants - 16)}, {SO: _moved(other, constants - 16)})

    assert found == differs(SO, "section .note.gnu.build-id", RECORD)


def _moved(data: bytes, offset: int) -> bytes:
    """A 64-bit ELF file whose build id is said to lie at *offset*."""
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    found = sections(io.BytesIO(data))
    assert len(found) == count
    number = next(number for number, item in enumerate(found) if item.name == ".note.gnu.build-id")
    at = table + number * size + 24
    return data[:at] + struct.pack("<Q", offset) + data[at + 8 :]


def test_the_time_of_the_source_in_bytecode_is_harmless_and_its_code_is_not(tmp_path: Path) -> None:
    head = b"\xa7\r\r\n" + bytes(4)
    one, other = ({"demo/a.pyc": head + time + b"\x10\0\0\0" + b"code"} for time in (b"1234", b"5678"))
    by_hash = {"demo/a.pyc": b"\xa7\r\r\n" + b"\1\0\0\0" + b"5678" + b"\x10\0\0\0" + b"code"}

    assert pair(tmp_path / "1", one, other) == equivalent(difference.SOURCE_TIME, RECORD)
    assert pair(tmp_path / "2", one, by_hash) == differs("demo/a.pyc", "byte 4", RECORD)
    changed = {"demo/a.pyc": other["demo/a.pyc"] + b"!"}
    assert pair(tmp_path / "3", one, changed) == differs("demo/a.pyc", "byte 20", RECORD)


@pytest.mark.parametrize(
    ("name", "data", "rule"),
    [
        ("demo-1.0-py3-none-any.whl", b"PK\3\4 and no more", "A-05"),
        ("demo.zip", b"", "A-01"),
    ],
)
def test_what_is_no_wheel_is_refused_with_the_rule(tmp_path: Path, name: str, data: bytes, rule: str) -> None:
    one = forge.write(tmp_path / "one", forge.members())
    bad = tmp_path / name
    bad.write_bytes(data)

    for pair_of in ((one, bad), (bad, one), (bad, bad)):
        with pytest.raises(WheelRejectedError, match=rule):
            compare(*pair_of)


def test_a_wheel_with_two_dist_infos_is_refused(tmp_path: Path) -> None:
    one = forge.write(tmp_path / "one", forge.members())
    two = forge.write(tmp_path / "two", forge.members() | {"Demo-1.0.dist-info/METADATA": b""})

    with pytest.raises(WheelRejectedError, match="A-02"):
        compare(one, two)


def test_a_member_that_is_not_what_its_header_promises_is_refused(tmp_path: Path) -> None:
    one = forge.write(tmp_path / "one", forge.members())
    names = [*forge.members().items(), ("demo-1.0.dist-info/RECORD", b"")]
    entries = [forge.Entry(name=name.encode(), data=data, crc=1 if "init" in name else None) for name, data in names]
    (tmp_path / "two").mkdir()
    two = forge.Archive(entries=entries).write(tmp_path / "two" / one.name)

    with pytest.raises(WheelRejectedError, match="does not hold the bytes"):
        compare(one, two)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return compiled(tmp_path_factory.mktemp("so"))


@settings(max_examples=300, deadline=2000)
@given(data=st.data())
def test_a_forged_elf_file_never_does_more_than_differ(real: bytes, data: st.DataObject) -> None:
    forged = bytearray(real)
    for _ in range(data.draw(st.integers(1, 6))):
        # headers first: the file's, and those of the sections at its end
        at = data.draw(st.one_of(st.integers(0, 63), st.integers(len(real) - 2000, len(real) - 1)))
        forged[at] = data.draw(st.integers(0, 255))
    forged[100] ^= 1

    harmless, place = difference.find(SO, io.BytesIO(real), io.BytesIO(forged))

    assert not harmless
    assert place.startswith(("section ", "byte "))


def test_sections_that_are_all_the_whole_file_are_not_all_read(real: bytes) -> None:
    count = 16_000
    headers = bytes(64) + struct.pack("<IIQQQQIIQQ", 0, 1, 0, 0, 0, 2**20, 0, 0, 0, 0) * (count - 1)
    body = real[:40] + struct.pack("<Q", 2**20) + real[48:58] + struct.pack("<HHH", 64, count, 1)
    one = body + bytes(2**20 - len(body)) + headers
    other = one[:-50] + b"!" + one[-49:]  # an address, in the last header: no section holds it
    files = [Counting(item) for item in (one, other)]

    assert difference.find(SO, *files) == ("", f"byte {len(one) - 50}")
    names_bytes = 2 * count * 4096
    assert sum(file.read_bytes for file in files) < names_bytes + 12 * len(one)


class Counting(io.BytesIO):
    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.read_bytes += len(data)
        return data
