"""Follow the upstream by the best feed that it offers, and by the next one while that does not answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Set as AbstractSet

from packaging.utils import NormalizedName
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from master import marks
from master.feed.changelog import ChangelogFeed
from master.feed.news import PROJECTS, Batch, Feed, NoFeedError, Position
from master.feed.rss import WakeUp
from master.feed.simple import SimpleFeed
from master.feed.take import Adopt, take, wake
from master.upstream import Upstream
from schema.db.models import Mark, Project
from schema.db.session import now as clock
from schema.db.session import transaction
from schema.errors import UpstreamError
from schema.printable import one_line
from schema.sections import Feed as Wanted
from schema.sections import Scope, WatchSection

log = logging.getLogger(__name__)

MARK, RECONCILE, UNKNOWN = "feed", "reconcile", "changelog-unknown"

_ASK_AGAIN_S = 3600.0  # for a feed that the upstream did not have
_MOST_BATCHES = 20


class Follower:
    """Takes the news turn by turn; what was taken and how far that reaches are one transaction (W-04)."""

    def __init__(
        self, database: Engine, upstream: Upstream, settings: WatchSection, *, adopt: Adopt | None = None
    ) -> None:
        self._database, self._adopt = database, adopt
        # The list of all projects is long: nobody fetches it for a few projects, whose own pages tell as much.
        self.reads_list = settings.feed is Wanted.SIMPLE or (
            settings.feed is Wanted.AUTO and (settings.scope is Scope.ALL or bool(settings.patterns))
        )
        self._feeds: list[Feed] = []
        self._rss = WakeUp(upstream) if settings.rss else None
        if settings.feed is not Wanted.PROJECTS:
            if settings.changelog:
                self._feeds.append(ChangelogFeed(upstream, margin=settings.margin_serials))
            if self.reads_list:
                self._feeds.append(SimpleFeed(upstream, margin=settings.margin_serials))
        self._ask_again: dict[str, tuple[float, str]] = {}  # when, and why not before
        self._followed: str | None = None

    @property
    def tells_events(self) -> bool:
        """Whether the upstream's news come by themselves, so that pages need no reading in turn."""
        return self._followed not in {None, PROJECTS}

    def turn(self) -> int:
        """Take what is new; count the projects it was about. Raise UpstreamError if no feed answers now."""
        failed: list[UpstreamError] = []
        absent: list[str] = []
        for feed in self._feeds:
            until, why = self._ask_again.get(feed.name, (0.0, ""))
            if time.monotonic() < until:
                absent.append(why)
                continue
            try:
                taken = self._follow(feed, "; ".join(absent + [str(err) for err in failed]))
            except NoFeedError as err:
                self._ask_again[feed.name] = time.monotonic() + _ASK_AGAIN_S, str(err)
                absent.append(str(err))
            except UpstreamError as err:
                failed.append(err)
                self._ask_again[feed.name] = time.monotonic() + (err.retry_after_s or 0.0), str(err)
                log.warning("the feed %s does not answer: %s", feed.name, err)
            else:
                return taken
        if failed:
            self._note_failure(str(failed[-1]))
            raise failed[-1]
        woken, rss = self._woken_by_rss()
        with transaction(self._database) as session:
            self._say(session, PROJECTS, "; ".join([*absent, *rss]))
            return wake(session, woken, now=clock(session), adopt=self._adopt)

    def _woken_by_rss(self) -> tuple[AbstractSet[NormalizedName], list[str]]:
        """The projects to look at out of their turn, and what is to be said of that."""
        if self._rss is None:
            return frozenset(), []
        until, why = self._ask_again.get(self._rss.name, (0.0, ""))
        if time.monotonic() < until:
            return frozenset(), [why]
        try:
            return self._rss.news(), ["woken by RSS"]
        except UpstreamError as err:
            pause_s = _ASK_AGAIN_S if isinstance(err, NoFeedError) else err.retry_after_s or 0.0
            self._ask_again[self._rss.name] = time.monotonic() + pause_s, str(err)
            return frozenset(), [str(err)]

    def _follow(self, feed: Feed, why_not_better: str) -> int:
        taken = 0
        for _ in range(_MOST_BATCHES):
            with transaction(self._database) as session:
                mark = session.get(Mark, MARK)
                same = mark is not None and mark.cursor == feed.name
                position = Position(
                    serial=mark.serial if mark else 0, etag=mark.etag if mark is not None and same else ""
                )
            batch = feed.news(position)
            with transaction(self._database) as session:
                now = clock(session)
                taken += take(session, batch.events, now=now, adopt=self._adopt)
                mark = self._say(session, feed.name, why_not_better)
                if batch.serial > mark.serial:
                    mark.finished_at = now  # the last news
                mark.serial, mark.etag = max(mark.serial, batch.serial), batch.etag
                _count_unknown(session, batch)
                if batch.first:
                    ask_for_reconcile(session)
            if not batch.more:
                break
        return taken

    def _say(self, session: Session, name: str, why: str) -> Mark:
        mark = marks.at(session, MARK)
        known_before = mark.cursor
        mark.cursor, mark.changed_at = name, clock(session)
        mark.note = one_line(f"{name} ({why})" if why else name, limit=500)
        if self._followed != name:
            log.info("the upstream is followed by %s", mark.note)
            if name == PROJECTS and known_before not in {"", name}:  # looks were planned for a feed's rhythm
                session.execute(
                    update(Project).where(Project.check_at > mark.changed_at).values(check_at=clock(session))
                )
            self._followed = name
        return mark

    def _note_failure(self, text: str) -> None:
        with transaction(self._database) as session:
            marks.at(session, MARK).note = one_line(f"no feed answers: {text}", limit=500)


def ask_for_reconcile(session: Session) -> None:
    """Have the master compare everything, soon; one that runs goes on."""
    mark = marks.at(session, RECONCILE)
    if mark.started_at is None or mark.finished_at is not None:
        mark.started_at, mark.finished_at, mark.changed_at = clock(session), None, clock(session)
        mark.cursor, mark.done, mark.total, mark.note = "", 0, 0, "asked for"


def _count_unknown(session: Session, batch: Batch) -> None:
    if batch.unknown:
        mark = marks.at(session, UNKNOWN)
        mark.done, mark.note, mark.changed_at = mark.done + batch.unknown, batch.newest_unknown, clock(session)
