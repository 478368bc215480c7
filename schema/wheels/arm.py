"""The build attributes of ARM ELF files (ARM IHI 0045): which processor and which float ABI they need."""

from __future__ import annotations

from typing import Literal

CPU_ARCH, ADVANCED_SIMD, VFP_ARGS = 6, 12, 28

_FORMAT = ord("A")
_WHOLE_FILE = 1
_TEXTS = frozenset({4, 5, 65, 67})  # CPU names, also-compatible-with, conformance
_COMPATIBILITY = 32  # a number and a text
_FIRST_BY_PARITY = 33  # from here on an odd tag has a text, an even one a number


class MalformedAttributesError(ValueError):
    """The attributes break off."""


def attributes(data: bytes, byte_order: str) -> dict[int, int]:
    """The public ("aeabi") attributes of the whole file: tag → number; texts are left out."""
    if not data or data[0] != _FORMAT:
        raise MalformedAttributesError("ARM attributes of an unknown format")
    found: dict[int, int] = {}
    order: Literal["little", "big"] = "little" if byte_order == "<" else "big"
    at = 1
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], order)
        if length < 5 or at + length > len(data):  # noqa: PLR2004 - the length itself and the end of a name
            raise MalformedAttributesError("ARM attributes of a wrong length")
        vendor, _, body = data[at + 4 : at + length].partition(b"\0")
        if vendor == b"aeabi":
            found |= _of_vendor(body, order)
        at += length
    return found


def _of_vendor(data: bytes, order: Literal["little", "big"]) -> dict[int, int]:
    found: dict[int, int] = {}
    at = 0
    while at < len(data):
        scope = data[at]
        length = int.from_bytes(data[at + 1 : at + 5], order)
        if length < 5 or at + length > len(data):  # noqa: PLR2004 - the scope and the length itself
            raise MalformedAttributesError("ARM attributes of a wrong length")
        if scope == _WHOLE_FILE:
            found |= _pairs(data[at + 5 : at + length])
        at += length
    return found


def _pairs(data: bytes) -> dict[int, int]:
    found: dict[int, int] = {}
    at = 0
    while at < len(data):
        tag, at = _uleb128(data, at)
        if tag in _TEXTS or (tag >= _FIRST_BY_PARITY and tag % 2):
            at = _after_text(data, at)
            continue
        found[tag], at = _uleb128(data, at)
        if tag == _COMPATIBILITY:
            at = _after_text(data, at)
    return found


def _uleb128(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(at + 10, len(data))):
        value |= (data[place] & 0x7F) << shift
        if not data[place] & 0x80:
            return value, place + 1
        shift += 7
    raise MalformedAttributesError("ARM attributes that break off")


def _after_text(data: bytes, at: int) -> int:
    end = data.find(b"\0", at)
    if end < 0:
        raise MalformedAttributesError("ARM attributes that break off")
    return end + 1
