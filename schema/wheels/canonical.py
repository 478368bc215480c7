"""
The one form in which the farm's wheels are written (T7, A-17).

Members sorted with ``.dist-info`` last and RECORD at the very end, one time for all, two modes (executable or not),
deflate, no extra fields, no folder entries, no zip64. The same members and epoch always give the same bytes with the
same zlib; with another zlib only the compressed data differ, never the frame.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from packaging.utils import InvalidWheelFilename, NormalizedName, parse_wheel_filename
from packaging.version import Version

from schema.errors import WheelRejectedError
from schema.wheels import archive, layout, metadata, record, wheelfile
from schema.wheels.archive import WheelArchive
from schema.wheels.finding import broken, rejection
from schema.wheels.framing import CENTRAL, CENTRAL_SIGN, DEFLATED, END, END_SIGN, LOCAL, LOCAL_SIGN, UTF8_NAME, Member

# zip cannot tell an earlier time: 1980-01-01 (B-07).
EARLIEST_EPOCH = 315_532_800

_PLAIN_MODE, _EXECUTABLE_MODE = 0o100644, 0o100755
_MADE_BY_UNIX = 3 << 8 | 20
_NEEDS = 20
_MAX_FILE_NAME_BYTES = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """A file of the new wheel: either a member of the old one, or *data*."""

    name: str
    source: str
    is_executable: bool
    data: bytes | None = None


def repack(
    source: Path,
    folder: Path,
    *,
    epoch: int,
    build_number: int = 0,
    retagged: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Path:
    """Write the canonical form of the wheel *source* into *folder*, and return its path.

    epoch: SOURCE_DATE_EPOCH, at least EARLIEST_EPOCH
    build_number: 0 for none; goes into the file name and WHEEL (A-11)
    retagged: platform tags → those that take their place in the file name and WHEEL (A-03)

    Names are normalised: the file's, and those of ``.dist-info`` and ``.data`` (A-01, A-02). METADATA keeps its bytes;
    RECORD is made anew; bytecode in ``__pycache__`` is left out, for installers make their own.

    Raise WheelRejectedError if the archive is not sound, or not clearly one project's wheel.
    """
    if epoch < EARLIEST_EPOCH:
        raise ValueError(f"epoch {epoch} is before 1980; zip cannot tell it")
    with archive.read(source) as wheel:
        name, contents = _plan(wheel, source.name, build_number, retagged)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".repack-", delete=False) as file:
            temporary = Path(file.name)
            try:
                _write(file, wheel, contents, _dos_time(epoch))
                file.flush()
                temporary.chmod(0o644)
                return temporary.replace(folder / name)
            finally:
                with suppress(FileNotFoundError):
                    temporary.unlink()


def is_canonical(path: Path) -> bool:
    """Whether frame and order are those that ``repack`` writes; the compressed data may come from any zlib."""
    try:
        with archive.read(path) as wheel:
            return _is_canonical(wheel)
    except WheelRejectedError:
        return False


def file_name(project: NormalizedName, version: Version, *, build_number: int, tags: str) -> str:
    """A wheel's normalised name (A-01); *tags* is its last part: ``cp311-cp311-linux_x86_64``."""
    build = f"-{build_number}" if build_number else ""
    ordered = "-".join(".".join(sorted(set(part.split(".")))) for part in tags.split("-"))
    return f"{layout.stem(project, version)}{build}-{ordered}.whl"


