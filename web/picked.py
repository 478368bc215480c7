"""Pages made at the request, of a page that the master rendered: what a filter leaves of it.

An age changes as time passes, and no publish comes with that; so filtered pages are no files. One costs what reading,
filtering and compressing the project's JSON costs, once for as long as that file, and the day, stay the same.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from schema.repeats import SAME
from schema.simple import write
from web.accept import Form

FILTERS = r"(?:age/[1-9][0-9]{0,3}d/)?(?:reproducible/)?(?:tested/)?"

_GZIP_LEVEL = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which files of a page are left; view: that of the page, "" for the portable one.

    before: published before this day (``2026-11-21``, UTC), so that all who ask on one day see the same; "" for any
    reproducible: built twice with the same result; tested: installed and imported in the view's image, or in any
    climb: how many folders deeper the page is served than the one that it comes from
    """

    climb: int = 0
    view: str = ""
    before: str = ""
    reproducible: bool = False
    tested: bool = False

    @classmethod
    def of(cls, filters: str, view: str, *, climb: int | None = None) -> Self:
        """The one that a path names, such as ``age/7d/tested/``, matched by FILTERS."""
        words = filters.split("/")
        days = int(words[1].removesuffix("d")) if words[0] == "age" else 0
        before = (datetime.now(UTC).date() - timedelta(days=days)).isoformat() if days else ""
        return cls(
            climb=filters.count("/") if climb is None else climb,
            view=view,
            before=before,
            reproducible="reproducible" in words,
            tested="tested" in words,
        )

    def keeps(self, file: Mapping[str, Any]) -> bool:
        """Whether an entry of a page is left."""
        proved = file.get(write.PROVED, {})
        if self.reproducible and proved.get("repeated") not in SAME:
            return False
        images = proved.get("tested", ())
        if self.tested and not (self.view in images if self.view else images):
            return False
        return self.is_old_enough(file)

    def is_old_enough(self, file: Mapping[str, Any]) -> bool:
        """A file that does not say when it was uploaded is not."""
        return not self.before or file.get("upload-time", "9") < self.before


def page(rendered: bytes | None, *, chosen: Filter, form: Form, packed: bool) -> bytes | None:
    """What *chosen* leaves of a project's *rendered* JSON; None if that is nothing. packed: with gzip."""
    if rendered is None:
        return None
    found = json.loads(rendered)
    files = [lowered(file, chosen.climb) for file in found["files"] if chosen.keeps(file)]
    if not files:
        return None
    return packed_page({**found, "versions": versions(files), "files": files}, form, packed=packed)


def lowered(file: Mapping[str, Any], climb: int) -> dict[str, Any]:
    """The entry as a page has it that is *climb* folders deeper."""
    return {**file, "url": "../" * climb + file["url"]}


def versions(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """What PEP 700 wants: each version that a file of the farm is of."""
    return [str(version) for version in sorted({_version(file["filename"]) for file in files})]


def packed_page(made: Mapping[str, Any], form: Form, *, packed: bool) -> bytes:
    """A page's bytes."""
    data = write.project_json(made) if form is Form.JSON else write.project_html(made)
    return gzip.compress(data, _GZIP_LEVEL, mtime=0) if packed else data


def _version(wheel: str) -> Version:
    return parse_wheel_filename(wheel)[1]
