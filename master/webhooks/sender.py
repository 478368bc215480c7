"""Sends what is in the outbox: each webhook by a thread of its own, so that one that hangs delays no other."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Self
from urllib.parse import quote

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from master.webhooks import outbox
from master.webhooks.outbox import Parcel
from master.webhooks.post import LIMIT_S, Answer, post
from schema import webhooks
from schema.db.session import transaction
from schema.errors import FarmError
from schema.settings import Settings

log = logging.getLogger(__name__)

_TIDIED_EVERY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterhead:
    """What every message is completed with.

    farm: its name; address: of its front-end; private: whether webhooks may lead into private networks
    """

    farm: str
    address: str
    private: bool
    limit_s: float = LIMIT_S

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """That of a farm."""
        private = settings.webhooks.private_addresses
        return cls(farm=settings.farm.name, address=settings.public_url, private=private)

    def send(self, parcel: Parcel) -> Answer:
        """Send it once, signed now."""
        body = self.body(parcel)
        signed = webhooks.headers(parcel.message, timestamp=int(time.time()), body=body, secrets=parcel.secrets)
        return post(parcel.url, body, signed, private=self.private, limit_s=self.limit_s)

    def body(self, parcel: Parcel) -> bytes:
        """As JSON; the same each time it is sent."""
        data: dict[str, Any] = {"farm": self.farm, **parcel.data}
        if "build" in data:
            data["page"] = f"{self.address}/build/{data['build']}/"
        if "filename" in data:
            data["url"] = f"{self.address}/files/{quote(data['filename'])}"
        at = parcel.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return json.dumps({"type": parcel.event, "timestamp": at, "data": data}, separators=(",", ":")).encode()


@dataclass(slots=True, kw_only=True)
class Sender:
    """``turn`` and ``stop`` are called from one thread.

    snapshot: reads only; database: refuses to write once another master leads, so that what was sent is sent again
    most_waiting, most_ended: messages of each webhook that are kept
    """

    database: Engine
    snapshot: Engine
    letterhead: Letterhead
    most_waiting: int = outbox.MOST_WAITING
    most_ended: int = outbox.MOST_ENDED
    _at_work: dict[int, threading.Thread] = field(init=False, default_factory=dict)
    _stopping: threading.Event = field(init=False, default_factory=threading.Event)

    def turn(self) -> None:
        """Drop what is too much, and set a thread to each webhook that has something to be sent, and none yet."""
        with transaction(self.snapshot) as session:
            due, overfull = outbox.due(session), list(outbox.overfull(session, keep=self.most_waiting))
        for number in overfull:
            with transaction(self.database) as session:
                news = outbox.cut_waiting(session, number, keep=self.most_waiting)
            _tell(news)
        for number in due:
            if number not in self._at_work or not self._at_work[number].is_alive():
                thread = threading.Thread(target=self._work, args=(number,), name=f"webhook-{number}", daemon=True)
                self._at_work[number] = thread
                thread.start()

    def stop(self) -> None:
        """Begin no further exchange; one that runs ends by itself within its limit, and is repeated if it must be."""
        self._stopping.set()

    def _work(self, number: int) -> None:
        try:
            sent = 0
            while not self._stopping.is_set() and self._send_next(number):
                sent += 1
                if sent % _TIDIED_EVERY == 1:
                    with transaction(self.database) as session:
                        outbox.cut_ended(session, number, keep=self.most_ended)
        except (FarmError, DBAPIError) as err:
            log.warning("webhook %s: %s; what was not noted is sent again", number, err)
        except Exception:
            log.exception("webhook %s failed", number)

    def _send_next(self, number: int) -> bool:
        with transaction(self.snapshot) as session:
            parcel = outbox.take(session, number)
        if parcel is None:
            return False
        answer = self.letterhead.send(parcel)
        with transaction(self.database) as session:
            news = outbox.settle(session, number, parcel.number, answer)
        _tell(news)
        return True


def _tell(news: str) -> None:
    if news:
        log.warning("%s", news)
