from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, update
from sqlalchemy.exc import DatabaseError

from master import audit
from schema.db.audit import entries
from schema.db.models import AuditEntry
from schema.db.session import transaction

HERE = socket.gethostname()
ME = pwd.getpwuid(os.getuid()).pw_name
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel says of who logged in; nobody, until a test writes it."""
    file = tmp_path / "loginuid"
    file.write_text(str(2**32 - 1))
    monkeypatch.setattr(audit, "_LOGIN", file)
    monkeypatch.delenv("SUDO_UID", raising=False)
    return file


@pytest.mark.usefixtures("login")
def test_a_person_is_who_runs_the_process() -> None:
    assert audit.person() == f"{ME}@{HERE}"


def test_who_logged_in_is_named_whatever_they_became_since(login: Path) -> None:
    login.write_text(str(NOBODY.pw_uid))
    assert audit.person() == f"nobody as {ME}@{HERE}"

    login.write_text(str(os.getuid()))
    assert audit.person() == f"{ME}@{HERE}"


@pytest.mark.usefixtures("login")
def test_sudo_is_believed_by_root_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", str(NOBODY.pw_uid))

    assert audit.person() == (f"nobody as {ME}@{HERE}" if os.geteuid() == 0 else f"{ME}@{HERE}")


@pytest.mark.usefixtures("login")
def test_a_number_without_a_name_is_told_as_a_number(monkeypatch: pytest.MonkeyPatch, login: Path) -> None:
    login.write_text("4000000000")
    monkeypatch.delenv("SUDO_UID", raising=False)

    assert audit.person() == f"uid 4000000000 as {ME}@{HERE}"


def test_the_database_refuses_to_change_or_remove_a_row(database: Engine) -> None:
    with transaction(database) as session:
        audit.note(session, who="ada", action="hold", subject="build 1", reason="\x1b[31m" + "x" * 5000)

    for statement in (update(AuditEntry).values(who="eve"), delete(AuditEntry)):
        with pytest.raises(DatabaseError, match="only ever added to"), transaction(database) as session:
            session.execute(statement)

    with transaction(database) as session:
        (entry,) = entries(session, limit=9)
        assert (entry.who, len(entry.reason), entry.reason[0]) == ("ada", 1000, "␛")
