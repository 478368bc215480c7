"""Write the lists of projects, and what is held back, in a turn of their own: no page waits for them.

They are as long as the farm is large. So a change costs what changed, and the bytes of the lists that it concerns; and
they are written after a pause of so many times what they took.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Engine

from master.batches import batches
from master.site.lists import Lists
from master.site.renderer import Site
from schema.db.session import transaction

_AT_ONCE = 50
_PAUSE = 10.0


@dataclass(slots=True, kw_only=True)
class Listing:
    """What lists; ``note`` may be called from any thread, ``turn`` from one.

    snapshot: where the lists are read from, all of them once, then those projects that were noted
    """

    site: Site
    snapshot: Engine
    _lists: Lists = field(init=False)
    _noted: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _not_before: float = field(default=0.0)

    def __post_init__(self) -> None:
        self._lists = self.site.lists()

    def note(self, projects: Iterable[int]) -> None:
        """The pages of these projects (their ids) were rendered: the lists may have to say something else."""
        with self._lock:
            self._noted.update(projects)

    def turn(self) -> None:
        """Bring the lists up to date, if their time has come and anything was noted."""
        started = time.monotonic()
        if started < self._not_before:
            return
        with self._lock:
            noted, self._noted = self._noted, set()
        try:
            self._renew(noted)
        except BaseException:
            self.note(noted)
            raise
        if self._lists.changed:
            self.site.write_lists(self._lists)
            self._not_before = time.monotonic() + _PAUSE * (time.monotonic() - started)

    def _renew(self, noted: set[int]) -> None:
        if self._lists.was_read and not noted:
            return
        with transaction(self.snapshot) as session:
            if not self._lists.was_read:
                self._lists.read(session)
                return
            for batch in batches(sorted(noted), _AT_ONCE):
                self._lists.renew(session, batch)
