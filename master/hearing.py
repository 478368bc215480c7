"""Whether Redis answers, by which the nodes speak to the master: while it does not, their silence is not theirs."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master import marks
from schema.db.models import Mark
from schema.db.session import now, transaction
from schema.errors import UnavailableError

MARK = "redis"


class Hearing:
    """Asked again and again; what changed since the last time stands in its mark.

    reach: raises UnavailableError where Redis does not answer
    patience_s: how long nodes have, once it answers again, before their silence counts
    """

    def __init__(self, database: Engine, reach: Callable[[], None], *, patience_s: float) -> None:
        self._database, self._reach, self._patience_s = database, reach, patience_s
        # A master that was down could not hear either.
        self._deaf_until = time.monotonic() + patience_s
        self._answers: bool | None = None

    def look(self) -> bool:
        """Whether Redis has answered for long enough; raise UnavailableError where it does not answer now."""
        try:
            self._reach()
        except UnavailableError:
            self._deaf_until = time.monotonic() + self._patience_s
            self._note(answers=False)
            raise
        self._note(answers=True)
        return time.monotonic() >= self._deaf_until

    def _note(self, *, answers: bool) -> None:
        if answers is self._answers:
            return
        with transaction(self._database) as session:
            if bool(note_of(session)) is answers:
                marks.at(session, MARK).note = "" if answers else _sentence(now(session))
        self._answers = answers


def _sentence(since: datetime) -> str:
    advice = "start it there, or correct redis.url in farm.toml (or WHEELFARM_REDIS_URL)"
    return f"Redis does not answer the master since {since:%Y-%m-%d %H:%M} UTC: {advice}"


def note_of(session: Session) -> str:
    """What to say of a Redis that does not answer; "" of one that does."""
    mark = session.get(Mark, MARK)
    return mark.note if mark else ""
