"""
METADATA: the core metadata of a wheel (A-06, A-07, A-08).

Strict on what decides an installation: name, version, Requires-Python, Requires-Dist. Lenient on the rest, because real
projects need it (setuptools wrote License-File long before version 2.4 had it): that becomes a note, not a finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TypeVar

from packaging.metadata import Metadata, RawMetadata, parse_email
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from schema.wheels.finding import Finding

T = TypeVar("T")

MAX_BYTES = 4 * 2**20

VERSIONS = ("1.0", "1.1", "1.2", "2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6")

# The e-mail parser's time grows with the product of the two, so a file of a few MiB could hold a core for hours.
_MAX_HEADER_LINES = 50_000
_MAX_FIELDS = 200
_MAX_VALUE_CHARS = 8192
_LINE_END = re.compile(rb"\r\n|\n|\r")

# Fields that decide an installation, with the names that packaging gives them.
_STRICT = {
    "metadata-version": "metadata_version",
    "name": "name",
    "version": "version",
    "requires-python": "requires_python",
    "requires-dist": "requires_dist",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreMetadata:
    """What the farm needs of METADATA.

    requires_python: as written, on one line; None if the project does not say
    requires_dist: normalised PEP 508 requirements
    license_expression: SPDX, as written; "" if the project gives none (PEP 639)
    licenses: the older ways to say it: the first line of License, and the classifiers of licences
    notes: what a validator would complain of and no installer minds
    """

    metadata_version: str
    name: NormalizedName
    version: Version
    requires_python: str | None
    requires_dist: tuple[str, ...]
    license_files: tuple[str, ...]
    license_expression: str = ""
    licenses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class _InvalidError(ValueError):
    def __init__(self, texts: list[str]) -> None:
        super().__init__("; ".join(texts))
        self.texts = texts


def read(data: bytes) -> tuple[CoreMetadata | None, list[Finding]]:
    """METADATA, or None and the reasons (A-06)."""
    try:
        return _read(data), []
    except _InvalidError as err:
        return None, [Finding(rule="A-06", text=f"METADATA: {text}") for text in err.texts]


def license_findings(metadata: CoreMetadata, info: str, names: Collection[str]) -> Iterator[Finding]:
    """Each License-File of metadata 2.4 or later that is not below ``.dist-info/licenses`` (A-08, PEP 639)."""
    if Version(metadata.metadata_version) < Version("2.4"):
        return
    for path in metadata.license_files:
        if f"{info}/licenses/{path}" not in names:
            yield Finding(rule="A-08", text=f"License-File {path!r} is not in {info}/licenses/")


def differences(sdist: bytes, wheel: bytes) -> tuple[str, ...]:
    """Where METADATA departs from the sdist's PKG-INFO although that promised it would not (A-07, PEP 643, PEP 808).

    Only an sdist of metadata 2.2 or later promises anything: each field that is not Dynamic.
    """
    try:
        promised, got = _raw(sdist), _raw(wheel)
    except _InvalidError as err:
        return (f"cannot be compared: {err}",)
    if promised.get("metadata_version", "") not in VERSIONS[VERSIONS.index("2.2") :]:
        return ()
    dynamic = {field.strip().lower().replace("-", "_") for field in promised.get("dynamic", [])}
    free = {"metadata_version", "dynamic"} | dynamic | {_plural(field) for field in dynamic}
    found = [
        f"{key.replace('_', '-')} differs from the sdist's, which does not call it dynamic"
        for key in sorted((promised.keys() | got.keys()) - free)
        if _comparable(promised.get(key)) != _comparable(got.get(key))
    ]
    if promised["metadata_version"] not in VERSIONS[: VERSIONS.index("2.6")]:
        found += [
            f"{key.replace('_', '-')} lacks values of the sdist's, to which it may only add"
            for key in sorted(promised.keys() & free)
            if isinstance(promised.get(key), list)
            and key != "dynamic"
            and not _adds_only(promised.get(key), got.get(key))
        ]
    return tuple(found)


def _read(data: bytes) -> CoreMetadata:
    raw = _raw(data)
    faults = []
    stated = raw.get("metadata_version", "")
    if stated not in VERSIONS:
        faults.append(f"Metadata-Version is {stated[:40]!r}; known are {VERSIONS[0]} to {VERSIONS[-1]}")
    name = _field(faults, "Name", raw.get("name", ""), _name)
    version = _field(faults, "Version", raw.get("version", ""), Version)
    python = raw.get("requires_python")
    if python is not None:
        python = " ".join(python.split())
        _field(faults, "Requires-Python", python, SpecifierSet)
    needs = [_field(faults, "Requires-Dist", text, _requirement) for text in raw.get("requires_dist", [])]
    if faults or name is None or version is None:
        raise _InvalidError(faults)
    return CoreMetadata(
        metadata_version=stated,
        name=name,
        version=version,
        requires_python=python or None,
        requires_dist=tuple(str(need) for need in needs),
        license_files=tuple(raw.get("license_files", [])),
        license_expression=raw.get("license_expression", ""),
        licenses=tuple(_licenses(raw)),
        notes=tuple(_notes(raw)),
    )


def _raw(data: bytes) -> RawMetadata:
    """The fields as texts; raise _InvalidError if a strict one is there twice or cannot be read."""
    _check_header(data)
    try:
        data.decode("utf-8")
        raw, unparsed = parse_email(data)
    except UnicodeDecodeError:
        raise _InvalidError(["is not UTF-8"]) from None
    except Exception as err:
        raise _InvalidError([f"cannot be parsed: {type(err).__name__}"]) from err
    twice = sorted(_STRICT.keys() & unparsed.keys())
    if twice:
        raise _InvalidError([f"{', '.join(twice)}: there twice, or not readable"])
    return raw


def _check_header(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise _InvalidError([f"has {len(data)} bytes; at most {MAX_BYTES} are read"])
    fields: set[bytes] = set()
    for number, line in enumerate(_header_lines(data), 1):
        if line[:1] not in b" \t":  # else it goes on with the field before
            fields.add(line.partition(b":")[0].lower())
        if number > _MAX_HEADER_LINES or len(fields) > _MAX_FIELDS:
            raise _InvalidError([f"has more than {_MAX_HEADER_LINES} header lines, or {_MAX_FIELDS} different fields"])


def _header_lines(data: bytes) -> Iterator[bytes]:
    at = 0
    for end in _LINE_END.finditer(data):
        if end.start() == at:
            return
        yield data[at : end.start()]
        at = end.end()
    yield data[at:]


def _field(faults: list[str], label: str, text: str, parse: Callable[[str], T]) -> T | None:
    try:
        if len(text) > _MAX_VALUE_CHARS:
            raise ValueError("too long")  # noqa: TRY301 - one place says what is wrong with a field
        return parse(text)
    except (ValueError, RecursionError) as err:
        faults.append(f"{label} is {text[:120]!r}: {str(err).splitlines()[0] if str(err) else 'not valid'}")
        return None


def _name(text: str) -> NormalizedName:
    return canonicalize_name(text, validate=True)


def _requirement(text: str) -> Requirement:
    """PyPI refuses direct URLs too: such a wheel would bring in files that no index has vouched for."""
    parsed = Requirement(text)
    if parsed.url:
        raise ValueError("names a URL, not a version")
    return parsed


def _notes(raw: RawMetadata) -> Iterator[str]:
    lenient = Metadata.from_raw(raw, validate=False)
    for key in raw:
        if key in _STRICT.values() or key == "license_files":
            continue
        try:
            getattr(lenient, key)
        except (ValueError, RecursionError) as err:
            yield f"METADATA: {str(err).splitlines()[0]}"


def _licenses(raw: RawMetadata) -> Iterator[str]:
    """License may hold a whole text; its first line says which."""
    yield from raw.get("license", "").strip().splitlines()[:1]
    for classifier in raw.get("classifiers", []):
        if classifier.startswith("License ::"):
            yield classifier.rpartition("::")[2].strip()


def _plural(field: str) -> str:
    """Packaging names fields of several values in the plural: Classifier becomes ``classifiers``."""
    return {"keywords": "keywords", "license_file": "license_files"}.get(field, f"{field}s")


def _adds_only(before: object, after: object) -> bool:
    return isinstance(before, list) and isinstance(after, list) and set(before) <= set(after)


def _comparable(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, list) else value
