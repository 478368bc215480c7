"""
The frame of a zip archive: the records around the data, read so strictly that every other reader must see the same
members (A-05, T7).

Readers differ where an archive contradicts itself: one follows the central directory, another the local headers in
turn. So each byte of the file must belong to exactly one record, and both sides must agree on every member.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import BinaryIO

from schema.wheels.finding import broken

STORED, DEFLATED = 0, 8
UTF8_NAME = 0x800
HAS_DESCRIPTOR = 0x8

# Bits 1 and 2 only tell how hard the compressor tried.
_FLAGS = 0x6 | HAS_DESCRIPTOR | UTF8_NAME
_NEWEST_ZIP = 45  # what a reader must know: 4.5 is zip64, later ones are other compressions and encryption
_SATURATED_16, _SATURATED_32 = 0xFFFF, 0xFFFFFFFF

# "Unix extra field" and its like carry times and owners; these three can give a member a second name or meaning.
_ZIP64_EXTRA = 0x0001
_FORBIDDEN_EXTRAS = {0x7075: "a second name", 0x6375: "a second comment", 0x9901: "encryption"}

_EMPTY_DEFLATED_BYTES = 2
_MAX_MEMBERS = 65_534  # one less than what zip without zip64 can count
_MAX_NAME_BYTES = 1024
_MAX_CENTRAL_BYTES = 64 * 2**20

END = struct.Struct("<4sHHHHIIH")
LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCATOR64 = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQHHIIQQQQ")
END_SIGN, LOCAL_SIGN, CENTRAL_SIGN = b"PK\5\6", b"PK\3\4", b"PK\1\2"
_LOCATOR64_SIGN, _END64_SIGN, _DESCRIPTOR_SIGN = b"PK\6\7", b"PK\6\6", b"PK\7\x08"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member as central directory and local header both tell it.

    mode: Unix mode with its type bits; 0 where the archive has none
    dos_time: (time, date) as zip packs them
    header_at, data_at: offsets in the file, in bytes
    """

    name: str
    size_bytes: int
    compressed_bytes: int
    crc: int
    method: int
    flags: int
    mode: int
    dos_time: tuple[int, int]
    header_at: int
    data_at: int = 0

    @property
    def is_folder(self) -> bool:
        """Whether it is an entry for a folder, which holds nothing."""
        return self.name.endswith("/")

    @property
    def is_executable(self) -> bool:
        """Whether anybody may execute it."""
        return bool(self.mode & 0o111)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """All members in the central directory's order; *central_at* is where that directory begins."""

    members: tuple[Member, ...]
    central_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    members: int
    central_at: int
    central_bytes: int


def frame(file: BinaryIO, size_bytes: int) -> Frame:
    """Read the frame of an archive of *size_bytes*; raise WheelRejectedError (A-05) for whatever is not plain."""
    end = _end(file, size_bytes)
    members = _central(_at(file, end.central_at, end.central_bytes), end)
    placed = _locals(file, members, end.central_at)
    return Frame(members=tuple(placed[member.header_at] for member in members), central_at=end.central_at)


def _at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    data = file.read(length)
    if len(data) != length:
        raise broken("A-05", "the archive ends in the middle of a record")
    return data


def _end(file: BinaryIO, size_bytes: int) -> _End:
    if size_bytes < END.size:
        raise broken("A-05", "not a zip archive: it is too short")
    end_at = size_bytes - END.size
    sign, disk, first_disk, here, count, length, at, comment = END.unpack(_at(file, end_at, END.size))
    if sign != END_SIGN or comment:
        raise broken(
            "A-05", "the archive does not end with its end record: a comment, trailing bytes, or no zip at all"
        )
    if _has_zip64(file, end_at):
        end_at -= _END64.size + _LOCATOR64.size
        count, length, at = _end64(file, end_at, (count, length, at))
        here = count
    elif _SATURATED_16 in (disk, first_disk, here, count) or _SATURATED_32 in (length, at):
        raise broken("A-05", "the end record refers to a zip64 record that is not there")
    if disk or first_disk or here != count:
        raise broken("A-05", "the archive claims to span several disks")
    if not 0 < count <= _MAX_MEMBERS:
        raise broken("A-05", f"the archive has {count} members; allowed are 1 to {_MAX_MEMBERS}")
    if length > _MAX_CENTRAL_BYTES:
        raise broken("A-05", f"the central directory has {length} bytes; at most {_MAX_CENTRAL_BYTES} are read")
    if at + length != end_at:
        raise broken("A-05", "the central directory does not end where the end record begins")
    return _End(members=count, central_at=at, central_bytes=length)


