"""What a project's page says of the farm's wheels, as plain data that ``schema.simple.write`` makes bytes of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from packaging.version import Version

from schema.db.models import Project, Wheel
from schema.platforms import Platform
from schema.portability import Fate, Verdict
from schema.repeats import Repeated
from schema.simple.write import API_VERSION, PROVED

# Raised with every change of what a page says: then each page is rendered anew.
EDITION = 2


def entries_of(
    wheels: Iterable[Wheel], repeated: Mapping[int, Repeated], *, provenance: str
) -> dict[str, dict[str, Any]]:
    """Filename → what each page says of that wheel; its ``url`` is not complete yet.

    repeated: build → what came of building it once more
    provenance: the absolute URL of the folder of the files (I-21)
    """
    return {wheel.filename: _file(wheel, provenance, repeated) for wheel in wheels}


def project_page(
    project: Project, wheels: Sequence[Wheel], said: Mapping[str, Mapping[str, Any]], *, files: str
) -> dict[str, Any]:
    """A project's page; never with ``dist-info-metadata``, which crashes pip 22.3 to 23.1 (I-16).

    said: what ``entries_of`` gave; files: from the page to the folder of the files, such as ``../../files/``
    """
    entries = (said[wheel.filename] for wheel in wheels)
    return {
        "meta": {"api-version": API_VERSION},
        "name": project.name,
        "project-status": _status(project),
        "versions": [str(version) for version in sorted(dict.fromkeys(Version(wheel.version) for wheel in wheels))],
        "files": [{**entry, "url": files + entry["url"]} for entry in entries],
    }


def _file(wheel: Wheel, provenance: str, repeated: Mapping[int, Repeated]) -> dict[str, Any]:
    quoted = quote(wheel.filename, safe="")  # ``+`` of a local version and ``!`` of an epoch as %2B and %21 (trap 10)
    entry: dict[str, Any] = {
        "filename": wheel.filename,
        "url": quoted,
        "hashes": {"sha256": wheel.sha256},
        "size": wheel.size_bytes,
        "upload-time": _instant(wheel.published_at),
        "core-metadata": {"sha256": wheel.metadata_sha256},
        "yanked": False if wheel.yanked is None else wheel.yanked or True,
        "provenance": f"{provenance}{quoted}.provenance",
    }
    if wheel.requires_python is not None:
        entry["requires-python"] = wheel.requires_python
    entry[PROVED] = {"tested": _tested(wheel), "repeated": _repeated(wheel, repeated)}
    return entry


def _tested(wheel: Wheel) -> list[str]:
    """The views whose images it was installed and imported in: that of its build, where all of them are, and others."""
    verdicts = [Verdict.from_json(item) for item in wheel.portability]
    others = {Platform.of_image(verdict.image).view for verdict in verdicts if verdict.fate is Fate.IMPORTED}
    return sorted({Platform.parse(wheel.build.platform).view, *others})


def _repeated(wheel: Wheel, repeated: Mapping[int, Repeated]) -> str | None:
    """What came of building it once more; a rebuild that gave the very bytes counts as well."""
    if verdict := repeated.get(wheel.build_id):
        return verdict
    return None if wheel.repeated is None else Repeated.IDENTICAL if wheel.repeated else Repeated.DIFFERS


def _status(project: Project) -> dict[str, str]:
    """PEP 792's object, at the top level of the page (trap 14)."""
    reason = {"reason": project.status_reason} if project.status_reason else {}
    return {"status": project.status, **reason}


def _instant(moment: datetime) -> str:
    """UTC with a Z and at most six decimals (I-13)."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
