"""Where a lock file takes its wheels from: pages and METADATA of the farm and of the upstream, each read once."""

from __future__ import annotations

from dataclasses import replace

from packaging.utils import NormalizedName
from sqlalchemy import Engine, select

from master.offers import Offers
from master.store import Store
from master.upstream import NotModified, Upstream
from master.wheel_metadata import Needs, needs
from schema.db.models import Project
from schema.db.session import transaction
from schema.errors import StoreError, UnknownProjectError
from schema.platforms import Platform
from schema.simple.read import File, parsed


class Sources:
    """What there is for *platform*.

    database: of the farm, for its own wheels; nothing is held open while the upstream is asked
    public_url: of the farm's front-end
    """

    def __init__(
        self, database: Engine, upstream: Upstream, store: Store, *, platform: Platform, public_url: str
    ) -> None:
        self.platform = platform
        self._database, self._upstream, self._store = database, upstream, store
        self._public_url = public_url
        self._offers: dict[NormalizedName, Offers] = {}
        self._metadata: dict[str, bytes] = {}

    def offers(self, name: NormalizedName) -> Offers:
        """The files of both pages of a project; none where neither has one. Raise UpstreamError."""
        if name not in self._offers:
            self._offers[name] = replace(self._own(name), upstream=self._listed(name))
        return self._offers[name]

    def needs(self, file: File, *, own: bool, extras: frozenset[str]) -> Needs:
        """What a wheel of those pages needs on the platform; raise UpstreamError or StoreError.

        own: whether it is one of the farm's
        """
        if file.url not in self._metadata:
            self._metadata[file.url] = self._stored(file) if own else self._upstream.metadata(file)
        return needs(self._metadata[file.url], self.platform.marker_environment, extras=extras)

    def _own(self, name: NormalizedName) -> Offers:
        with transaction(self._database) as session:
            project = session.scalar(select(Project).where(Project.name == name))
            if project is None:
                return Offers(platform=self.platform, own=(), upstream=())
            return Offers.of(session, project, self.platform, public_url=self._public_url)

    def _listed(self, name: NormalizedName) -> tuple[File, ...]:
        try:
            page = self._upstream.page(name)
        except UnknownProjectError:
            return ()
        assert not isinstance(page, NotModified)  # noqa: S101 - for mypy: we asked without a condition
        return tuple(map(parsed, page.files))

    def _stored(self, file: File) -> bytes:
        assert file.metadata_sha256 is not None  # noqa: S101 - for mypy: each of ours has one
        try:
            return self._store.path(file.metadata_sha256).read_bytes()
        except OSError as err:
            raise StoreError(f"METADATA of {file.filename} cannot be read from the store: {err.strerror}") from err
