"""Tarballs from elsewhere: what they hold is unpacked, what they try is refused, nothing outside is read or written."""

from __future__ import annotations

import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.images import tarball
from builder.images.tarball import Limits
from schema.errors import ImageError
from tests.builder.images.tars import Item, file, folder, hard_link, link, special, tar
from tests.builder.sandbox.conftest import as_nobody

GIB = 2**30


def _unpack(archive: Path, into: Path, *, limits: Limits = tarball.LIMITS) -> list[str]:
    """What came out, sorted."""
    tarball.unpack(archive, into, limits=limits, progress=lambda *_: None)
    return sorted(str(path.relative_to(into)) for path in into.rglob("*"))


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder beside the root that nothing may be read from or written to."""
    beside = tmp_path / "outside"
    beside.mkdir()
    (beside / "secret").write_text("secret")
    before = (beside / "secret").stat()
    yield beside
    after = (beside / "secret").stat()
    assert [path.name for path in beside.iterdir()] == ["secret"]
    assert (beside / "secret").read_text() == "secret"
    assert (before.st_nlink, before.st_mode, before.st_mtime_ns) == (after.st_nlink, after.st_mode, after.st_mtime_ns)
    assert not (tmp_path / "x").exists()


def _hostile(outside: Path) -> dict[str, tuple[list[Item], str]]:
    secret = outside / "secret"
    return {
        "a way up": ([file("../x", b"x")], "'..'"),
        "a way up further down": ([file("usr/../../x", b"x")], "'..'"),
        "an absolute name": ([file(f"{outside}/x", b"x")], "absolute"),
        "a file through a link to a folder": ([link("l", str(outside)), file("l/x", b"x")], "through a link"),
        "a file through a link up": ([link("usr/l", "../../outside"), file("usr/l/x", b"x")], "through a link"),
        "a folder through a link": ([link("l", str(outside)), folder("l/x")], "through a link"),
        "a folder where a link is": ([link("l", str(outside)), folder("l", mode=0o777)], "through a link"),
        "a file over a link": ([link("l", str(secret)), file("l", b"x")], "is there twice"),
        "a link through a link": ([link("l", str(outside)), link("l/x", "secret")], "through a link"),
        "a hard link out": ([hard_link("x", str(secret))], "absolute"),
        "a hard link up": ([hard_link("usr/x", "../outside/secret")], "'..'"),
        "a hard link through a link": ([link("l", str(outside)), hard_link("x", "l/secret")], "through a link"),
        "a hard link to a link": ([link("l", str(secret)), hard_link("x", "l")], "which is no file"),
        "a hard link to what comes later": ([hard_link("x", "y"), file("y", b"y")], "what is not there"),
        "a hard link to the root": ([hard_link("x", "./")], "to no file"),
        "a device through a link, then a file": (
            [link("l", str(outside)), special("l/x", tarfile.CHRTYPE), file("l/y", b"")],
            "through a link",
        ),
        "two files of one name": ([file("a", b"1"), file("./a", b"2")], "is there twice"),
        "a file where a folder is": ([folder("a"), file("a", b"")], "is there twice"),
        "a file below a file": ([file("a", b""), file("a/b", b"")], "no folder"),
        "a newline in a name": ([file("a\nb", b"")], "control character"),
        "an escape in a name": ([file("\x1b[2J", b"")], "control character"),
        "a newline in a link": ([link("a", "b\nc")], "the link 'a'"),
        "an empty link": ([link("a", "")], "the link 'a'"),
        "a name of 300 letters": ([file("a" * 300, b"")], "too long"),
        "folders 200 deep": ([file("a/" * 200 + "b", b"")], "201 deep"),
    }


@pytest.mark.parametrize("attack", _hostile(Path("/")))
def test_what_could_lead_out_is_refused(attack: str, tmp_path: Path, outside: Path) -> None:
    items, reason = _hostile(outside)[attack]

    with pytest.raises(ImageError, match="was refused") as raised:
        _unpack(tar(tmp_path / "t.tar", *items), tmp_path / "root")

    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_links_out_are_data_and_nothing_follows_them(tmp_path: Path, outside: Path) -> None:
    items = [link("etc/passwd", str(outside / "secret")), link("lib64", "lib64"), link("usr/bin/python3", "../../../x")]

    found = _unpack(tar(tmp_path / "t.tar", *items), tmp_path / "root")

    assert found == ["etc", "etc/passwd", "lib64", "usr", "usr/bin", "usr/bin/python3"]
    assert str((tmp_path / "root/etc/passwd").readlink()) == str(outside / "secret")


def test_devices_fifos_and_what_a_running_system_has_are_left_out(tmp_path: Path) -> None:
    kinds = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    items = [
        *(special(f"usr/special-{kind.decode()}", kind) for kind in kinds),
        *(folder(name) for name in ("dev", "proc", "run", "sys", "tmp")),
        *(file(f"{name}/left", b"x") for name in ("dev", "proc", "run", "sys", "tmp")),
        special("dev/null", tarfile.CHRTYPE),
    ]

    assert _unpack(tar(tmp_path / "t.tar", *items), tmp_path / "root") == ["dev", "proc", "run", "sys", "tmp"]


def test_nothing_keeps_the_rights_of_another_user_or_is_open_to_all(tmp_path: Path) -> None:
    modes = {"setuid": 0o4755, "setgid": 0o2755, "open": 0o777, "sticky": 0o1777, "closed": 0o000, "plain": 0o640}
    items = [file(name, b"x", mode=mode, uid=12345, gid=12345, uname="nobody") for name, mode in modes.items()]
    items += [folder("var", mode=0o1777, uid=12345), folder("shut", mode=0o000), file("shut/in", b"")]
    items += [hard_link("also", "setuid")]

    _unpack(tar(tmp_path / "t.tar", *items), tmp_path / "root")

    status = {path.name: path.stat() for path in (tmp_path / "root").iterdir()}
    assert {name: oct(stat.S_IMODE(item.st_mode)) for name, item in status.items()} == {
        "setuid": "0o755",
        "also": "0o755",
        "setgid": "0o755",
        "open": "0o755",
        "sticky": "0o755",
        "closed": "0o400",
        "plain": "0o640",
        "var": "0o755",
        "shut": "0o700",
    }
    assert {(item.st_uid, item.st_gid) for item in status.values()} == {(os.geteuid(), os.getegid())}


@pytest.mark.skipif(os.geteuid() != 0, reason="we are a plain user already")
def test_a_plain_user_unpacks_what_is_closed_to_everybody(reachable: Path) -> None:
    reachable.chmod(0o777)
    items = [folder("usr", mode=0o000), folder("usr/a", mode=0o500), file("usr/a/b", b"x", mode=0o000)]
    archive = tar(reachable / "t.tar", *items)

    assert as_nobody(lambda: _unpack(archive, reachable / "root")) == ["usr", "usr/a", "usr/a/b"]


def test_files_keep_their_bytes_times_and_hard_links(tmp_path: Path) -> None:
    items = [file("usr/a", b"bytes", mtime=1_600_000_000), hard_link("usr/b", "usr/a"), file("usr/old", mtime=-5)]

    _unpack(tar(tmp_path / "t.tar", *items), tmp_path / "root")

    first = tmp_path / "root/usr/a"
    assert first.read_bytes() == b"bytes"
    assert first.stat().st_mtime == 1_600_000_000
    assert first.samefile(tmp_path / "root/usr/b")
    assert (tmp_path / "root/usr/old").stat().st_mtime == 0


@pytest.mark.parametrize("how", ["plain", "gzip", "bzip2", "xz", "zstd"])
def test_each_compression_is_told_by_its_bytes_and_a_cut_file_is_refused(how: str, tmp_path: Path) -> None:
    archive = tar(tmp_path / "t", *(file(f"usr/{number}", os.urandom(4096)) for number in range(20)))
    if how != "plain":
        packed = subprocess.run([how, "-c"], input=archive.read_bytes(), capture_output=True, check=True).stdout
        archive.write_bytes(packed)
    cut = tmp_path / "cut"
    cut.write_bytes(archive.read_bytes()[: 50_000 if how == "plain" else -20])

    assert len(_unpack(archive, tmp_path / "root")) == 21
    with pytest.raises(ImageError, match="cut is no readable tarball"):
        _unpack(cut, tmp_path / "another")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" * 300, b"\x1f\x8b not gzip", b"\xff" * 2048])
def test_what_is_no_tarball_is_told(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(data)

    with pytest.raises(ImageError, match="t is no readable tarball"):
        _unpack(tmp_path / "t", tmp_path / "root")


def test_a_tarball_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"could not be unpacked: .*No such file"):
        _unpack(tmp_path / "t", tmp_path / "root")


def test_more_bytes_than_allowed_are_refused_before_they_are_written(tmp_path: Path) -> None:
    info = tarfile.TarInfo("usr/big")
    info.size = 100 * GIB
    (tmp_path / "t").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(100_000))

    with pytest.raises(ImageError, match=r"larger than 8\.0 GiB .*--most-gib allows more"):
        _unpack(tmp_path / "t", tmp_path / "root")

    assert not (tmp_path / "root/usr/big").exists()


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_a_sparse_file_of_100_gib_is_refused(form: str, tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as big:
        big.truncate(100 * GIB)
    subprocess.run(["tar", f"--format={form}", "-Scf", "t", "big"], cwd=tmp_path, check=True)

    with pytest.raises(ImageError, match="a sparse file: pack it without --sparse"):
        _unpack(tmp_path / "t", tmp_path / "root")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_no_memory_is_taken_for_what_a_header_announces(kind: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 100 * GIB
    (tmp_path / "t").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))

    with pytest.raises(ImageError, match="a header of 107374182400 bytes"):
        _unpack(tmp_path / "t", tmp_path / "root")


def test_headers_of_headers_without_end_are_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    (tmp_path / "t").write_bytes((info.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")) * 5000)

    with pytest.raises(ImageError, match="no readable tarball"):
        _unpack(tmp_path / "t", tmp_path / "root")


def test_files_without_end_are_refused(tmp_path: Path) -> None:
    archive = tar(tmp_path / "t", *(file(f"usr/{number}") for number in range(600)))

    with pytest.raises(ImageError, match="more than 500 files and folders"):
        _unpack(archive, tmp_path / "root", limits=Limits(most_members=500))


def test_a_bomb_after_the_archives_end_is_refused(tmp_path: Path) -> None:
    archive = tar(tmp_path / "t", file("usr/a"))
    packed = subprocess.run(
        ["zstd", "-c"], input=archive.read_bytes() + bytes(64 * 2**20), capture_output=True, check=True
    ).stdout
    archive.write_bytes(packed)

    with pytest.raises(ImageError, match="endless bytes after the archive's end"):
        _unpack(archive, tmp_path / "root", limits=Limits(most_bytes=2**20))


def test_names_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("caf\udce9")
    (tmp_path / "t").write_bytes(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))

    with pytest.raises(ImageError, match="no readable tarball"):
        _unpack(tmp_path / "t", tmp_path / "root")
