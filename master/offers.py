"""What an installer on a platform finds of a project: the farm's own wheels, and what the upstream lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from sqlalchemy.orm import Session

from master import plan
from master.catalogue import listed_files
from master.plan import Choice
from master.resolve import built
from master.site.shown import offered
from master.withdraw import blocked_by
from schema.db.models import Project, Wheel
from schema.names import Sha256
from schema.platforms import Platform
from schema.simple.read import File


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """Of one project to one platform, as entries of its two pages.

    own: the farm's wheels, which its view of the index offers; upstream: everything that the upstream lists
    """

    platform: Platform
    own: Sequence[File]
    upstream: Sequence[File]

    @classmethod
    def of(cls, session: Session, project: Project, platform: Platform, *, public_url: str) -> Self:
        """As the database has it; nothing is offered of a project that the upstream has quarantined, or has no more."""
        blocked = bool(blocked_by(project))
        wheels = [wheel for wheel in offered(session, project) if plan.serves(built(wheel), platform)]
        return cls(
            platform=platform,
            own=tuple(_entry(wheel, public_url) for wheel in wheels),
            upstream=() if blocked else tuple(listed_files(session, project)),
        )

    def choose(self, specifier: SpecifierSet) -> Choice:
        """The version that pip would take, were it allowed to build."""
        return plan.choose([*self.upstream, *self.own], specifier=specifier, platform=self.platform)

    def wheels(self, specifier: SpecifierSet) -> list[File]:
        """What pip might take with ``--only-binary :all:``: one wheel of each version, the newest first, our own before
        the upstream's.
        """
        listed = [file for file in (*self.own, *self.upstream) if file.kind == "wheel"]
        releases: dict[Version, list[File]] = defaultdict(list)
        for file in plan.usable(listed, specifier=specifier, platform=self.platform):
            releases[file.version].append(file)
        found = (self._first(releases[version]) for version in sorted(releases, reverse=True))
        return [wheel for wheel in found if wheel is not None]

    def is_own(self, file: File) -> bool:
        """Whether it is one of the farm's."""
        return file in self.own

    def own_wheel(self, version: Version) -> File | None:
        """The farm's wheel of *version* that an installer takes first."""
        return self._wheel(self.own, version)

    def upstream_wheel(self, version: Version) -> File | None:
        """The same of the upstream's."""
        return self._wheel(self.upstream, version)

    def _first(self, release: Sequence[File]) -> File | None:
        own = plan.best_wheel(filter(self.is_own, release), self.platform)
        return own or plan.best_wheel(release, self.platform)

    def _wheel(self, files: Iterable[File], version: Version) -> File | None:
        release = [file for file in files if file.version == version]
        return plan.choose(release, specifier=SpecifierSet(f"=={version}"), platform=self.platform).wheel


def _entry(wheel: Wheel, public_url: str) -> File:
    return File(
        filename=wheel.filename,
        kind="wheel",
        version=Version(wheel.version),
        url=f"{public_url}/files/{quote(wheel.filename)}",
        sha256=Sha256(wheel.sha256),
        size_bytes=wheel.size_bytes,
        requires_python=wheel.requires_python,
        yanked=wheel.yanked,
        uploaded_at=wheel.published_at,
        metadata_sha256=Sha256(wheel.metadata_sha256),
    )
