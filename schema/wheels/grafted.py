"""The libraries that auditwheel copied into a wheel, and the Debian packages that they are of, by its SBOM (PEP 770).

The SBOM is whatever the wheel's maker wrote there; nothing depends on it but what a page shows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schema.wheels import machines

NAME = "auditwheel.cdx.json"
MAX_BYTES = 2**20

_MAX_PACKAGES = 500
_MAX_LICENSES = 20
_MAX_TEXT = 200
_SHA256 = re.compile("[0-9a-f]{64}")
_HASHED = re.compile(r"(.+)-[0-9a-f]{8}((?:\..+)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package of the image that a copied library was of.

    path_sha256: of the path where the library lay: the SBOM does not name the file itself; "" where it does not tell
    licenses: by the names that the package itself gives them
    """

    name: str
    version: str
    path_sha256: str = ""
    licenses: tuple[str, ...] = ()


def is_grafted(member: str) -> bool:
    """Whether a file lies where auditwheel puts the libraries that it copies: ``demo.libs/``."""
    return any(part.endswith(".libs") for part in member.split("/")[:-1])


def packages(sbom: bytes) -> tuple[Package, ...]:
    """The system packages in auditwheel's CycloneDX document, in its order; none if *sbom* is no such document."""
    try:
        document = json.loads(sbom)
    except (ValueError, RecursionError):
        return ()
    components = document.get("components") if isinstance(document, dict) else None
    found = map(_package, components[:_MAX_PACKAGES]) if isinstance(components, list) else ()
    return tuple(package for package in found if package is not None)


def package_of(library: str, known: Sequence[Package], arch: str) -> Package | None:
    """The one that a copied library is of, by the paths where systems have libraries; None if no path fits."""
    match = _HASHED.fullmatch(library)
    names = [library, match[1] + match[2]] if match else [library]
    digests = {hashlib.sha256(path.encode()).hexdigest() for name in names for path in _paths(name, arch)}
    return next((package for package in known if package.path_sha256 in digests), None)


def _package(component: object) -> Package | None:
    if not isinstance(component, dict):
        return None
    name, version, purl, reference = (component.get(key) for key in ("name", "version", "purl", "bom-ref"))
    if not (_is_text(name) and _is_text(version) and isinstance(purl, str) and isinstance(reference, str)):
        return None
    if not purl.startswith(("pkg:deb/", "pkg:rpm/", "pkg:apk/")):
        return None
    digest = reference.rpartition("#")[2]
    return Package(
        name=str(name),
        version=str(version),
        path_sha256=digest if _SHA256.fullmatch(digest) else "",
        licenses=tuple(_licenses(component.get("licenses"))),
    )


def _licenses(listed: object) -> Iterator[str]:
    for item in listed[:_MAX_LICENSES] if isinstance(listed, list) else ():
        license_ = item.get("license") if isinstance(item, dict) else None
        name = license_.get("id") or license_.get("name") if isinstance(license_, dict) else None
        if _is_text(name):
            yield str(name)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT


def _paths(name: str, arch: str) -> Iterator[str]:
    for root in ("/usr", "", "/usr/local"):
        for folder in (f"lib/{machines.multiarch(arch)}", "lib", "lib64"):
            yield f"{root}/{folder}/{name}"
