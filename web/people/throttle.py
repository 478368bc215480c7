"""How often somebody may guess: failures are counted for each account and each address, in a table of fixed size.

Names and addresses are hashed into buckets, so that nobody can fill the table, or push others out of it. Two that
share a bucket share its count, which at worst costs a few minutes. A success forgets the failures of its account.
"""

from __future__ import annotations

import hashlib
import ipaddress
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import case, select, update
from sqlalchemy.orm import Session

from schema.db.models import LoginFailure
from schema.db.session import insert, now
from schema.errors import FarmError

WINDOW: Final = timedelta(minutes=15)
MOST_OF_ACCOUNT: Final = 10
MOST_OF_ADDRESS: Final = 40
_ACCOUNTS = 4096
_ADDRESSES = 16384
_IPV6_SITE = 64


class TooOftenError(FarmError):
    """Too many failures of late; wait_s: until it may be tried again."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"too many attempts; try again in {max(round(wait_s / 60), 1)} minutes")
        self.wait_s = wait_s


def attempt(session: Session, *, account: str, address: str) -> None:
    """Count an attempt, before anybody knows how it ends; raise TooOftenError where there were too many."""
    moment = now(session)
    limits = {_account(account): MOST_OF_ACCOUNT, _address(address): MOST_OF_ADDRESS}
    rows = session.scalars(select(LoginFailure).where(LoginFailure.bucket.in_(limits)).with_for_update()).all()
    until = [row.since + WINDOW for row in rows if row.failures >= limits[row.bucket] and row.since + WINDOW > moment]
    if until:
        raise TooOftenError(round((max(until) - moment).total_seconds()))
    for bucket in sorted(limits):  # sorted: two attempts never wait for each other in a circle
        _count(session, bucket, moment)


def forgive(session: Session, *, account: str, address: str) -> None:
    """The attempt was a good one: forget what was counted of its account, and the attempt itself of its address."""
    session.execute(update(LoginFailure).where(LoginFailure.bucket == _account(account)).values(failures=0))
    counted = LoginFailure.bucket == _address(address), LoginFailure.failures > 0
    session.execute(update(LoginFailure).where(*counted).values(failures=LoginFailure.failures - 1))


def _count(session: Session, bucket: int, moment: datetime) -> None:
    row = insert(session, LoginFailure).values(bucket=bucket, failures=1, since=moment)
    is_old = LoginFailure.since <= moment - WINDOW
    again = {
        "failures": case((is_old, 1), else_=LoginFailure.failures + 1),
        "since": case((is_old, moment), else_=LoginFailure.since),
    }
    session.execute(row.on_conflict_do_update(index_elements=["bucket"], set_=again))


def _account(name: str) -> int:
    return _bucket(f"account {name}", _ACCOUNTS)


def _address(text: str) -> int:
    """An IPv6 site has more addresses than anybody can count, so its network counts as one."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return _ACCOUNTS + _bucket("address unknown", _ADDRESSES)
    network = ipaddress.ip_network((found, _IPV6_SITE if found.version == 6 else 32), strict=False)  # noqa: PLR2004
    return _ACCOUNTS + _bucket(f"address {network}", _ADDRESSES)


def _bucket(text: str, of: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8]) % of