def _has_zip64(file: BinaryIO, end_at: int) -> bool:
    at = end_at - _LOCATOR64.size
    return at >= _END64.size and _at(file, at, 4) == _LOCATOR64_SIGN


def _end64(file: BinaryIO, at: int, plain: tuple[int, int, int]) -> tuple[int, int, int]:
    """Count, length and offset from a zip64 end record, which must stand right before its locator and fit *plain*."""
    _, disk, points_at, disks = _LOCATOR64.unpack(_at(file, at + _END64.size, _LOCATOR64.size))
    sign, rest, _, _, this_disk, first_disk, here, count, length, offset = _END64.unpack(_at(file, at, _END64.size))
    if sign != _END64_SIGN or rest != _END64.size - 12 or points_at != at:
        raise broken("A-05", "the zip64 end record is not where its locator says, or holds more than it may")
    if disk or this_disk or first_disk or disks > 1 or here != count:
        raise broken("A-05", "the archive claims to span several disks")
    saturated = (_SATURATED_16, _SATURATED_32, _SATURATED_32)
    if any(old not in (new, full) for old, new, full in zip(plain, (count, length, offset), saturated, strict=True)):
        raise broken("A-05", "the zip64 end record contradicts the plain one")
    return count, length, offset


def _central(data: bytes, end: _End) -> list[Member]:
    members, at = [], 0
    for _ in range(end.members):
        if len(data) - at < CENTRAL.size or data[at : at + 4] != CENTRAL_SIGN:
            raise broken("A-05", "the central directory has fewer members than the end record says")
        member, at = _central_entry(data, at)
        members.append(member)
    if at != len(data):
        raise broken("A-05", "the central directory holds more than the members that the end record counts")
    return members


def _central_entry(data: bytes, start: int) -> tuple[Member, int]:
    fields = CENTRAL.unpack_from(data, start)
    _, _, needs, flags, method, time, date, crc, packed, size, name_len, extra_len, comment_len, disk, _, mode, at = (
        fields
    )
    name_at = start + CENTRAL.size
    stop = name_at + name_len + extra_len + comment_len
    if stop > len(data):
        raise broken("A-05", "the central directory is cut off")
    name = _name(data[name_at : name_at + name_len], flags)
    if comment_len or disk:
        raise broken("A-05", f"{name!r} has a comment or lies on another disk")
    if flags & ~_FLAGS or method not in (STORED, DEFLATED) or needs > _NEWEST_ZIP:
        raise broken(
            "A-05",
            f"{name!r} is encrypted or compressed in an unusual way (flags {flags:#x}, method {method}, zip {needs})",
        )
    extra = _extras(name, data[name_at + name_len : stop])
    size, packed, at = _from_zip64(name, (size, packed, at), extra.get(_ZIP64_EXTRA, b""))
    member = Member(
        name=name,
        size_bytes=size,
        compressed_bytes=packed,
        crc=crc,
        method=method,
        flags=flags,
        mode=mode >> 16,
        dos_time=(time, date),
        header_at=at,
    )
    _check_kind(member, dos_folder=bool(mode & 0x10))
    return member, stop


def _name(raw: bytes, flags: int) -> str:
    if not 0 < len(raw) <= _MAX_NAME_BYTES:
        raise broken("A-05", f"a member's name has {len(raw)} bytes; allowed are 1 to {_MAX_NAME_BYTES}")
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise broken("A-05", f"the name {raw!r} is not UTF-8") from None
    if not name.isascii() and not flags & UTF8_NAME:
        raise broken("A-05", f"the name {name!r} is not marked as UTF-8, so readers differ on it")
    return name


