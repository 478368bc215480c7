"""``/pypi/NAME/json``: the form in which bandersnatch reads a project, made of the page that the master rendered.

It is no standard. Its serial is the second in which the page was written last, so that it rises with each change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from packaging.utils import parse_wheel_filename


def page(rendered: bytes | None, *, serial: int) -> bytes | None:
    """The project whose page was *rendered* as JSON; None if there is none."""
    if rendered is None:
        return None
    found = json.loads(rendered)
    releases: dict[str, list[dict[str, Any]]] = {version: [] for version in found["versions"]}
    for file in found["files"]:
        releases[str(parse_wheel_filename(file["filename"])[1])].append(_file(file))
    newest = found["versions"][-1]
    made = {
        "info": {"name": found["name"], "version": newest, "summary": "", "requires_python": None, "yanked": False},
        "last_serial": serial,
        "releases": releases,
        "urls": releases[newest],
    }
    return json.dumps(made, separators=(",", ":")).encode("ascii")


def _file(file: Mapping[str, Any]) -> dict[str, Any]:
    yanked = file["yanked"]
    return {
        "filename": file["filename"],
        "url": _url(file),
        "digests": file["hashes"],
        "size": file["size"],
        "packagetype": "bdist_wheel",
        "python_version": file["filename"].split("-")[-3],
        "requires_python": file.get("requires-python"),
        "upload_time_iso_8601": file["upload-time"],
        "yanked": yanked is not False,
        "yanked_reason": yanked if isinstance(yanked, str) else None,
    }


def _url(file: Mapping[str, Any]) -> str:
    """Absolute, unlike the page's own, and below ``/packages``: bandersnatch takes no other path."""
    base, _, name = file["provenance"].removesuffix(".provenance").rpartition("/files/")
    return f"{base}/packages/{name}"
