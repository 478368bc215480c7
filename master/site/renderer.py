"""Renders the site: the pages of one project, the lists of projects, the constraints files; or all of it anew."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from master import crash
from master.site import constraints, pages, tree
from master.site.lists import Lists
from master.site.shown import View, names_by_view, offered, verdicts, views
from master.store import Store
from schema.db.models import Project, Wheel
from schema.names import Sha256
from schema.platforms import Platform
from schema.simple import write

log = logging.getLogger(__name__)

_SIDECARS = ("", ".metadata", ".provenance")
_FORMS = ("", *tree.COMPRESSED)
_PAGES = frozenset(f"index.{kind}{form}" for kind in ("json", "html") for form in _FORMS)
_BESIDE_VIEWS = frozenset({"files", "constraints", "authority.pem"})
_LONGEST_FILENAME = 255 - len(".provenance")


class Site:
    """The tree below *folder*; its files are links into the *store*.

    public_url: how people reach the front-end
    platforms: what the farm builds for; each has a view and a constraints file
    """

    def __init__(self, folder: Path, store: Store, public_url: str, platforms: Sequence[Platform]) -> None:
        self.folder = folder
        self.platforms = tuple(platforms)
        self.views = views(platforms)
        self._store = store
        self._files = folder / "files"
        self._files_url = f"{public_url.rstrip('/')}/files/"
        # Lists are written in a thread of their own; what they are written to first must not be swept away.
        self._lists_or_sweep = threading.Lock()

    @property
    def is_there(self) -> bool:
        """Whether anything was ever rendered into the folder."""
        return self._files.is_dir()

    def render(self, session: Session, project_id: int) -> None:
        """Bring the files and pages of one project up to date; safe to repeat, whatever was interrupted before.

        Files come before the pages that name them (I-15), and go after those that did. Raise StoreError if the disk
        takes no more.
        """
        project = session.get_one(Project, project_id)
        tree.folder(self._files)
        wheels = [wheel for wheel in offered(session, project) if self._place(wheel)]
        repeated = verdicts(session, project)
        tree.sync(self._files)
        crash.point("files-linked")
        said = pages.entries_of(wheels, repeated, provenance=self._files_url)
        for view in self.views:
            shown = [wheel for wheel in wheels if view.shows(wheel.tags, wheel.view)]
            self._render_page(project, shown, view, said)
        keep = {wheel.filename for wheel in wheels}
        for filename in session.scalars(select(Wheel.filename).where(Wheel.project_id == project_id)):
            if filename not in keep:
                self._take_down(filename)

    def lists(self) -> Lists:
        """What ``write_lists`` takes, for this site; nothing was read yet."""
        return Lists(self.views, self.platforms)

    def write_lists(self, lists: Lists) -> None:
        """Write those that changed of the views' lists of projects, and of what is held back on the platforms."""
        with self._lists_or_sweep:
            for view in set(self.views) & lists.changed:
                folder, names = tree.folder(self.folder / view.path), lists.names(view)
                tree.write_compressed(folder / "index.json", write.root_json(names))
                tree.write_compressed(folder / "index.html", write.root_html(names))
                tree.sync(folder)
                lists.changed.remove(view)
            folder = tree.folder(self.folder / "constraints")
            for platform in set(self.platforms) & lists.changed:
                tree.write_compressed(folder / f"{platform}.txt", constraints.text(platform, lists.held(platform)))
                lists.changed.remove(platform)
            tree.sync(folder)

    def place_authority(self, certificate_pem: str) -> None:
        """Publish the certificate that the farm's signatures end in."""
        tree.write(tree.folder(self.folder) / "authority.pem", certificate_pem.encode())
        tree.sync(self.folder)

    def rebuild(self, session: Session) -> None:
        """Render everything anew from the database, and remove what should not be there."""
        for project_id in session.scalars(select(Project.id).order_by(Project.id)).all():
            self.render(session, project_id)
        lists = self.lists()
        lists.read(session)
        self.write_lists(lists)
        self.sweep(session)

    def sweep(self, session: Session) -> None:
        """Remove pages, files, views and leftovers that no row stands for; nothing may be rendered meanwhile."""
        with self._lists_or_sweep:
            for view, names in names_by_view(session, self.views).items():
                tree.keep_only(self.folder / view.path, {*names, *_PAGES})
            filenames = session.scalars(select(Wheel.filename).where(Wheel.removed_at.is_(None)))
            tree.keep_only(self._files, {f"{name}{suffix}" for name in filenames for suffix in _SIDECARS})
            texts = {f"{platform}.txt{form}" for platform in self.platforms for form in _FORMS}
            tree.keep_only(self.folder / "constraints", texts)
            tree.keep_only(self.folder, {view.name or "simple" for view in self.views} | _BESIDE_VIEWS)

    def _render_page(
        self, project: Project, wheels: Sequence[Wheel], view: View, said: Mapping[str, Mapping[str, Any]]
    ) -> None:
        folder = self.folder / view.path / project.name
        if not wheels:
            tree.remove_folder(folder)
            return
        files = "../" * (view.path.count("/") + 2) + "files/"
        tree.folder(folder)
        tree.keep_only(folder, _PAGES)  # nothing else but what a killed process left
        page = pages.project_page(project, wheels, said, files=files)
        changed = tree.write_compressed(folder / "index.json", write.project_json(page))
        crash.point("half-a-page-written")
        changed |= tree.write_compressed(folder / "index.html", write.project_html(page))
        if changed:
            tree.sync(folder)
            tree.sync(folder.parent)

    def _place(self, wheel: Wheel) -> bool:
        """Link the wheel and what belongs to it; return whether it can be offered: a dead link stops pip (I-15)."""
        if len(wheel.filename) > _LONGEST_FILENAME:
            log.error("%s is left out of the index: its name is too long for a file system", wheel.filename)
            return False
        digests = [Sha256(digest) for digest in (wheel.sha256, wheel.metadata_sha256, wheel.provenance_sha256)]
        target = f"{self._files}/{wheel.filename}"
        wanted = [(digest, target + suffix) for digest, suffix in zip(digests, _SIDECARS, strict=True)]
        if all(tree.same(self._store.name(digest), place) for digest, place in wanted):
            return True
        if missing := [digest for digest in digests if digest not in self._store]:
            log.error("%s is left out of the index: the store has lost %s", wheel.filename, ", ".join(missing))
            return False
        for digest, place in wanted:
            tree.link(self._store.path(digest), Path(place))
        return True

    def _take_down(self, filename: str) -> None:
        if len(filename) <= _LONGEST_FILENAME:
            for suffix in _SIDECARS:
                tree.remove(self._files / f"{filename}{suffix}")
