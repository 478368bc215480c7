"""``wheelfarm rebuild --locally``: repeat a build of any farm on this machine, from what its attestation says."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

from packaging.utils import canonicalize_name

from master.originals import Original
from master.upstream import Upstream
from schema.attest.claims import BuiltFrom
from schema.errors import StoreError, UpstreamError, WireError
from schema.jobs import BuildJob, BuildResult, FarmWheel, Material, Sdist
from schema.platforms import Platform
from schema.printable import one_line
from schema.settings import Settings
from schema.simple.read import Listed, Page
from schema.wheels.comparing import Comparison, Verdict, compare

log = logging.getLogger(__name__)

_FARM_PAGES_S = 30.0
_LONGEST = 2000
_KINDS = {"debian": "Debian package", "farm-wheel": "build requirement", "python": "build requirement"}


class Change(NamedTuple):
    """What went into the one build and not, or in another version, into the other; "" where it did not."""

    kind: str
    name: str
    there: str
    here: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.there or 'none'} there, {self.here or 'none'} here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What came of it.

    comparison: None where the build failed here
    changes: what went in that was not the same, so what may have made the difference
    """

    original: Original
    result: BuildResult
    comparison: Comparison | None
    changes: tuple[Change, ...]

    @property
    def is_the_same(self) -> bool:
        """Whether the wheel is, but for what is harmless."""
        return self.comparison is not None and self.comparison.verdict is not Verdict.DIFFERS

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person should know, the verdict first; each safe to print."""
        built, result = self.original.report.built, self.result
        told = self.comparison or f"failed here: {result.failure_class}: {result.evidence or result.message}"
        same = self.comparison is not None and not self.changes
        said = (
            f"{built.filename}: {told}",
            f"It was build {built.build_id} of the farm {built.farm!r}, by its node {built.node}.",
            *(("The same went into it here.",) if same else map(str, self.changes)),
            *self.original.report.notes,
        )
        return tuple(one_line(sentence, limit=_LONGEST) for sentence in said)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **(self.comparison.to_json() if self.comparison else {"verdict": "failed"}),
            "changes": [item._asdict() for item in self.changes],
            "original": self.original.report.to_json(),
            "result": self.result.to_json(),
        }


def rebuild(original: Original, *, settings: Settings, into: Path, build: Callable[[Path, Path], bytes]) -> Rebuilt:
    """Build it once more from what its statement says, and compare.

    into: a folder of ours; build: has this machine's node build a job's file into a new folder, and gives the result
    Raise UpstreamError if what it was built from cannot be had any more, WireError if the node does not answer,
    StoreError if the folder cannot be written to.
    """
    job = job_for(original, settings=settings)
    try:
        (into / "job.json").write_text(json.dumps(job.to_json()), encoding="utf-8")
    except OSError as err:
        raise StoreError(f"{into} cannot be written to: {err.strerror}") from err
    answered = build(into / "job.json", into / "here")
    try:
        result = BuildResult.from_json(json.loads(answered))
    except ValueError as err:
        raise WireError(f"wheelfarm-node build does not tell what came of it: {err}") from err
    wheel = result.wheel
    return Rebuilt(
        original=original,
        result=result,
        comparison=compare(original.wheel, into / "here" / wheel.filename) if wheel else None,
        changes=changes(original.report.built.materials, result.materials) if wheel else (),
    )


def job_for(original: Original, *, settings: Settings) -> BuildJob:
    """The job that repeats it: the same sdist and recipe, and each build requirement pinned to what it was then."""
    built = original.report.built
    pins = tuple(f"{item.name}=={item.version}" for item in built.materials if item.kind in {"python", "farm-wheel"})
    recipe = replace(
        built.recipe,
        build_constraints=(*built.recipe.build_constraints, *pins),
        requirements_as_of_upload=False,  # they are pinned
    )
    return BuildJob(
        build_id=built.build_id,
        fence=0,
        project=built.project,
        version=built.version,
        platform=built.platform,
        sdist=_sdist(built, settings),
        build_number=built.build_number,
        recipe=recipe,
        limits=settings.limits,
        wheels=tuple(_farm_wheels(original)),
    )


def changes(there: Iterable[Material], here: Iterable[Material]) -> tuple[Change, ...]:
    """What is not the same of the materials of two builds; the sdist is, or nothing would have been built."""
    before, after = _by_name(there), _by_name(here)
    found = []
    for key in sorted(before.keys() | after.keys()):
        one, other = before.get(key), after.get(key)
        if one != other:
            same_version = one is not None and other is not None and one[0] == other[0]
            found.append(Change(*key, _shown(one, exact=same_version), _shown(other, exact=same_version)))
    return tuple(found)


def _by_name(materials: Iterable[Material]) -> dict[tuple[str, str], tuple[str, str]]:
    return {
        (_KINDS.get(item.kind, item.kind), item.name): (item.version, item.sha256 or "")
        for item in materials
        if item.kind != "sdist"
    }


def _shown(material: tuple[str, str] | None, *, exact: bool) -> str:
    if material is None:
        return ""
    version, digest = material
    return f"{version} ({digest[:12] or 'no digest'})" if exact else version


def _sdist(built: BuiltFrom, settings: Settings) -> Sdist:
    """As this machine's index lists those very bytes, else from where the farm had them."""
    try:
        with Upstream.from_settings(settings) as upstream:
            page = upstream.page(built.project)
    except UpstreamError as err:
        log.info("%s; the sdist is asked for where the farm had it", err)
        page = None
    listed = page.files if isinstance(page, Page) else ()
    url = next((file.url for file in listed if file.sha256 == built.sdist_sha256), built.sdist_url)
    return Sdist(filename=built.sdist_filename, url=url, sha256=built.sdist_sha256, uploaded_at=built.sdist_uploaded_at)


def _farm_wheels(original: Original) -> Iterable[FarmWheel]:
    """The farm's own wheels that it was built with, as its index lists them; raise UpstreamError if one is gone."""
    built = original.report.built
    index = urljoin(original.home, f"{Platform.parse(built.platform).view}/simple/")
    wanted = [item for item in built.materials if item.kind == "farm-wheel"]
    if not wanted:
        return
    with Upstream(index, user_agent="wheelfarm (rebuild)", timeout_s=_FARM_PAGES_S) as farm:
        for item in wanted:
            page = farm.page(canonicalize_name(item.name))
            listed: Sequence[Listed] = page.files if isinstance(page, Page) else ()
            file = next((file for file in listed if file.sha256 == item.sha256), None)
            if file is None or file.sha256 is None or file.size_bytes is None:
                what = f"{item.name} {item.version}, which it was built with,"
                raise UpstreamError(f"{what} is not on {farm.index_url} any more")
            yield FarmWheel(filename=file.filename, url=file.url, sha256=file.sha256, size_bytes=file.size_bytes)
