"""The canonical form: always the same bytes, and nothing but what the wheel is."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from schema.errors import WheelRejectedError
from schema.wheels.canonical import EARLIEST_EPOCH, file_name, is_canonical, repack
from tests.schema.wheels import forge
from tests.schema.wheels.forge import EPOCH, Archive, Entry, canonical, members, write


def test_the_same_members_give_the_same_bytes_however_they_were_packed(tmp_path: Path) -> None:
    files = members()
    one = repack(write(tmp_path / "a", files), tmp_path / "one", epoch=EPOCH)
    backwards = dict(reversed(files.items()))
    raw = tmp_path / "b" / "demo-1.0-py3-none-any.whl"
    raw.parent.mkdir()
    listing = "demo-1.0.dist-info/RECORD"
    entries = [Entry(name=name.encode(), data=data, method=0, mode=0) for name, data in backwards.items()]
    Archive(
        entries=[Entry(name=listing.encode(), data=b"lies,,\n"), Entry(name=b"demo/", data=b"", mode=0), *entries]
    ).write(raw)

    other = repack(raw, tmp_path / "other", epoch=EPOCH)

    assert one.read_bytes() == other.read_bytes()
    assert repack(one, tmp_path / "again", epoch=EPOCH).read_bytes() == one.read_bytes()


def test_members_are_sorted_with_dist_info_last_and_record_at_the_very_end(tmp_path: Path) -> None:
    files = members() | {"zebra.py": b"", "Apple.py": b"", "demo-1.0.data/scripts/demo": b"#!python\n"}

    with zipfile.ZipFile(canonical(tmp_path, files)) as archive:
        assert archive.namelist() == [
            "Apple.py",
            "demo-1.0.data/scripts/demo",
            "demo/__init__.py",
            "zebra.py",
            "demo-1.0.dist-info/METADATA",
            "demo-1.0.dist-info/WHEEL",
            "demo-1.0.dist-info/RECORD",
        ]


def test_every_member_has_the_time_of_the_epoch_and_one_of_two_modes(tmp_path: Path) -> None:
    files = members() | {"demo/tool": b"", "demo-1.0.data/scripts/run": b"", "demo/private.py": b""}
    raw = write(tmp_path, files, modes={"demo/tool": 0o711, "demo/private.py": 0o600})

    with zipfile.ZipFile(repack(raw, tmp_path / "out", epoch=EPOCH)) as archive:
        infos = {info.filename: info for info in archive.infolist()}

    moment = datetime.fromtimestamp(EPOCH, UTC)
    assert {info.date_time for info in infos.values()} == {
        (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second // 2 * 2)
    }
    assert {name for name, info in infos.items() if info.external_attr >> 16 == stat.S_IFREG | 0o755} == {
        "demo/tool",
        "demo-1.0.data/scripts/run",
    }
    assert {info.external_attr >> 16 for info in infos.values()} == {stat.S_IFREG | 0o755, stat.S_IFREG | 0o644}
    assert all(info.compress_type == zipfile.ZIP_DEFLATED and not info.extra for info in infos.values())


def test_record_is_made_anew_and_true(tmp_path: Path) -> None:
    path = repack(write(tmp_path, members(), listing=b"lies,,\n"), tmp_path / "out", epoch=EPOCH)

    with zipfile.ZipFile(path) as archive:
        listing = archive.read("demo-1.0.dist-info/RECORD")
        expected = forge.record(
            {name: archive.read(name) for name in archive.namelist()[:-1]}, "demo-1.0.dist-info/RECORD"
        )

    assert listing == expected


def test_metadata_keeps_its_very_bytes(tmp_path: Path) -> None:
    odd = forge.metadata().replace(b"\n", b"\r\n") + b"\r\n\r\ntrailing   \n\n"

    with zipfile.ZipFile(canonical(tmp_path, members(METADATA=odd))) as archive:
        assert archive.read("demo-1.0.dist-info/METADATA") == odd


@pytest.mark.parametrize(
    ("raw", "number", "name", "line"),
    [
        ("demo-1.0-py3-none-any.whl", 2, "demo-1.0-2-py3-none-any.whl", b"Build: 2\n"),
        ("demo-1.0-7-py3-none-any.whl", 0, "demo-1.0-py3-none-any.whl", b""),
        ("demo-1.0-7-py3-none-any.whl", 3, "demo-1.0-3-py3-none-any.whl", b"Build: 3\n"),
    ],
)
def test_the_build_number_stands_in_the_file_name_and_in_wheel(
    raw: str, number: int, name: str, line: bytes, tmp_path: Path
) -> None:
    plain = members()["demo-1.0.dist-info/WHEEL"]
    files = members(WHEEL=plain.replace(b"Tag:", b"Build: 7\nTag:") if "-7-" in raw else plain)

    path = canonical(tmp_path, files, filename=raw, build_number=number)

    assert path.name == name
    with zipfile.ZipFile(path) as archive:
        assert archive.read("demo-1.0.dist-info/WHEEL") == plain + line


@pytest.mark.parametrize("end", [b"", b"\n\n", b"\r\n"])
def test_taking_a_build_number_away_again_gives_the_first_bytes(end: bytes, tmp_path: Path) -> None:
    odd = members()["demo-1.0.dist-info/WHEEL"].rstrip() + end
    first = canonical(tmp_path, members(WHEEL=odd))

    numbered = repack(first, tmp_path / "numbered", epoch=EPOCH, build_number=3)
    again = repack(numbered, tmp_path / "again", epoch=EPOCH, build_number=0)

    assert again.read_bytes() == first.read_bytes()


@pytest.mark.parametrize(
    ("folder", "name", "version", "normal"),
    [
        ("PyYAML-6.0", "PyYAML", "6.0", "pyyaml-6.0"),
        ("zope.interface-5.0", "zope.interface", "5.0", "zope_interface-5.0"),
        ("Foo_Bar-1.0_post1", "Foo-Bar", "1.0-post1", "foo_bar-1.0.post1"),
        ("demo-1.0", "demo", "1.0.0", "demo-1.0.0"),
    ],
)
def test_old_spellings_are_normalised_in_all_three_places(
    folder: str, name: str, version: str, normal: str, tmp_path: Path
) -> None:
    files = members(info=f"{folder}.dist-info", METADATA=forge.metadata(name, version))
    files[f"{folder}.data/scripts/run"] = b"#!python\n"
    raw = write(tmp_path, files, filename=f"{folder}-py3-none-any.whl", info=f"{folder}.dist-info")

    path = repack(raw, tmp_path / "out", epoch=EPOCH)

    assert path.name == f"{normal}-py3-none-any.whl"
    with zipfile.ZipFile(path) as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {
            "demo",
            f"{normal}.dist-info",
            f"{normal}.data",
        }


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("A-02", lambda files: files.pop("demo-1.0.dist-info/METADATA")),
        ("A-02", lambda files: files.update({"other-1.0.dist-info/METADATA": b""})),
        ("A-02", lambda files: files.update({"Demo-1.0.DIST-INFO/METADATA": b""})),
        ("A-02", lambda files: files.update({"other-2.0.data/scripts/x": b""})),
        ("A-02", lambda files: files.update({"demo-1.0.data/scripts/x": b"", "Demo-1.0.data/scripts/x": b""})),
        ("A-02", lambda files: files.update({"demo-1.0.dist-info/METADATA": forge.metadata("other")})),
        ("A-02", lambda files: files.update({"demo-1.0.dist-info/METADATA": forge.metadata("demo", "2.0")})),
        ("A-06", lambda files: files.update({"demo-1.0.dist-info/METADATA": b"nothing"})),
    ],
)
def test_what_is_not_clearly_one_projects_wheel_is_not_repacked(
    rule: str, change: Callable[[dict[str, bytes]], object], tmp_path: Path
) -> None:
    files = members()
    change(files)

    with pytest.raises(WheelRejectedError, match=rule):
        repack(write(tmp_path, files), tmp_path / "out", epoch=EPOCH)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "filename",
    ["demo.whl", "demo-1.0.whl", "demo-1.0-py3-none.whl", "demo-x-py3-none-any.whl", "demo-1.0-py3-none-any.zip"],
)
def test_what_is_not_named_as_a_wheel_is_not_repacked(filename: str, tmp_path: Path) -> None:
    with pytest.raises(WheelRejectedError, match="A-01"):
        repack(write(tmp_path, members(), filename=filename), tmp_path / "out", epoch=EPOCH)


def test_a_member_that_cannot_be_inflated_leaves_nothing_behind(tmp_path: Path) -> None:
    raw = write(tmp_path, members() | {"demo/data.bin": bytes(range(256)) * 64})
    data = bytearray(raw.read_bytes())
    at = data.index(b"demo/data.bin") + len("demo/data.bin") + 20
    data[at : at + 4] = b"\xff\xff\xff\xff"
    raw.write_bytes(data)

    with pytest.raises(WheelRejectedError, match="A-05"):
        repack(raw, tmp_path / "out", epoch=EPOCH)
    assert list((tmp_path / "out").iterdir()) == []


def test_bytecode_in_pycache_is_left_out_and_other_bytecode_is_kept_for_the_check_to_refuse(tmp_path: Path) -> None:
    files = members() | {"demo/__pycache__/a.cpython-311.pyc": b"x", "__pycache__/b.pyc": b"x", "demo/c.pyc": b"x"}

    with zipfile.ZipFile(canonical(tmp_path, files)) as archive:
        assert [name for name in archive.namelist() if name.endswith(".pyc")] == ["demo/c.pyc"]


def test_a_time_before_1980_is_refused_and_1980_is_taken(tmp_path: Path) -> None:
    raw = write(tmp_path, members())

    with pytest.raises(ValueError, match="before 1980"):
        repack(raw, tmp_path / "out", epoch=EARLIEST_EPOCH - 1)
    with zipfile.ZipFile(repack(raw, tmp_path / "out", epoch=EARLIEST_EPOCH)) as archive:
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_a_wheel_may_be_repacked_in_its_own_folder(tmp_path: Path) -> None:
    raw = write(tmp_path, members())

    assert repack(raw, tmp_path, epoch=EPOCH) == raw
    assert is_canonical(raw)
    assert list(tmp_path.iterdir()) == [raw]


def test_compressed_tags_are_sorted_in_the_file_name() -> None:
    name = file_name(canonicalize_name("Demo.X"), Version("1.0"), build_number=0, tags="py3.py2-none-b.a")

    assert name == "demo_x-1.0-py2.py3-none-a.b.whl"


def test_what_repack_writes_is_canonical_and_what_a_backend_writes_is_not(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", members())

    assert not is_canonical(raw)
    assert is_canonical(repack(raw, tmp_path, epoch=EPOCH))


def test_another_compressor_does_not_make_a_wheel_less_canonical(tmp_path: Path) -> None:
    path = canonical(tmp_path, members())
    weaker = _rewritten(path, tmp_path / "w" / path.name, level=1)

    assert is_canonical(weaker)


@pytest.mark.parametrize(
    "change",
    [
        {"create_system": 0},
        {"date_time": (2001, 1, 1, 0, 0, 0)},
        {"external_attr": 0o100600 << 16},
        {"external_attr": 0o100777 << 16},
        {"extra": b"UT\5\0\1abcd"},
        {"compress_type": zipfile.ZIP_STORED},
        {"create_version": 63},
    ],
)
def test_one_field_of_one_member_that_differs_is_not_canonical(change: dict[str, object], tmp_path: Path) -> None:
    path = canonical(tmp_path, members())
    other = _rewritten(path, tmp_path / "w" / path.name, change=change)

    assert not is_canonical(other)


def test_another_order_a_folder_entry_or_a_foreign_record_is_not_canonical(tmp_path: Path) -> None:
    path = canonical(tmp_path, members())
    folder = tmp_path / "w"

    assert not is_canonical(_rewritten(path, folder / "a.whl", backwards=True))
    assert not is_canonical(_rewritten(path, folder / "b.whl", add="demo/"))
    assert not is_canonical(
        _rewritten(path, folder / "c.whl", listing=lambda data: b"\n".join(data.split(b"\n")[::-1]))
    )
    assert not is_canonical(_rewritten(path, folder / "d.whl", listing=lambda data: data.replace(b"\n", b"\r\n")))
    assert not is_canonical(tmp_path / "raw" / path.name)


def test_a_script_must_be_executable_to_be_canonical(tmp_path: Path) -> None:
    path = canonical(tmp_path, members() | {"demo-1.0.data/scripts/run": b"#!python\n"})
    other = _rewritten(path, tmp_path / "w" / path.name, change={"external_attr": 0o100644 << 16})

    assert is_canonical(path)
    assert not is_canonical(other)


def test_a_file_that_is_no_wheel_is_not_canonical(tmp_path: Path) -> None:
    (tmp_path / "demo-1.0-py3-none-any.whl").write_bytes(b"nothing")

    assert not is_canonical(tmp_path / "demo-1.0-py3-none-any.whl")


def test_the_form_of_a_known_wheel_never_changes(tmp_path: Path) -> None:
    path = canonical(tmp_path, members() | {"demo-1.0.data/scripts/run": b"#!python\n"})
    fields = ["filename", "date_time", "external_attr", "internal_attr", "create_system", "create_version"]
    fields += ["extract_version", "flag_bits", "compress_type", "extra", "comment", "volume", "CRC"]

    with zipfile.ZipFile(path) as archive:
        form = [[getattr(info, field) for field in fields] for info in archive.infolist()]

    # Whoever changes this changes the digest of every wheel that any farm builds again.
    assert (
        hashlib.sha256(repr(form).encode()).hexdigest()
        == "f6e9bfc11f39d02ac79d1f702ac457d2a18a0e153afa809f73ab9a118bdc2f6e"
    )


def _rewritten(
    path: Path,
    target: Path,
    *,
    change: dict[str, object] | None = None,
    level: int = 6,
    backwards: bool = False,
    add: str | None = None,
    listing: Callable[[bytes], bytes] = bytes,
) -> Path:
    """The same wheel through zipfile, with *change* made to its first member."""
    target.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        infos = old.infolist()[:: -1 if backwards else 1]
        if add:
            new.writestr(add, b"")
        for number, info in enumerate(infos):
            data = old.read(info)
            if info.filename.endswith("RECORD"):
                data = listing(data)
            for key, value in (change or {}).items() if number == 0 else ():
                setattr(info, key, value)
            new.writestr(info, data, compresslevel=level)
    return target


def test_platform_tags_give_way_to_others_in_the_name_in_wheel_and_in_record(tmp_path: Path) -> None:
    raw = write(
        tmp_path, members("cp311-cp311-linux_armv6l", purelib=False), filename="demo-1.0-cp311-cp311-linux_armv6l.whl"
    )

    made = repack(raw, tmp_path / "out", epoch=EPOCH, retagged={"linux_armv6l": ("linux_armv6l", "linux_armv7l")})

    assert made.name == "demo-1.0-cp311-cp311-linux_armv6l.linux_armv7l.whl"
    with zipfile.ZipFile(made) as archive:
        header = archive.read("demo-1.0.dist-info/WHEEL").decode()
        listing = archive.read("demo-1.0.dist-info/RECORD").decode()
    assert [line for line in header.splitlines() if line.startswith("Tag:")] == [
        "Tag: cp311-cp311-linux_armv6l",
        "Tag: cp311-cp311-linux_armv7l",
    ]
    assert (
        forge.record({"demo-1.0.dist-info/WHEEL": header.encode()}, "").splitlines()[0].decode() in listing.splitlines()
    )
    assert is_canonical(made)
    again = repack(made, tmp_path / "again", epoch=EPOCH, retagged={"linux_armv6l": ("linux_armv6l", "linux_armv7l")})
    assert again.read_bytes() == made.read_bytes()


def test_a_wheel_without_such_a_tag_stays_as_it_is(tmp_path: Path) -> None:
    raw = write(tmp_path, members())

    made = repack(raw, tmp_path / "out", epoch=EPOCH, retagged={"linux_armv8l": ("linux_armv7l",)})

    assert made.read_bytes() == repack(raw, tmp_path / "other", epoch=EPOCH).read_bytes()
