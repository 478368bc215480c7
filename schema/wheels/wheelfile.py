"""The WHEEL file: format version, tags, build number, pure or not (A-03, PEP 427)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.tags import InvalidTag, Tag, parse_tag

from schema.wheels.finding import Finding

MAX_BYTES = 2**20
_MAX_TAGS = 1000
_LINE = re.compile(r"([A-Za-z0-9-]+):[ \t]*([^\r\n]*)")
_LINE_END = re.compile(r"\r\n|\n|\r")
_TAG_LINE = re.compile(rb"(?im)^Tag:.*(?:\r\n|\n|\Z)")
_BUILD_LINE = re.compile(rb"(?im)^Build:.*(?:\r\n|\n|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelHeader:
    """What WHEEL says, field by field, in lower case, as written."""

    fields: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_pure(self) -> bool:
        """Whether Root-Is-Purelib says so."""
        return self.fields.get("root-is-purelib", ("",))[0].lower() == "true"


def parse(data: bytes) -> WheelHeader:
    """Raise ValueError, with a sentence, if *data* are no WHEEL file."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("WHEEL is not UTF-8") from None
    fields: dict[str, list[str]] = {}
    for line in _LINE_END.split(text.strip()):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"WHEEL has a line that is no field: {line[:80]!r}")
        fields.setdefault(match[1].lower(), []).append(match[2].strip())
    return WheelHeader(fields={key: tuple(values) for key, values in fields.items()})


def with_build_number(data: bytes, build_number: int) -> bytes:
    """The same fields with the ``Build:`` line set, or taken away for 0, and one line's end at the end (A-11).

    Setting a number and taking it away again gives the same bytes: so a rebuild is compared with what it repeats.
    """
    body = _BUILD_LINE.sub(b"", data).rstrip(b"\r\n") + b"\n"
    return body + b"Build: %d\n" % build_number if build_number else body


def with_tags(data: bytes, compressed: str) -> bytes:
    """The same fields with a ``Tag:`` line for each tag of *compressed*, at the end."""
    body = _TAG_LINE.sub(b"", data).rstrip(b"\r\n") + b"\n"
    return body + b"".join(b"Tag: %s\n" % str(tag).encode() for tag in sorted(expand(compressed), key=str))


def retag(compressed: str, retagged: Mapping[str, Sequence[str]]) -> str:
    """The compressed set of tags with other platform tags: each that *retagged* names gives way to those it maps to."""
    *front, platforms = compressed.split("-")
    found = dict.fromkeys(new for old in platforms.split(".") for new in retagged.get(old, (old,)))
    return "-".join((*front, ".".join(found)))


def expand(compressed: str) -> frozenset[Tag]:
    """The tags of a compressed set such as ``py2.py3-none-any``; raise ValueError if it is none, or of too many."""
    parts = compressed.split("-")
    if math.prod(len(part.split(".")) for part in parts) > _MAX_TAGS:
        raise ValueError(f"{compressed[:80]!r} stands for more than {_MAX_TAGS} tags")
    try:
        return parse_tag(compressed)
    except (InvalidTag, ValueError) as err:
        raise ValueError(f"{compressed[:80]!r} is no tag") from err


def findings(header: WheelHeader, tags: frozenset[Tag], build: str) -> Iterator[Finding]:
    """WHEEL against the file name.

    tags, build: the file name's; *build* is empty where it has no build tag
    """
    if header.fields.get("wheel-version") != ("1.0",):
        yield _finding(f"WHEEL's Wheel-Version is {_told(header, 'wheel-version')}, not 1.0")
    pure = header.fields.get("root-is-purelib", ())
    if len(pure) != 1 or pure[0].lower() not in ("true", "false"):
        yield _finding(f"WHEEL's Root-Is-Purelib is {_told(header, 'root-is-purelib')}, not true or false")
    if header.fields.get("build", (build,)) != (build,):
        yield _finding(f"WHEEL's Build is {_told(header, 'build')}, the file name's is {build or 'none'}")
    yield from tag_findings(header, tags)


def tag_findings(header: WheelHeader, tags: frozenset[Tag]) -> Iterator[Finding]:
    """WHEEL's tags against the file name's."""
    try:
        said = _tags(header.fields.get("tag", ()))
    except ValueError as err:
        yield _finding(f"WHEEL's Tag: {err}")
        return
    if said != tags:
        yield _finding(f"WHEEL's tags are {_joined(said)}, the file name's are {_joined(tags)}")


def _tags(lines: Sequence[str]) -> frozenset[Tag]:
    if len(lines) > _MAX_TAGS:
        raise ValueError(f"more than {_MAX_TAGS} lines")
    return frozenset(tag for line in lines for tag in expand(line))


def _finding(text: str) -> Finding:
    return Finding(rule="A-03", text=text)


def _told(header: WheelHeader, key: str) -> str:
    return repr(", ".join(header.fields.get(key, ()))[:80]) if key in header.fields else "missing"


def _joined(tags: frozenset[Tag]) -> str:
    return ", ".join(sorted(map(str, tags))) or "none"
