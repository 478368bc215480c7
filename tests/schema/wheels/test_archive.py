"""A-05 beyond the frame: names, bombs, and bytes that are not what they should be."""

from __future__ import annotations

import secrets
import zipfile
import zlib
from pathlib import Path

import pytest

from schema.errors import WheelRejectedError
from schema.wheels import archive
from tests.schema.wheels.forge import Archive, Entry

DATA = b"x = 1\n" * 1000
PACKED = zlib.compress(DATA)[2:-4]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../evil.py",
        "demo/../../evil.py",
        "demo/./a.py",
        "demo//a.py",
        "..",
        ".",
        "C:/evil.py",
        "c:evil.py",
        "demo\\a.py",
        "demo/a\n.py",
        "demo/a\x00.py",
        "demo/a\x1b[31m.py",
        "demo/a\x7f.py",
        "demo/a\u202egpj.py",
        "demo/a\u2028.py",
        "demo/a\x85.py",
        "demo/" + "a" * 256,
        "/".join("a" * 70),
    ],
)
def test_a_name_that_means_another_place_or_hides_something_is_refused(name: str, tmp_path: Path) -> None:
    path = Archive(entries=[Entry(name=name.encode(), flags=0 if name.isascii() else 0x800)]).write(tmp_path / "d.whl")

    with pytest.raises(WheelRejectedError, match="A-05: "):
        archive.read(path)


@pytest.mark.parametrize(
    "names",
    [
        ["demo", "demo/a.py"],
        ["demo/a.py", "demo"],
        ["demo/", "demo"],
        ["demo/", "demo/"],
        ["demo/a.py/b/c", "demo/a.py"],
    ],
)
def test_one_path_is_not_there_twice_and_not_both_file_and_folder(names: list[str], tmp_path: Path) -> None:
    entries = [Entry(name=name.encode(), data=b"", mode=0o40755 if name.endswith("/") else 0o100644) for name in names]

    with pytest.raises(WheelRejectedError, match="A-05: "):
        archive.read(Archive(entries=entries).write(tmp_path / "d.whl"))


def test_names_that_differ_only_in_case_are_taken_because_the_farm_serves_linux(tmp_path: Path) -> None:
    path = Archive(entries=[Entry(name=b"terminfo/A"), Entry(name=b"terminfo/a")]).write(tmp_path / "d.whl")

    with archive.read(path) as wheel:
        assert wheel.names == ("terminfo/A", "terminfo/a")


@pytest.mark.parametrize(
    "entry",
    [
        Entry(name=b"a", data=DATA, crc=1, local_crc=1),
        Entry(name=b"a", data=DATA, size=5999),
        Entry(name=b"a", data=DATA, size=6001),
        Entry(name=b"a", data=DATA, packed=PACKED[:-5]),
        Entry(name=b"a", data=DATA, packed=PACKED + b"hidden"),
        Entry(name=b"a", data=DATA, packed=PACKED + PACKED),
        Entry(name=b"a", data=DATA, packed=b"\xff" * 50),
        Entry(name=b"a", data=DATA, packed=b""),
        Entry(name=b"a", data=DATA, method=zipfile.ZIP_STORED, packed=DATA[:-1] + b"y"),
    ],
)
def test_a_member_that_is_not_what_its_header_promises_is_refused_while_it_is_read(
    entry: Entry, tmp_path: Path
) -> None:
    with (
        archive.read(Archive(entries=[entry]).write(tmp_path / "d.whl")) as wheel,
        pytest.raises(WheelRejectedError, match="A-05: "),
    ):
        wheel.read("a")


def test_a_member_that_inflates_to_more_than_it_says_is_stopped_early(tmp_path: Path) -> None:
    bomb = bytes(200 * 2**20)
    path = Archive(entries=[Entry(name=b"a", data=bomb, size=1000)]).write(tmp_path / "d.whl")

    with archive.read(path) as wheel:
        got: list[int] = []
        with pytest.raises(WheelRejectedError, match="A-05: "):
            got.extend(len(chunk) for chunk in wheel.chunks("a"))
        assert sum(got) < 2**20


def test_what_inflates_beyond_64_mib_may_not_do_so_more_than_fifty_fold(tmp_path: Path) -> None:
    path = Archive(entries=[Entry(name=b"a", data=bytes(65 * 2**20))]).write(tmp_path / "d.whl")

    with pytest.raises(WheelRejectedError, match="a bomb"):
        archive.read(path)


def test_a_small_archive_may_be_packed_as_tightly_as_it_likes(tmp_path: Path) -> None:
    with archive.read(Archive(entries=[Entry(name=b"a", data=bytes(2**20))]).write(tmp_path / "d.whl")) as wheel:
        assert wheel.read("a") == bytes(2**20)


def test_the_sum_of_all_members_is_limited(tmp_path: Path) -> None:
    path = Archive(entries=[Entry(name=b"a", data=DATA), Entry(name=b"b", data=DATA)]).write(tmp_path / "d.whl")

    with pytest.raises(WheelRejectedError, match="at most 11999"):
        archive.read(path, max_bytes=11_999)
    archive.read(path, max_bytes=12_000).close()


def test_a_member_is_not_read_whole_beyond_the_limit_asked_for(tmp_path: Path) -> None:
    with (
        archive.read(Archive(entries=[Entry(name=b"a", data=DATA)]).write(tmp_path / "d.whl")) as wheel,
        pytest.raises(WheelRejectedError, match="at most 100 are allowed"),
    ):
        wheel.read("a", limit=100)


def test_a_large_member_comes_in_small_pieces(tmp_path: Path) -> None:
    data = bytes(3 * 2**20)

    with archive.read(Archive(entries=[Entry(name=b"a", data=data)]).write(tmp_path / "d.whl")) as wheel:
        pieces = list(wheel.chunks("a"))

    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 2**18


def test_two_members_can_be_read_in_turns(tmp_path: Path) -> None:
    one, other = secrets.token_bytes(2**20), secrets.token_bytes(2**20)
    path = Archive(entries=[Entry(name=b"a", data=one), Entry(name=b"b", data=other)]).write(tmp_path / "d.whl")

    with archive.read(path) as wheel:
        pairs = list(zip(wheel.chunks("a"), wheel.chunks("b"), strict=True))

    assert (b"".join(a for a, _ in pairs), b"".join(b for _, b in pairs)) == (one, other)


def test_a_file_that_cannot_be_read_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        archive.read(tmp_path / "nothing.whl")
