"""What mended a cause once is known for other builds that fail of the same."""

from __future__ import annotations

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from master import cures
from schema.db.models import Cure
from schema.db.session import transaction
from schema.remedies import Remedy, Rung, Try
from schema.states import FailureClass

FFI = "a.c:1:1: fatal error: ffi.h: No such file or directory"


def _tries(remedy: Remedy, *, evidence: str = FFI, helped: bool = True, from_memory: bool = False) -> list[Try]:
    return [
        Try(seconds=1.0, failure_class=FailureClass.HEADER, evidence=evidence),
        Try(seconds=2.0, added=(remedy,), helped=helped, from_memory=from_memory),
    ]


def _debian(*packages: str) -> Remedy:
    return Remedy(rung=Rung.DEBIAN, why="the header is missing", debian_packages=packages)


def _known(session: Session) -> list[tuple[str, str, str, object, int]]:
    return [
        (row.failure_class, row.kind, row.subject, row.actions, row.builds) for row in session.scalars(select(Cure))
    ]


def test_what_ended_a_failure_is_kept_by_its_cause_and_counted(database: Engine) -> None:
    with transaction(database) as session:
        cures.learn(session, _tries(_debian("libffi8-dev")))
        cures.learn(session, _tries(_debian("libffi-dev"), evidence="b/x.cc:7: error: 'ffi.h' file not found"))

        assert _known(session) == [("header", "header", "ffi.h", {"debian_packages": ["libffi-dev"]}, 2)]


def test_what_did_not_help_or_tells_nothing_about_others_is_not_kept(database: Engine) -> None:
    rule = Remedy(rung=Rung.RULE, why="people know", rule="cffi/needs", debian_packages=("x-dev",))
    depends = Remedy(rung=Rung.BUILD_DEPENDS, why="Debian has it", debian_packages=("everything",))
    two = Try(seconds=1.0, added=(_debian("a-dev"), _debian("b-dev")), helped=True)
    with transaction(database) as session:
        cures.learn(session, [])
        cures.learn(session, _tries(_debian("x-dev"), helped=False))
        cures.learn(session, _tries(_debian("x-dev"), from_memory=True))
        cures.learn(session, _tries(rule))
        cures.learn(session, _tries(depends))
        cures.learn(session, [_tries(rule)[0], two])
        cures.learn(session, [Try(seconds=1.0, failure_class=FailureClass.MEMORY), _tries(_debian("x"))[1]])

        assert _known(session) == []