def _plan(
    wheel: WheelArchive, name: str, build_number: int, retagged: Mapping[str, Sequence[str]]
) -> tuple[str, list[_Content]]:
    """The new file name, and the files in their order without RECORD."""
    project, version, tags = _parse_name(name)
    new_tags = wheelfile.retag(tags, retagged)
    info = layout.dist_info(wheel.names)
    data = layout.data_folder(wheel.names)
    told = _told(wheel, f"{info}/METADATA", name)
    folders = [info, *filter(None, [data])]
    if (told.name, told.version) != (project, version) or not all(
        layout.means(folder, project, version) for folder in folders
    ):
        text = f"{name!r}, its METADATA ({told.name} {told.version}) and {', '.join(folders)} are not of one project"
        raise broken("A-02", text)
    stem = layout.stem(told.name, told.version)
    renamed = {info: f"{stem}.dist-info", **({data: f"{stem}.data"} if data else {})}
    header = _header(wheel, f"{info}/WHEEL", build_number, new_tags if new_tags != tags else "")
    contents = [_content(wheel, old, renamed, header) for old in wheel.names if _is_kept(old, info)]
    contents.sort(key=lambda item: _order(item.name, renamed[info]))
    new_name = file_name(told.name, told.version, build_number=build_number, tags=new_tags)
    if len(new_name.encode()) > _MAX_FILE_NAME_BYTES:
        raise broken("A-01", f"the normalised name {new_name!r} is too long for a file")
    return new_name, contents


def _parse_name(name: str) -> tuple[NormalizedName, Version, str]:
    tags = "-".join(name.removesuffix(".whl").split("-")[-3:])
    try:
        wheelfile.expand(tags)
        project, version, _, _ = parse_wheel_filename(name)
    except (InvalidWheelFilename, ValueError) as err:
        raise broken("A-01", f"{name[:300]!r} is not a wheel's file name: {err}") from err
    return project, version, tags


def _told(wheel: WheelArchive, name: str, filename: str) -> metadata.CoreMetadata:
    if name not in wheel.members:
        raise broken("A-02", f"{name} is missing")
    told, findings = metadata.read(wheel.read(name, limit=metadata.MAX_BYTES))
    if told is None:
        raise rejection(filename, findings)
    return told


def _is_kept(name: str, info: str) -> bool:
    return name != f"{info}/RECORD" and not (layout.is_bytecode(name) and "/__pycache__/" in f"/{name}")


def _header(wheel: WheelArchive, name: str, build_number: int, tags: str) -> bytes | None:
    """WHEEL with that build number, and with *tags* unless they are ""; None where there is no such file."""
    if name not in wheel.members:
        return None
    data = wheel.read(name, limit=wheelfile.MAX_BYTES)
    return wheelfile.with_build_number(wheelfile.with_tags(data, tags) if tags else data, build_number)


def _content(wheel: WheelArchive, old: str, renamed: dict[str, str], header: bytes | None) -> _Content:
    folder, _, rest = old.partition("/")
    name = f"{renamed.get(folder, folder)}/{rest}" if rest else old
    is_script = rest.startswith("scripts/") and folder.endswith(".data")
    is_wheel_file = rest == "WHEEL" and folder.endswith(".dist-info")
    return _Content(
        name=name,
        source=old,
        is_executable=is_script or wheel.members[old].is_executable,
        data=header if is_wheel_file else None,
    )


def _order(name: str, info: str) -> tuple[bool, bool, str]:
    return name.startswith(f"{info}/"), name == f"{info}/RECORD", name


def _dos_time(epoch: int) -> tuple[int, int]:
    moment = time.gmtime(epoch)
    date = (moment.tm_year - 1980) << 9 | moment.tm_mon << 5 | moment.tm_mday
    return moment.tm_hour << 11 | moment.tm_min << 5 | moment.tm_sec // 2, date


def _write(file: IO[bytes], wheel: WheelArchive, contents: Sequence[_Content], dos_time: tuple[int, int]) -> None:
    members, rows = [], []
    for content in contents:
        chunks = wheel.chunks(content.source) if content.data is None else iter([content.data])
        member, row = _write_member(file, content.name, chunks, dos_time, is_executable=content.is_executable)
        members.append(member)
        rows.append(row)
    info = layout.dist_info([content.name for content in contents])
    name = f"{info}/RECORD"
    listing = record.render([*rows, record.Row(path=name)])
    members.append(_write_member(file, name, iter([listing]), dos_time, is_executable=False)[0])
    file.write(_central_directory(members, file.tell()))


