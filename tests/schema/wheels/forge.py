"""Wheels, zip archives and ELF files made by hand, right or wrong in exactly one point."""

from __future__ import annotations

import base64
import hashlib
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import parse_wheel_filename

from schema.platforms import Platform, this_machine
from schema.wheels.canonical import repack
from schema.wheels.check import Expected

EPOCH = 1_700_000_000
HERE = Platform.parse(f"debian12-{this_machine()}-cp311")
LINUX = f"linux_{HERE.arch}"


def metadata(name: str = "demo", version: str = "1.0", *extra: str, metadata_version: str = "2.1") -> bytes:
    lines = [f"Metadata-Version: {metadata_version}", f"Name: {name}", f"Version: {version}", *extra]
    return ("\n".join(lines) + "\n\nA demo.\n").encode()


def wheel_file(*tags: str, purelib: bool = True, extra: str = "") -> bytes:
    lines = ["Wheel-Version: 1.0", "Generator: forge", f"Root-Is-Purelib: {str(purelib).lower()}"]
    return ("\n".join([*lines, *(f"Tag: {tag}" for tag in tags)]) + "\n" + extra).encode()


def record(members: Mapping[str, bytes], name: str) -> bytes:
    lines = [
        f"{member},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for member, data in members.items()
    ]
    return "\n".join([*lines, f"{name},,", ""]).encode()


def members(
    tags: str = "py3-none-any", *, purelib: bool = True, info: str = "demo-1.0.dist-info", **changed: bytes | None
) -> dict[str, bytes]:
    """The files of a sound wheel without RECORD; *changed* replaces METADATA or WHEEL, or drops it with None."""
    texts = tags.split("-")
    expanded = [
        f"{python}-{abi}-{platform}"
        for python in texts[0].split(".")
        for abi in texts[1].split(".")
        for platform in texts[2].split(".")
    ]
    files: dict[str, bytes | None] = {
        "demo/__init__.py": b"VALUE = 1\n",
        f"{info}/METADATA": metadata(),
        f"{info}/WHEEL": wheel_file(*expanded, purelib=purelib),
        **{f"{info}/{key}": value for key, value in changed.items()},
    }
    return {name: data for name, data in files.items() if data is not None}


