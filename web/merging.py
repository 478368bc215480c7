"""The merge view: the upstream's files beside the farm's on one page, for installers that have one index URL.

The farm's file is listed where both have one of the same name. No name can be taken over from the upstream: the farm
builds nothing but the upstream's own sdists, and a project that the upstream does not have is 404 here (S-10).
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any

from packaging.version import Version

from schema.simple import read, write
from web.accept import Form
from web.picked import Filter, lowered, packed_page, versions

_FORMAT = 1


def copy_of(page: read.Page) -> bytes:
    """What is kept of the upstream's *page*: how it is to be listed, and what is asked with the next time."""
    files = [_entry(file) for file in page.files]
    return json.dumps(
        {
            "format": _FORMAT,
            "etag": page.etag,
            "last_modified": page.last_modified,
            "status": {"status": page.status, **({"reason": page.status_reason} if page.status_reason else {})},
            "versions": {file.filename: file.version for file in page.files},
            "files": files,
        },
        separators=(",", ":"),
    ).encode("ascii")


def read_copy(data: bytes | None) -> dict[str, Any] | None:
    """A copy; None for what is none, or one of another edition."""
    try:
        found = json.loads(data or b"null")
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("format") == _FORMAT else None


def page(
    rendered: bytes | None, copied: bytes | None, *, name: str, chosen: Filter, form: Form, packed: bool
) -> bytes | None:
    """The project *name* as the farm *rendered* it (JSON; None: it has nothing of it) beside the upstream's *copied*.

    chosen: leaves out of the farm's files what a filter does, and of the upstream's what is too young
    None if there is no copy. packed: with gzip.
    """
    copy = read_copy(copied)
    if copy is None:
        return None
    is_hidden = copy["status"]["status"] == "quarantined"  # I-19
    ours = [] if rendered is None or is_hidden else json.loads(rendered)["files"]
    ours = [lowered(file, chosen.climb) for file in ours if chosen.keeps(file)]
    taken = {file["filename"] for file in ours}
    others = [] if is_hidden else copy["files"]
    theirs = [file for file in others if file["filename"] not in taken and chosen.is_old_enough(file)]
    found = {Version(copy["versions"][file["filename"]]) for file in theirs} | set(map(Version, versions(ours)))
    # PEP 700 wants each file's size from 1.1 on; an upstream that is HTML only does not tell it.
    tells_all = all("size" in file for file in theirs)
    made = {
        "meta": {"api-version": write.API_VERSION if tells_all else "1.0"},
        "name": name,
        "project-status": copy["status"],
        "versions": [str(version) for version in sorted(found)],
        "files": [*theirs, *ours],
    }
    return packed_page(made, form, packed=packed)


def _entry(file: read.Listed) -> dict[str, Any]:
    """Upstream's file as it stands there; its URL is absolute, and leads there."""
    entry: dict[str, Any] = {
        "filename": file.filename,
        "url": file.url,
        "hashes": {"sha256": file.sha256} if file.sha256 else {},
        "yanked": False if file.yanked is None else file.yanked or True,
    }
    if file.size_bytes is not None:
        entry["size"] = file.size_bytes
    if file.uploaded_at is not None:
        entry["upload-time"] = file.uploaded_at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    if file.requires_python is not None:
        entry["requires-python"] = file.requires_python
    if file.metadata_sha256 is not None:
        entry["core-metadata"] = {"sha256": file.metadata_sha256}
    return entry
