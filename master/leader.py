"""Which of several masters leads: one row of the database, held for a time, and proved again before every change.

A lease alone does not stop a process that slept past its end and goes on writing. So each transaction of a leader
begins by looking whether the row still names it, and keeps the row as it is until the transaction has ended.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, and_, event, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from master import whereabouts
from schema.db.models import Leadership
from schema.db.session import engine, insert, now, transaction
from schema.errors import FarmError, UnavailableError

log = logging.getLogger(__name__)

# A leader takes its lease for ended a little before it does.
_MARGIN = 0.1
_LONGEST_LOOK_S = 1.0


class NotLeadingError(FarmError):
    """Another master leads now; what this one wanted to change stays as it is."""


class Term:
    """One time of leading, from ``Candidate.take`` on.

    started: by ``clock``, from before the database was asked
    """

    def __init__(self, database: Engine, *, holder: str, epoch: int, lead_s: float, started: float) -> None:
        self._database, self._lead_s = database, lead_s
        self._mine = and_(Leadership.id == 1, Leadership.holder == holder, Leadership.epoch == epoch)
        self._ended = threading.Event()
        self._renewed(started)

    def leads(self) -> bool:
        """Whether the lease holds by this machine's own clock; nothing new may begin when it does not."""
        return clock() < self._until

    def renew(self) -> bool:
        """Hold on for another lease; False if another master leads."""
        started = clock()
        if not self._set_until(self._lead_s):
            return False
        self._renewed(started)
        return True

    def give_up(self) -> None:
        """Let another take over at once; where the database is away, once the lease has run out."""
        self._until = 0.0
        with suppress(UnavailableError):
            self._set_until(0.0)

    def keep(self, lost: Callable[[], None]) -> None:
        """Renew in time until ``end``; call *lost*, once, if another master leads."""
        pause_s = self._lead_s / 3
        while not self._ended.wait(pause_s):
            try:
                if not self.renew():
                    log.warning("another master leads now")
                    lost()
                    return
                pause_s = self._lead_s / 3
            except (UnavailableError, DBAPIError) as err:
                pause_s = min(self._lead_s / 10, _LONGEST_LOOK_S)
                log.warning("the lease of the leader is not renewed: %s", err)

    def end(self) -> None:
        """Have ``keep`` return."""
        self._ended.set()

    def engine(self, url: str) -> Engine:
        """An engine whose transactions fail with NotLeadingError where this term is over.

        PostgreSQL ends a transaction that does nothing for as long as the lease: its process was stopped in the middle,
        and would keep others from taking over.
        """
        made = engine(url)
        event.listen(made, "begin", self._prove)
        if made.dialect.name == "postgresql":
            event.listen(made, "connect", self._limit)
        return made

    def _prove(self, connection: Any) -> None:  # noqa: ANN401 - as SQLAlchemy hands it over
        found = connection.execute(select(Leadership.id).where(self._mine).with_for_update(read=True, key_share=True))
        if found.first() is None:
            raise NotLeadingError("another master leads now")

    def _limit(self, connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own type
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = {int(self._lead_s * 1000)}")
        connection.commit()

    def _set_until(self, seconds: float) -> bool:
        with transaction(self._database) as session:
            until = now(session) + timedelta(seconds=seconds)
            done = session.execute(update(Leadership).where(self._mine).values(until=until))
            return bool(done.rowcount)  # type: ignore[attr-defined]

    def _renewed(self, started: float) -> None:
        self._until = started + self._lead_s * (1 - _MARGIN)


class Candidate:
    """A master that would lead.

    snapshot: reads only: who waits for a turn must not disturb the leader
    """

    def __init__(self, database: Engine, snapshot: Engine, *, lead_s: float) -> None:
        self._database, self._snapshot, self._lead_s = database, snapshot, lead_s
        self._me = whereabouts.this_process()
        self.holder = f"{socket.gethostname()}:{self._me.pid}"

    def stand_by(self) -> Term:
        """Wait until this process leads."""
        told: object = None
        while True:
            try:
                with transaction(self._snapshot) as session:
                    leader = who_leads(session)
                if leader is None and (term := self.take()) is not None:
                    return term
                if leader is not None and leader.epoch != told:
                    told = leader.epoch
                    log.info("standing by: %s leads since %s", leader.holder, f"{leader.since:%Y-%m-%d %H:%M:%S} UTC")
            except (UnavailableError, DBAPIError) as err:
                log.warning("standing by: %s", err)
            time.sleep(min(self._lead_s / 3, _LONGEST_LOOK_S))

    def take(self) -> Term | None:
        """Lead from now on, if nobody else does."""
        started = clock()
        with transaction(self._database) as session:
            moment = now(session)
            dead = session.scalar(select(Leadership.process).where(Leadership.id == 1)) or ""
            mine = {
                "holder": self.holder,
                "process": str(self._me),
                "since": moment,
                "until": moment + timedelta(seconds=self._lead_s),
            }
            row = insert(session, Leadership).values(id=1, epoch=1, **mine)
            free = Leadership.until <= moment
            if whereabouts.is_dead(dead):
                free = or_(free, Leadership.process == dead)
            epoch = session.scalar(
                row.on_conflict_do_update(
                    index_elements=[Leadership.id], set_={**mine, "epoch": Leadership.epoch + 1}, where=free
                ).returning(Leadership.epoch)
            )
        if epoch is None:
            return None
        log.info("%s leads now, for the %s. time", self.holder, epoch)
        return Term(self._database, holder=self.holder, epoch=epoch, lead_s=self._lead_s, started=started)


def who_leads(session: Session) -> Leadership | None:
    """The row of the master that leads; None where its lease ran out, or where it is known to be dead."""
    row = session.scalar(select(Leadership).where(Leadership.until > now(session)))
    return None if row is None or whereabouts.is_dead(row.process) else row


def clock() -> float:
    """Seconds of a clock that never jumps, and that counts the time in which the machine slept too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