def _write_member(
    file: IO[bytes], name: str, chunks: Iterator[bytes], dos_time: tuple[int, int], *, is_executable: bool
) -> tuple[Member, record.Row]:
    """Write one member at the end of *file*; its header is put in once the sizes are known."""
    header_at = file.tell()
    data_at = file.seek(LOCAL.size + len(name.encode()), 1)
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    digest, size, crc = hashlib.sha256(), 0, 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        crc = zlib.crc32(chunk, crc)
        file.write(packer.compress(chunk))
    file.write(packer.flush())
    end = file.tell()
    member = Member(
        name=name,
        size_bytes=size,
        compressed_bytes=end - data_at,
        crc=crc,
        method=DEFLATED,
        flags=_flags(name),
        mode=_EXECUTABLE_MODE if is_executable else _PLAIN_MODE,
        dos_time=dos_time,
        header_at=header_at,
        data_at=data_at,
    )
    file.seek(header_at)
    file.write(_local_header(member))
    file.seek(end)
    return member, record.Row.of(name, digest.digest(), size)


def _flags(name: str) -> int:
    return 0 if name.isascii() else UTF8_NAME


def _local_header(member: Member) -> bytes:
    name = member.name.encode()
    sizes = member.crc, member.compressed_bytes, member.size_bytes
    fixed = LOCAL.pack(LOCAL_SIGN, _NEEDS, _flags(member.name), DEFLATED, *member.dos_time, *sizes, len(name), 0)
    return fixed + name


def _central_directory(members: Sequence[Member], at: int) -> bytes:
    """The central directory and the end record, the last bytes of the file."""
    entries = b"".join(map(_central_header, members))
    return entries + END.pack(END_SIGN, 0, 0, len(members), len(members), len(entries), at, 0)


def _central_header(member: Member) -> bytes:
    name = member.name.encode()
    mode = _EXECUTABLE_MODE if member.is_executable else _PLAIN_MODE
    fixed = CENTRAL.pack(
        CENTRAL_SIGN,
        _MADE_BY_UNIX,
        _NEEDS,
        _flags(member.name),
        DEFLATED,
        *member.dos_time,
        member.crc,
        member.compressed_bytes,
        member.size_bytes,
        len(name),
        0,
        0,
        0,
        0,
        mode << 16,
        member.header_at,
    )
    return fixed + name


def _is_canonical(wheel: WheelArchive) -> bool:
    """Write every header again and compare: what ``repack`` would not write is not canonical."""
    members = wheel.frame.members
    central = _central_directory(members, wheel.frame.central_at)
    info = layout.dist_info(wheel.names)
    in_order = sorted(wheel.names, key=lambda name: _order(name, info))
    return (
        [member.name for member in members] == in_order
        and [member.header_at for member in members] == sorted(member.header_at for member in members)
        and len({member.dos_time for member in members}) == 1
        and _is_a_time(members[0].dos_time)
        and all(_has_its_mode(member) for member in members)
        and all(
            wheel.raw(member.header_at, member.data_at - member.header_at) == _local_header(member)
            for member in members
        )
        and wheel.raw(wheel.frame.central_at, len(central) + 1) == central
        and _lists_in_order(wheel, f"{info}/RECORD")
    )


def _is_a_time(dos_time: tuple[int, int]) -> bool:
    clock, date = dos_time
    fields = (date >> 9) + 1980, date >> 5 & 15, date & 31, clock >> 11, clock >> 5 & 63, (clock & 31) * 2
    with suppress(ValueError):
        time.strptime("{} {} {} {} {} {}".format(*fields), "%Y %m %d %H %M %S")
        return True
    return False


def _has_its_mode(member: Member) -> bool:
    parts = member.name.split("/", 2)
    is_script = len(parts) > 2 and parts[0].endswith(".data") and parts[1] == "scripts"  # noqa: PLR2004
    return member.is_executable or not is_script


def _lists_in_order(wheel: WheelArchive, name: str) -> bool:
    if name not in wheel.members:
        return False
    data = wheel.read(name, limit=record.MAX_BYTES)
    try:
        rows = record.parse(data)
    except ValueError:
        return False
    return [row.path for row in rows] == list(wheel.names) and record.render(rows) == data
