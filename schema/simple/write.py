"""Pages of the simple index as bytes: PEP 691 JSON and PEP 503 HTML at API version 1.4, both from the same plain data.

The same data always gives the same bytes. Everything is ASCII, so no page needs a charset beside its exact
Content-Type (I-04). A page is what PEP 691 says, with ``PROVED`` in a file's entry: a private key, by its underscore.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from typing import Any

API_VERSION = "1.4"

# What the farm knows of a wheel beyond the standard: ``tested``: the images that it was imported in; ``repeated``:
# whether building it once more gave the same.
PROVED = "_wheelfarm"

Page = Mapping[str, Any]


def project_json(page: Page) -> bytes:
    """The JSON form of a project's page."""
    return _json(page)


def project_html(page: Page) -> bytes:
    """The HTML form of the same page."""
    status = page["project-status"]
    metas = "".join(
        f'<meta name="pypi:project-status{suffix}" content="{html.escape(status[key])}">\n'
        for suffix, key in (("", "status"), ("-reason", "reason"))
        if key in status
    )
    anchors = (_anchor(file) for file in page["files"])
    return _html(f"Links for {page['name']}", metas, anchors, version=page["meta"]["api-version"])


def root_json(names: Iterable[str]) -> bytes:
    """The JSON form of the list of projects (I-25); names are normalised."""
    # Joined by hand: of a hundred thousand projects, json.dumps would hold up every other thread ten times as long.
    projects = ",".join(f'{{"name":"{name}"}}' for name in names)
    return f'{{"meta":{{"api-version":"{API_VERSION}"}},"projects":[{projects}]}}'.encode("ascii")


def root_html(names: Iterable[str]) -> bytes:
    """The HTML form of the list of projects."""
    return _html("Simple index", "", (f'<a href="{name}/">{name}</a>' for name in names), version=API_VERSION)


def _anchor(file: Mapping[str, Any]) -> str:
    sha256, metadata = file["hashes"].get("sha256"), file.get("core-metadata")
    sidecar = f"sha256={metadata['sha256']}" if metadata else None
    yanked = file["yanked"]
    attributes = {
        "href": file["url"] + (f"#sha256={sha256}" if sha256 else ""),
        "data-requires-python": file.get("requires-python"),
        "data-core-metadata": sidecar,
        "data-dist-info-metadata": sidecar,  # pip before 23.2 knows no other name (PEP 714)
        "data-yanked": "" if yanked is True else yanked or None,
        "data-provenance": file.get("provenance"),
    }
    text = " ".join(f'{name}="{html.escape(value)}"' for name, value in attributes.items() if value is not None)
    return f"<a {text}>{html.escape(file['filename'])}</a>"


def _json(page: Page) -> bytes:
    return json.dumps(page, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _html(title: str, metas: str, anchors: Iterable[str], *, version: str) -> bytes:
    lines = "".join(f"{anchor}<br>\n" for anchor in anchors)
    text = (
        "<!DOCTYPE html>\n<html>\n<head>\n"
        f'<meta name="pypi:repository-version" content="{version}">\n{metas}'
        f"<title>{html.escape(title)}</title>\n</head>\n<body>\n<h1>{html.escape(title)}</h1>\n{lines}</body>\n</html>\n"
    )
    return text.encode("ascii", "xmlcharrefreplace")
