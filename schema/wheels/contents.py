"""One pass over all members of a wheel, whose bytes are verified by it: what RECORD must say, and what is compiled."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field

from schema.wheels import elf, record
from schema.wheels.archive import WheelArchive
from schema.wheels.binaries import Binary

_IN_MEMORY_BYTES = 64 * 2**20


@dataclass(slots=True, kw_only=True)
class Contents:
    """What the pass leaves: the members' true RECORD rows by name, and the compiled ones."""

    rows: dict[str, record.Row] = field(default_factory=dict)
    binaries: list[Binary] = field(default_factory=list)


def look_at(wheel: WheelArchive) -> Contents:
    """Read every member; raise WheelRejectedError (A-05) where bytes are not those that the archive promises."""
    contents = Contents()
    for name in wheel.names:
        digest, size = hashlib.sha256(), 0
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as copy:
            is_elf = False
            for chunk in wheel.chunks(name):
                is_elf = is_elf or (size == 0 and chunk.startswith(elf.MAGIC))
                if is_elf:
                    copy.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            if is_elf:
                contents.binaries.append(_binary(name, copy))
        contents.rows[name] = record.Row.of(name, digest.digest(), size)
    return contents


def _binary(name: str, file: tempfile.SpooledTemporaryFile[bytes]) -> Binary:
    try:
        return Binary(name=name, elf=elf.read(file))
    except elf.MalformedElfError as err:
        return Binary(name=name, fault=str(err))
