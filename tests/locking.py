"""What lock files are made from: a farm with a few published wheels, and an upstream with others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from sqlalchemy import Engine

from master.lock import Lock, lock
from master.sources import Sources
from master.store import Store
from master.upstream import Upstream
from schema.db.session import transaction
from schema.platforms import Platform
from schema.settings import Settings
from schema.states import BuildState
from tests import published, rows
from tests.upstream import FakeUpstream, Served


@dataclass(kw_only=True)
class Shop:
    """A farm and its upstream; folder: for the wheels' files."""

    settings: Settings
    database: Engine
    upstream: FakeUpstream
    folder: Path

    @property
    def store(self) -> Store:
        return Store(self.settings.store)

    def own(self, name: str, version: str = "1.0", *, platform: Platform | None = None, **special: Any) -> str:
        """Publish a wheel of the farm; its file name. A ``linux_*`` wheel is of that platform's view."""
        made = self._wheel(name, version, "farm", **special)
        on = platform or self.settings.farm.platforms[0]
        with transaction(self.database) as session:
            view = on.view if "-linux_" in made.name else None
            published.publish(session, self.store, made, view=view, platform=str(on))
        return made.name

    def theirs(self, name: str, version: str = "1.0", *, sidecar: bool = True, **special: Any) -> Served:
        """List a wheel upstream; sidecar: with METADATA beside it (PEP 658)."""
        listed = {key: special.pop(key) for key in ("yanked",) if key in special}
        made = self._wheel(name, version, "upstream", **special)
        metadata = published.metadata_of(made) if sidecar else None
        return self.upstream.add_file(
            name, made, metadata=metadata, requires_python=special.get("requires_python"), **listed
        )

    def source(self, name: str, version: str = "1.0") -> Served:
        """List a source distribution upstream."""
        return self.upstream.add_file(name, filename=f"{name}-{version}.tar.gz")

    def fails(self, name: str, version: str, *, reason: str) -> None:
        """The farm could not build that release."""
        self.source(name, version)
        with transaction(self.database) as session:
            of = published.project(session, name)
            rows.build(session, of, version=version, state=BuildState.FAILED, reason=reason,
                       platform=str(self.settings.farm.platforms[0]))  # fmt: skip

    @contextmanager
    def sources(self, platform: Platform | None = None) -> Iterator[Sources]:
        on = platform or self.settings.farm.platforms[0]
        with Upstream(self.upstream.url, user_agent="test", timeout_s=10) as upstream:
            yield Sources(self.database, upstream, self.store, platform=on, public_url=self.settings.public_url)

    def lock(self, *wanted: str, platform: Platform | None = None) -> Lock:
        with self.sources(platform) as sources:
            asked = [Requirement(text) for text in wanted]
            return lock(asked, sources=sources, database=self.database, settings=self.settings)

    def _wheel(self, name: str, version: str, whose: str, **special: Any) -> Path:
        folder = self.folder / whose
        folder.mkdir(exist_ok=True)
        # Never the same bytes on both sides, so that a digest says whose wheel was taken.
        return published.wheel_file(folder, name, version, padding_bytes=len(whose), **special)


@contextmanager
def opened(settings: Settings, database: Engine, folder: Path) -> Iterator[Shop]:
    """One whose upstream answers."""
    with FakeUpstream() as upstream:
        yield Shop(settings=settings, database=database, upstream=upstream, folder=folder)


def pins(found: Lock) -> Sequence[str]:
    """Such as ``demo 1.0 farm``."""
    return [f"{pin} {'farm' if pin.own else 'upstream'}" for pin in found.pins]