def write(
    folder: Path,
    files: Mapping[str, bytes],
    *,
    filename: str = "demo-1.0-py3-none-any.whl",
    info: str = "demo-1.0.dist-info",
    listing: bytes | None = None,
    modes: Mapping[str, int] | None = None,
) -> Path:
    """A wheel as a build backend would write it, with a true RECORD unless *listing* is another."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / filename
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        listed = {**files, f"{info}/RECORD": record(files, f"{info}/RECORD") if listing is None else listing}
        for number, (name, data) in enumerate(listed.items()):
            entry = zipfile.ZipInfo(name, (2024, 5, 6, 7, number % 60, 10))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100000 | (modes or {}).get(name, 0o644)) << 16
            archive.writestr(entry, data)
    return path


def canonical(
    folder: Path, files: Mapping[str, bytes], *, filename: str = "demo-1.0-py3-none-any.whl", build_number: int = 0
) -> Path:
    """The same wheel as the node leaves it."""
    return repack(write(folder / "raw", files, filename=filename), folder, epoch=EPOCH, build_number=build_number)


def expected(path: Path, *, platform: Platform = HERE) -> Expected:
    """A job that asked for exactly that file."""
    project, version, build, _ = parse_wheel_filename(path.name)
    return Expected(project=project, version=version, platform=platform, build_number=int(build[0]) if build else 0)


@dataclass(kw_only=True)
class Entry:
    """One zip member; what is set to a value is a lie that the writer passes on."""

    name: bytes
    data: bytes = b"x = 1\n"
    method: int = zipfile.ZIP_DEFLATED
    flags: int = 0
    mode: int = 0o100644
    needs: int = 20
    made_by: int = 3 << 8 | 20
    extra: bytes = b""
    comment: bytes = b""
    packed: bytes | None = None
    crc: int | None = None
    size: int | None = None
    local_name: bytes | None = None
    local_crc: int | None = None
    local_sizes: tuple[int, int] | None = None  # compressed, plain
    local_flags: int | None = None
    local_method: int | None = None
    local_extra: bytes = b""
    after: bytes = b""  # between this member's data and the next record
    in_central: bool = True
    in_local: bool = True
    header_at: int | None = None


@dataclass(kw_only=True)
class Archive:
    """A whole archive out of entries."""

    entries: Sequence[Entry]
    prefix: bytes = b""
    before_central: bytes = b""
    before_end: bytes = b""
    suffix: bytes = b""
    comment: bytes = b""
    count: int | None = None
    central_at: int | None = None
    central_bytes: int | None = None
    disk: int = 0
    offsets: list[int] = field(default_factory=list)

    def to_bytes(self) -> bytes:
        body = bytearray(self.prefix)
        central = bytearray()
        for entry in self.entries:
            at = len(body)
            if entry.in_local:
                body += _local(entry)
            if entry.in_central:
                central += _central(entry, at if entry.header_at is None else entry.header_at)
        body += self.before_central
        at = len(body) if self.central_at is None else self.central_at
        count = sum(entry.in_central for entry in self.entries) if self.count is None else self.count
        length = len(central) if self.central_bytes is None else self.central_bytes
        end = struct.pack("<4sHHHHIIH", b"PK\5\6", self.disk, 0, count, count, length, at, len(self.comment))
        return bytes(body + central + self.before_end + end + self.comment + self.suffix)

    def write(self, path: Path) -> Path:
        path.write_bytes(self.to_bytes())
        return path


def _packed(entry: Entry) -> bytes:
    if entry.packed is not None:
        return entry.packed
    if entry.method == zipfile.ZIP_STORED:
        return entry.data
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(entry.data) + packer.flush()


def _numbers(entry: Entry) -> tuple[int, int, int]:
    crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
    return crc, len(_packed(entry)), len(entry.data) if entry.size is None else entry.size


def _local(entry: Entry) -> bytes:
    crc, packed, size = _numbers(entry)
    crc = crc if entry.local_crc is None else entry.local_crc
    packed, size = entry.local_sizes or (packed, size)
    name = entry.name if entry.local_name is None else entry.local_name
    flags = entry.flags if entry.local_flags is None else entry.local_flags
    method = entry.method if entry.local_method is None else entry.local_method
    fixed = struct.pack(
        "<4sHHHHHIIIHH",
        b"PK\3\4",
        entry.needs,
        flags,
        method,
        0,
        0x21,
        crc,
        packed,
        size,
        len(name),
        len(entry.local_extra),
    )
    return fixed + name + entry.local_extra + _packed(entry) + entry.after


def _central(entry: Entry, at: int) -> bytes:
    lengths = len(entry.name), len(entry.extra), len(entry.comment)
    fixed = struct.pack(
        "<4sHHHHHHIIIHHHHHII",
        b"PK\1\2",
        entry.made_by,
        entry.needs,
        entry.flags,
        entry.method,
        0,
        0x21,
        *_numbers(entry),
        *lengths,
        0,
        0,
        entry.mode << 16,
        at,
    )
    return fixed + entry.name + entry.extra + entry.comment


def shared_object(
    folder: Path, *, name: str = "demo", source: str = "int demo(void) { return 1; }\n", flags: Sequence[str] = ()
) -> bytes:
    """A real shared object of this machine, compiled by gcc."""
    folder.mkdir(parents=True, exist_ok=True)
    code, out = folder / f"{name}.c", folder / f"{name}.so"
    code.write_text(source)
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", out, code, *flags], check=True, capture_output=True, stdin=subprocess.DEVNULL
    )
    return out.read_bytes()


def arm_object(
    *,
    flags: int = 0x5000400,
    attributes: Mapping[int, int] | None = None,
    needed: Sequence[str] = ("libc.so.6",),
    machine: int = 40,
    interpreter: str | None = None,
) -> bytes:
    """A 32-bit little-endian shared object with the parts that the rules for ARM look at, and nothing to execute."""
    strings, dynamic = b"\0", b""
    for name in needed:
        if name.encode() + b"\0" not in strings:  # as linkers do, which let a name be the end of another one
            strings += name.encode() + b"\0"
        dynamic += struct.pack("<II", 1, strings.index(name.encode() + b"\0"))
    segments = 3 if interpreter else 2
    strings_at = 52 + 32 * segments
    dynamic += struct.pack("<IIIIII", 5, strings_at, 10, len(strings), 0, 0)
    dynamic_at = strings_at + len(strings)
    loader = (interpreter or "").encode() + b"\0"
    loader_at = dynamic_at + len(dynamic)
    notes = _arm_attributes(attributes or {})
    notes_at = loader_at + len(loader)
    sections_at = notes_at + len(notes)
    headers = struct.pack("<8I", 1, 0, 0, 0, sections_at, sections_at, 5, 4096)
    headers += struct.pack("<8I", 2, dynamic_at, dynamic_at, 0, len(dynamic), len(dynamic), 6, 4)
    if interpreter:
        headers += struct.pack("<8I", 3, loader_at, loader_at, 0, len(loader), len(loader), 4, 1)
    sections = bytes(40) + struct.pack("<10I", 0, 0x70000003, 0, 0, notes_at, len(notes), 0, 0, 1, 0)
    ident = b"\x7fELF\1\1\1" + bytes(9)
    header = ident + struct.pack("<HHIIIIIHHHHHH", 3, machine, 1, 0, 52, sections_at, flags, 52, 32, segments, 40, 2, 0)
    return header + headers + strings + dynamic + loader + notes + sections


def _arm_attributes(values: Mapping[int, int]) -> bytes:
    pairs = b"\5cortex\0" + b"".join(bytes([tag, value]) for tag, value in values.items())
    scope = b"\1" + struct.pack("<I", len(pairs) + 5) + pairs
    return b"A" + struct.pack("<I", len(scope) + 10) + b"aeabi\0" + scope


def versioned_object(*, needs: Mapping[str, str], machine: int = 62, kind: int = 3) -> bytes:
    """A 64-bit little-endian shared object that needs of each library one symbol version, "" for none."""
    names = [name for pair in needs.items() for name in pair if name]
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    at = {name: strings.index(b"\0" + name.encode() + b"\0") + 1 for name in names}
    versioned = [(library, version) for library, version in needs.items() if version]
    verneed = b""
    for number, (library, version) in enumerate(versioned, 1):
        step = 32 if number < len(versioned) else 0
        verneed += struct.pack("<HHIII", 1, 1, at[library], 16, step)
        verneed += struct.pack("<IHHII", 0, 0, number + 1, at[version], 0)
    strings_at = 64 + 56 * 2
    verneed_at = strings_at + len(strings)
    dynamic_at = verneed_at + len(verneed)
    entries = [(1, at[library]) for library in needs] + [(5, strings_at), (10, len(strings))]
    if versioned:
        entries += [(0x6FFFFFFE, verneed_at), (0x6FFFFFFF, len(versioned))]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in [*entries, (0, 0)])
    size = dynamic_at + len(dynamic)
    headers = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, size, size, 4096)
    headers += struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, dynamic_at, 0, len(dynamic), len(dynamic), 8)
    ident = b"\x7fELF\2\1\1" + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    return header + headers + strings + verneed + dynamic
