"""A-05: the frame of a zip archive, one lie at a time."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from schema.errors import WheelRejectedError
from schema.wheels import archive
from tests.schema.wheels.forge import Archive, Entry

A, B = b"demo/a.py", b"demo/b.py"
DATA = b"x = 1\n" * 20
PACKED = zlib.compress(DATA)[2:-4]  # without zlib's own frame
UNICODE_PATH = struct.pack("<HHBI", 0x7075, 5 + 4, 1, zlib.crc32(A)) + b"evil"
ZIP64 = struct.pack("<HHQQ", 1, 16, len(DATA), len(PACKED))


def descriptor(
    crc: int = zlib.crc32(DATA), packed: int = len(PACKED), size: int = len(DATA), form: str = "III"
) -> bytes:
    return struct.pack(f"<4s{form}", b"PK\7\x08", crc, packed, size)


def zip64_end(entries: list[Entry], *, locator_off: int = 0, extra: bytes = b"", saturated: bool = True) -> bytes:
    """The archive with a zip64 end record and locator, as a writer of many members makes it."""
    plain = Archive(entries=entries).to_bytes()
    body, end = plain[:-22], plain[-22:]
    count, _, length, at, _ = struct.unpack_from("<HHIIH", end, 8)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44 + len(extra), 45, 45, 0, 0, count, count, length, at) + extra
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(body) + locator_off, 1)
    if saturated:
        end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return body + record + locator + end


def two_members() -> list[Entry]:
    return [Entry(name=A, data=DATA), Entry(name=B)]


SOUND = {
    "two members": Archive(entries=two_members()),
    "a stored member": Archive(entries=[Entry(name=A, method=zipfile.ZIP_STORED)]),
    "an empty member": Archive(entries=[Entry(name=A, data=b"")]),
    "a folder": Archive(entries=[Entry(name=b"demo/", data=b"", method=0, mode=0o40755), Entry(name=A)]),
    "a name in UTF-8": Archive(entries=[Entry(name="demo/é.py".encode(), flags=0x800)]),
    "times in an extra field": Archive(entries=[Entry(name=A, extra=b"UT\5\0\1abcd", local_extra=b"UT\5\0\1abcd")]),
    "made by DOS without modes": Archive(entries=[Entry(name=A, mode=0, made_by=20)]),
    "a data descriptor": Archive(
        entries=[Entry(name=A, data=DATA, flags=8, local_crc=0, local_sizes=(0, 0), after=descriptor()), Entry(name=B)]
    ),
    "zip64 sizes in the local header": Archive(
        entries=[Entry(name=A, data=DATA, local_sizes=(0xFFFFFFFF, 0xFFFFFFFF), local_extra=ZIP64)]
    ),
}

BROKEN: dict[str, Archive | bytes] = {
    "no zip at all": b"not a zip archive, but long enough to be one",
    "nothing": b"",
    "too short": b"PK\5\6",
    "no members": Archive(entries=[]),
    "bytes before": Archive(entries=two_members(), prefix=b"#!/bin/sh\n"),
    "bytes before, offsets as if there were none": b"#!/bin/sh\n" + Archive(entries=two_members()).to_bytes(),
    "bytes after": Archive(entries=two_members(), suffix=b"more"),
    "an archive comment": Archive(entries=two_members(), comment=b"hello"),
    "a comment that is an end record": Archive(
        entries=two_members(), comment=struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0, 0, 0, 0, 0)
    ),
    "two archives after one another": Archive(entries=two_members()).to_bytes() * 2,
    "two end records": Archive(entries=two_members(), suffix=struct.pack("<4sHHHHIIH", b"PK\5\6", *[0] * 7)),
    "a gap between members": Archive(entries=[Entry(name=A, after=b"hidden"), Entry(name=B)]),
    "a gap before the central directory": Archive(entries=two_members(), before_central=b"hidden"),
    "a gap after the central directory": Archive(entries=two_members(), before_end=b"hidden"),
    "a member that only the local headers have": Archive(entries=[Entry(name=A), Entry(name=B, in_central=False)]),
    "a member that only the central directory has": Archive(entries=[Entry(name=A), Entry(name=B, in_local=False)]),
    "two members of one name": Archive(entries=[Entry(name=A), Entry(name=A, data=b"evil")]),
    "two entries for the same bytes": Archive(entries=[Entry(name=A), Entry(name=A, in_local=False, header_at=0)]),
    "overlapping members": Archive(entries=[Entry(name=A, data=DATA), Entry(name=B, in_local=False, header_at=10)]),
    "another local name": Archive(entries=[Entry(name=A, local_name=b"demo/z.py")]),
    "another local name of another length": Archive(entries=[Entry(name=A, local_name=b"demo/zz.py")]),
    "another local checksum": Archive(entries=[Entry(name=A, local_crc=1)]),
    "another local size": Archive(entries=[Entry(name=A, local_sizes=(7, 8))]),
    "another local method": Archive(entries=[Entry(name=A, local_method=0)]),
    "other local flags": Archive(entries=[Entry(name=A, local_flags=0x800)]),
    "a member that counts too few": Archive(entries=two_members(), count=1),
    "a count that is too high": Archive(entries=two_members(), count=3),
    "a count of thousands": Archive(entries=two_members(), count=65_000),
    "a central directory elsewhere": Archive(entries=two_members(), central_at=3),
    "a central directory of another length": Archive(entries=two_members(), central_bytes=10),
    "several disks": Archive(entries=two_members(), disk=1),
    "an encrypted member": Archive(entries=[Entry(name=A, flags=1)]),
    "a patch as a member": Archive(entries=[Entry(name=A, flags=0x20)]),
    "a masked central directory": Archive(entries=[Entry(name=A, flags=0x2000)]),
    "bzip2": Archive(entries=[Entry(name=A, method=12)]),
    "a zip of the future": Archive(entries=[Entry(name=A, needs=64)]),
    "zstandard": Archive(entries=[Entry(name=A, method=93)]),
    "a member's comment": Archive(entries=[Entry(name=A, comment=b"hello")]),
    "a second name": Archive(entries=[Entry(name=A, extra=UNICODE_PATH, local_extra=UNICODE_PATH)]),
    "a second name in the local header": Archive(entries=[Entry(name=A, local_extra=UNICODE_PATH)]),
    "an extra field that is too short": Archive(entries=[Entry(name=A, extra=b"abc")]),
    "an extra field that is too long": Archive(entries=[Entry(name=A, extra=b"UT\xff\0a")]),
    "an extra field twice": Archive(entries=[Entry(name=A, extra=b"UT\0\0UT\0\0")]),
    "zip64 sizes that are not due": Archive(entries=[Entry(name=A, data=DATA, extra=ZIP64)]),
    "zip64 sizes that contradict": Archive(entries=[Entry(name=A, local_extra=ZIP64)]),
    "zip64 sizes that are missing": Archive(entries=[Entry(name=A, local_sizes=(0xFFFFFFFF, 0xFFFFFFFF))]),
    "half of the zip64 sizes": Archive(
        entries=[Entry(name=A, local_sizes=(0xFFFFFFFF, 0xFFFFFFFF), local_extra=struct.pack("<HHQ", 1, 8, 6))]
    ),
    "a data descriptor that is missing": Archive(entries=[Entry(name=A, flags=8, local_crc=0, local_sizes=(0, 0))]),
    "a data descriptor that lies": Archive(
        entries=[Entry(name=A, data=DATA, flags=8, local_crc=0, local_sizes=(0, 0), after=descriptor(crc=1))]
    ),
    "a data descriptor without its sign": Archive(
        entries=[Entry(name=A, data=DATA, flags=8, local_crc=0, local_sizes=(0, 0), after=descriptor()[4:])]
    ),
    "a stored member with a data descriptor": Archive(
        entries=[
            Entry(
                name=A,
                data=DATA,
                method=0,
                flags=8,
                local_crc=0,
                local_sizes=(0, 0),
                after=descriptor(packed=len(DATA)),
            )
        ]
    ),
    "a locator that points elsewhere": zip64_end(two_members(), locator_off=1),
    "a zip64 end record with more in it": zip64_end(two_members(), extra=b"hidden!!"),
    "a zip64 end record on another disk": zip64_end(two_members()).replace(
        struct.pack("<HHII", 45, 45, 0, 0), struct.pack("<HHII", 45, 45, 1, 0)
    ),
    "a zip64 end record that is missing": Archive(entries=two_members(), count=0xFFFF),
    "a symlink": Archive(entries=[Entry(name=A, data=b"/etc/passwd", mode=0o120777)]),
    "a symlink made by DOS": Archive(entries=[Entry(name=A, data=b"/etc/passwd", mode=0o120777, made_by=20)]),
    "a device": Archive(entries=[Entry(name=A, data=b"", mode=0o020666)]),
    "a pipe": Archive(entries=[Entry(name=A, data=b"", mode=0o010644)]),
    "a folder with a file's mode": Archive(entries=[Entry(name=b"demo/", data=b"", mode=0o100644), Entry(name=A)]),
    "a file with a folder's mode": Archive(entries=[Entry(name=A, mode=0o40755)]),
    "a folder with content": Archive(entries=[Entry(name=b"demo/", mode=0o40755), Entry(name=A)]),
    "a folder with hidden bytes": Archive(
        entries=[Entry(name=b"demo/", data=b"", packed=b"hidden", mode=0o40755), Entry(name=A)]
    ),
    "a name that is not UTF-8": Archive(entries=[Entry(name=b"demo/\xe9.py", flags=0x800)]),
    "a name in an unmarked encoding": Archive(entries=[Entry(name="demo/é.py".encode())]),
    "an empty name": Archive(entries=[Entry(name=b"")]),
    "an endless name": Archive(entries=[Entry(name=b"/".join([b"d" * 100] * 30))]),
}


@pytest.mark.parametrize("case", SOUND)
def test_a_sound_archive_is_read_as_zipfile_reads_it(case: str, tmp_path: Path) -> None:
    path = SOUND[case].write(tmp_path / "demo.whl")

    with archive.read(path) as wheel, zipfile.ZipFile(path) as judge:
        assert wheel.names == tuple(name for name in judge.namelist() if not name.endswith("/"))
        assert [wheel.read(name) for name in wheel.names] == [judge.read(name) for name in wheel.names]


@pytest.mark.parametrize("case", BROKEN)
def test_an_archive_that_readers_could_differ_on_is_refused(case: str, tmp_path: Path) -> None:
    forged = BROKEN[case]
    path = tmp_path / "demo.whl"
    path.write_bytes(forged if isinstance(forged, bytes) else forged.to_bytes())

    with pytest.raises(WheelRejectedError, match="A-05: "):
        archive.read(path)


@pytest.mark.parametrize("saturated", [True, False])
def test_a_coherent_zip64_end_record_is_taken(saturated: bool, tmp_path: Path) -> None:  # noqa: FBT001
    path = tmp_path / "demo.whl"
    path.write_bytes(zip64_end(two_members(), saturated=saturated))

    with archive.read(path) as wheel:
        assert wheel.names == (A.decode(), B.decode())


def test_a_64_bit_data_descriptor_is_taken(tmp_path: Path) -> None:
    entry = Entry(name=A, data=DATA, flags=8, local_crc=0, local_sizes=(0, 0), after=descriptor(form="IQQ"))
    path = Archive(entries=[entry, Entry(name=B)]).write(tmp_path / "demo.whl")

    with archive.read(path) as wheel:
        assert wheel.read(A.decode()) == DATA


def test_the_central_directory_may_list_members_in_another_order_than_the_file(tmp_path: Path) -> None:
    second_at = 30 + len(A) + len(PACKED)
    path = Archive(
        entries=[
            Entry(name=A, data=DATA, packed=PACKED, in_central=False),
            Entry(name=B, data=DATA, packed=PACKED),
            Entry(name=A, data=DATA, packed=PACKED, in_local=False, header_at=0),
        ]
    ).write(tmp_path / "demo.whl")

    with archive.read(path) as wheel:
        assert wheel.names == (B.decode(), A.decode())
        assert wheel.members[B.decode()].header_at == second_at
