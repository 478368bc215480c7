"""The pages as bytes: PEP 691 JSON and PEP 503 HTML at API version 1.4. The same wheels always give the same bytes.

Everything is ASCII, so no page needs a charset beside its exact Content-Type (I-04).
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from packaging.version import Version

from schema.db.models import Project, Wheel

API_VERSION = "1.4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a page is read from.

    files: from the page to the folder of the files, such as ``../../files/``
    provenance: the absolute URL of the folder of the files (I-21)
    """

    files: str
    provenance: str


def project_json(project: Project, wheels: Sequence[Wheel], place: Place) -> bytes:
    """The JSON form of a project's page; never ``dist-info-metadata``, which crashes pip 22.3 to 23.1 (I-16)."""
    page = {
        "meta": {"api-version": API_VERSION},
        "name": project.name,
        "project-status": _status(project),
        "versions": [str(version) for version in sorted({Version(wheel.version) for wheel in wheels})],
        "files": [_file(wheel, place) for wheel in wheels],
    }
    return _json(page)


def project_html(project: Project, wheels: Sequence[Wheel], place: Place) -> bytes:
    """The HTML form of the same page."""
    status = _status(project)
    metas = "".join(
        f'<meta name="pypi:project-status{suffix}" content="{html.escape(status[key])}">\n'
        for suffix, key in (("", "status"), ("-reason", "reason"))
        if key in status
    )
    return _html(f"Links for {project.name}", metas, (_anchor(wheel, place) for wheel in wheels))


def root_json(names: Iterable[str]) -> bytes:
    """The JSON form of the list of projects (I-25)."""
    return _json({"meta": {"api-version": API_VERSION}, "projects": [{"name": name} for name in names]})


def root_html(names: Iterable[str]) -> bytes:
    """The HTML form of the list of projects."""
    return _html("Simple index", "", (f'<a href="{name}/">{name}</a>' for name in names))


def _file(wheel: Wheel, place: Place) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "filename": wheel.filename,
        "url": place.files + _quoted(wheel.filename),
        "hashes": {"sha256": wheel.sha256},
        "size": wheel.size_bytes,
        "upload-time": _instant(wheel.published_at),
        "core-metadata": {"sha256": wheel.metadata_sha256},
        "yanked": False if wheel.yanked is None else wheel.yanked or True,
        "provenance": _provenance(wheel, place),
    }
    if wheel.requires_python is not None:
        entry["requires-python"] = wheel.requires_python
    return entry


def _anchor(wheel: Wheel, place: Place) -> str:
    attributes = {
        "href": f"{place.files}{_quoted(wheel.filename)}#sha256={wheel.sha256}",
        "data-requires-python": wheel.requires_python,
        "data-core-metadata": f"sha256={wheel.metadata_sha256}",
        "data-dist-info-metadata": f"sha256={wheel.metadata_sha256}",  # pip before 23.2 knows no other name (PEP 714)
        "data-yanked": wheel.yanked,
        "data-provenance": _provenance(wheel, place),
    }
    text = " ".join(f'{name}="{html.escape(value)}"' for name, value in attributes.items() if value is not None)
    return f"<a {text}>{html.escape(wheel.filename)}</a>"


def _provenance(wheel: Wheel, place: Place) -> str:
    return f"{place.provenance}{_quoted(wheel.filename)}.provenance"


def _status(project: Project) -> dict[str, str]:
    """PEP 792's object, at the top level of the page (trap 14)."""
    reason = {"reason": project.status_reason} if project.status_reason else {}
    return {"status": project.status, **reason}


def _instant(moment: datetime) -> str:
    """UTC with a Z and at most six decimals (I-13)."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _quoted(filename: str) -> str:
    """``+`` of a local version and ``!`` of an epoch as %2B and %21 (trap 10)."""
    return quote(filename, safe="")


def _json(page: dict[str, Any]) -> bytes:
    return json.dumps(page, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _html(title: str, metas: str, anchors: Iterable[str]) -> bytes:
    lines = "".join(f"{anchor}<br>\n" for anchor in anchors)
    text = (
        "<!DOCTYPE html>\n<html>\n<head>\n"
        f'<meta name="pypi:repository-version" content="{API_VERSION}">\n{metas}'
        f"<title>{html.escape(title)}</title>\n</head>\n<body>\n<h1>{html.escape(title)}</h1>\n{lines}</body>\n</html>\n"
    )
    return text.encode("ascii", "xmlcharrefreplace")