def _extras(name: str, data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while data:
        if len(data) < 4:  # noqa: PLR2004 - two 16-bit numbers: kind and length
            raise broken("A-05", f"{name!r} has a broken extra field")
        kind, length = struct.unpack_from("<HH", data)
        if length > len(data) - 4 or kind in found:
            raise broken("A-05", f"{name!r} has a broken or repeated extra field")
        if kind in _FORBIDDEN_EXTRAS:
            raise broken("A-05", f"{name!r} has an extra field with {_FORBIDDEN_EXTRAS[kind]}")
        found[kind], data = data[4 : 4 + length], data[4 + length :]
    return found


def _from_zip64(name: str, plain: tuple[int, int, int], extra: bytes) -> tuple[int, int, int]:
    """Put the 64-bit numbers in the place of the saturated ones; there must be exactly as many."""
    wanted = sum(number == _SATURATED_32 for number in plain)
    if len(extra) != 8 * wanted:
        raise broken("A-05", f"{name!r} has zip64 sizes where none are due, or lacks them")
    wide = iter(struct.unpack(f"<{wanted}Q", extra))
    size, packed, at = (next(wide) if number == _SATURATED_32 else number for number in plain)
    return size, packed, at


def _check_kind(member: Member, *, dos_folder: bool) -> None:
    """Files and folders only, each with the type bits of what it is: no symlinks, devices, pipes (CVE-2025-54368)."""
    kind = stat.S_IFMT(member.mode)
    if kind not in (0, stat.S_IFDIR if member.is_folder else stat.S_IFREG) or (dos_folder and not member.is_folder):
        raise broken("A-05", f"{member.name!r} is a link, a device, or a folder under a file's name")
    if member.is_folder and (member.size_bytes or member.crc or member.compressed_bytes > _EMPTY_DEFLATED_BYTES):
        raise broken("A-05", f"the folder {member.name!r} has content")


def _locals(file: BinaryIO, members: list[Member], central_at: int) -> dict[int, Member]:
    """Each member, *data_at* filled in, by the offset of its local header; no byte before, between or after them."""
    in_file = sorted(members, key=lambda member: member.header_at)
    if in_file[0].header_at != 0:
        raise broken("A-05", "the archive begins with bytes that belong to no member")
    for one, other in pairwise(in_file):
        if one.header_at == other.header_at:
            raise broken("A-05", f"{one.name!r} and {other.name!r} are the same bytes")
    stops = [*(member.header_at for member in in_file[1:]), central_at]
    return {member.header_at: _local(file, member, stop) for member, stop in zip(in_file, stops, strict=True)}


def _local(file: BinaryIO, member: Member, stop: int) -> Member:
    """Read the local header of a member that must end, with its data, exactly at *stop*."""
    fields = LOCAL.unpack(_at(file, member.header_at, LOCAL.size))
    sign, needs, flags, method, _, _, crc, packed, size, name_len, extra_len = fields
    tail = file.read(name_len + extra_len)
    if sign != LOCAL_SIGN or tail[:name_len] != member.name.encode() or len(tail) != name_len + extra_len:
        raise broken("A-05", f"the local header of {member.name!r} is missing, or of another name")
    extra = _extras(member.name, tail[name_len:])
    data_at = member.header_at + LOCAL.size + len(tail)
    data_stop = data_at + member.compressed_bytes
    told = (crc, *_local_sizes(member.name, size, packed, extra))
    true = (member.crc, member.size_bytes, member.compressed_bytes)
    described = bool(flags & HAS_DESCRIPTOR)
    if (
        needs > _NEWEST_ZIP
        or (flags, method) != (member.flags, member.method)
        or (told != true and not (described and told == (0, 0, 0)))
    ):
        raise broken("A-05", f"local header and central directory disagree on {member.name!r}")
    if described:
        data_stop += _descriptor_bytes(file, member, data_stop, stop)
    if data_stop != stop:
        raise broken("A-05", f"the data of {member.name!r} overlap what follows, or bytes of no member come after them")
    return replace(member, data_at=data_at)


def _local_sizes(name: str, size: int, packed: int, extra: dict[int, bytes]) -> Iterator[int]:
    """Both sizes, from the zip64 field where there is one: it holds both, and may not contradict the plain ones."""
    wide: tuple[int, int] | None = None
    if _ZIP64_EXTRA in extra:
        if len(extra[_ZIP64_EXTRA]) != 16:  # noqa: PLR2004 - two 64-bit numbers
            raise broken("A-05", f"{name!r} has a broken zip64 field")
        wide = struct.unpack("<QQ", extra[_ZIP64_EXTRA])
    for plain, full in zip((size, packed), wide or (size, packed), strict=True):
        if plain not in (full, _SATURATED_32) or (wide is None and plain == _SATURATED_32):
            raise broken("A-05", f"{name!r} has contradicting zip64 sizes")
        yield full


def _descriptor_bytes(file: BinaryIO, member: Member, at: int, stop: int) -> int:
    """The length of the data descriptor between *at* and *stop*, checked; only its signed forms can be told apart."""
    if member.method == STORED:
        raise broken("A-05", f"{member.name!r} is stored with a data descriptor: where it ends is anybody's guess")
    for sizes in ("<4sIII", "<4sIQQ"):
        true = struct.pack(sizes, _DESCRIPTOR_SIGN, member.crc, member.compressed_bytes, member.size_bytes)
        if stop - at == len(true) and _at(file, at, len(true)) == true:
            return len(true)
    raise broken("A-05", f"the data descriptor of {member.name!r} is missing or wrong")
