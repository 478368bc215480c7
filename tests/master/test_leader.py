from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from master import whereabouts
from master.leader import Candidate, NotLeadingError, Term, who_leads
from schema.db.models import Leadership, Mark
from schema.db.session import now, transaction

LEAD_S = 15.0


@pytest.fixture
def candidate(database: Engine, snapshot: Engine) -> Candidate:
    return Candidate(database, snapshot, lead_s=LEAD_S)


def _taken(candidate: Candidate) -> Term:
    term = candidate.take()
    assert term is not None
    return term


def _run_out(database: Engine) -> None:
    """As if the lease had ended while nobody renewed it."""
    with transaction(database) as session:
        session.execute(update(Leadership).values(until=now(session) - timedelta(seconds=1)))


def _epoch(database: Engine) -> int:
    with transaction(database) as session:
        return session.scalars(select(Leadership.epoch)).one()


def test_one_leads_and_the_other_does_not(candidate: Candidate) -> None:
    first, second = candidate.take(), candidate.take()

    assert first is not None
    assert first.leads()
    assert second is None


def test_another_leads_once_the_lease_has_run_out(candidate: Candidate, database: Engine) -> None:
    _taken(candidate)
    _run_out(database)

    assert candidate.take() is not None
    assert _epoch(database) == 2


def test_a_clean_end_lets_another_lead_at_once(candidate: Candidate) -> None:
    first = _taken(candidate)

    first.give_up()

    assert not first.leads()
    assert candidate.take() is not None


def test_a_leader_of_this_machine_that_was_killed_is_followed_at_once(candidate: Candidate, database: Engine) -> None:
    _taken(candidate)
    killed = subprocess.run(
        [sys.executable, "-c", "from master import whereabouts; print(whereabouts.this_process())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    with transaction(database) as session:
        session.execute(update(Leadership).values(process=killed))

    assert candidate.take() is not None


def test_of_another_machine_nobody_knows_who_is_dead() -> None:
    me = whereabouts.this_process()

    assert not whereabouts.is_dead(str(me))
    assert not whereabouts.is_dead(f"ffffffffffff/{me.pid}/1")
    assert not whereabouts.is_dead("")
    assert whereabouts.is_dead(f"{me.place}/{me.pid}/1")


def test_renewing_goes_on_after_the_lease_if_nobody_took_over(candidate: Candidate, database: Engine) -> None:
    term = _taken(candidate)
    _run_out(database)

    assert term.renew()

    with transaction(database) as session:
        assert who_leads(session) is not None


def test_a_leader_that_was_followed_cannot_renew_nor_give_up(candidate: Candidate, database: Engine) -> None:
    old = _taken(candidate)
    _run_out(database)
    new = _taken(candidate)

    renewed = old.renew()
    old.give_up()

    assert not renewed
    assert new.leads()
    with transaction(database) as session:
        assert who_leads(session) is not None


def test_a_lease_of_no_length_is_over_by_the_leaders_own_clock(database: Engine, snapshot: Engine) -> None:
    term = _taken(Candidate(database, snapshot, lead_s=0.0))

    assert not term.leads()


def test_what_the_leader_writes_stays_and_what_its_forerunner_writes_does_not(
    candidate: Candidate, database: Engine, database_url: str
) -> None:
    old = _taken(candidate)
    with closing(_Closing(old.engine(database_url))) as late:
        with transaction(late.engine) as session:
            session.add(_mark(session, "in time"))
        _run_out(database)
        _taken(candidate)

        with pytest.raises(NotLeadingError), transaction(late.engine) as session:
            session.add(_mark(session, "too late"))
        with pytest.raises(NotLeadingError), transaction(late.engine) as session:
            session.add(_mark(session, "again too late"))

    with transaction(database) as session:
        assert session.scalars(select(Mark.name)).all() == ["in time"]


def test_nobody_takes_over_in_the_middle_of_a_leaders_transaction(
    candidate: Candidate, database: Engine, database_url: str
) -> None:
    """On PostgreSQL the row is locked for that, on SQLite the whole database is."""
    old = _taken(candidate)
    _run_out(database)
    taken: list[Term | None] = []
    other = threading.Thread(target=lambda: taken.append(candidate.take()))

    with closing(_Closing(old.engine(database_url))) as fenced:
        with transaction(fenced.engine) as session:
            session.add(_mark(session, "begun in time"))
            session.flush()
            other.start()
            other.join(0.5)
            meanwhile = list(taken)
        other.join()

    assert not meanwhile
    assert taken[0] is not None


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_leader_renews_in_the_middle_of_its_own_transactions(candidate: Candidate, database_url: str) -> None:
    """On SQLite whoever writes waits for the others, so there each transaction must be short."""
    term = _taken(candidate)

    with closing(_Closing(term.engine(database_url))) as fenced, transaction(fenced.engine) as session:
        session.add(_mark(session, "long"))
        session.flush()

        assert term.renew()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_leader_that_stops_in_the_middle_of_a_transaction_does_not_keep_others_from_leading(
    database: Engine, snapshot: Engine, database_url: str
) -> None:
    candidate = Candidate(database, snapshot, lead_s=0.2)
    stopped = _taken(candidate)

    with closing(_Closing(stopped.engine(database_url))) as fenced, fenced.engine.connect() as connection:
        connection.execute(select(Leadership.holder))
        _run_out(database)

        assert candidate.take() is not None
        connection.invalidate()


def test_a_leader_keeps_its_lease_until_another_has_it(database: Engine, snapshot: Engine) -> None:
    candidate, lost = Candidate(database, snapshot, lead_s=0.3), threading.Event()
    keeper = threading.Thread(target=_taken(candidate).keep, args=(lost.set,))
    keeper.start()
    with transaction(database) as session:
        session.execute(update(Leadership).values(epoch=Leadership.epoch + 1))

    keeper.join()

    assert lost.is_set()


def _mark(session: Session, name: str) -> Mark:
    return Mark(name=name, changed_at=now(session))


class _Closing:
    def __init__(self, made: Engine) -> None:
        self.engine = made

    def close(self) -> None:
        self.engine.dispose()
