from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from schema.db.people import passwords, tokens, users
from schema.db.session import engine, transaction
from schema.settings import Settings

Call = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("settings")

GOOD = "correct horse battery staple"


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have the command find a text on its standard input."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_the_first_admin_is_let_in_by_the_command(
    wheelfarm: Call, says: Callable[[str], None], settings: Settings
) -> None:
    says(f"{GOOD}\nmore\n")

    made = wheelfarm("user", "add", "ada", "--role", "admin")

    assert (made.code, made.out) == (0, "ada is admin, may log in, without a second factor\n"), made.err
    database = engine(settings.database_url)
    with transaction(database) as session:
        kept = users.named(session, "ada").password
    database.dispose()
    assert kept.startswith("$argon2id$")
    assert passwords.is_right(kept, GOOD)
    assert not passwords.is_right(kept, "correct horse battery stapler")
    assert wheelfarm("user", "list", "--json").json[0]["role"] == "admin"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("short\n", "12 to 256 characters"),
        ("", "12 to 256 characters"),
        ("x" * 257, "12 to 256 characters"),
        ("aaaaaaaaaaaaaaaa\n", "too few different characters"),
        ("ada-1234567890\n", "holds the name"),
    ],
)
def test_a_password_that_is_no_good_is_refused(
    wheelfarm: Call, says: Callable[[str], None], text: str, told: str
) -> None:
    says(text)

    refused = wheelfarm("user", "add", "ada", "--role", "viewer")

    assert (refused.code, told in refused.err) == (2, True), refused.err
    assert "nobody may log in" in wheelfarm("user", "list").out


def test_a_name_is_taken_once(wheelfarm: Call, says: Callable[[str], None]) -> None:
    for code in (0, 2):
        says(GOOD)
        assert wheelfarm("user", "add", "ada", "--role", "viewer").code == code
    assert "there is no user bob" in wheelfarm("user", "role", "bob", "admin").err


def test_a_token_is_printed_once_and_only_its_digest_is_kept(
    wheelfarm: Call, says: Callable[[str], None], settings: Settings
) -> None:
    says(GOOD)
    wheelfarm("user", "add", "ada", "--role", "operator")

    made = wheelfarm("token", "add", "ada", "ci", "--scope", "read", "--scope", "jobs:write", "--days", "7")

    text = made.out.strip()
    assert text.startswith("wf_")
    assert len(text) >= 40
    listed = wheelfarm("token", "list", "--json")
    assert text not in listed.out
    assert listed.json[0]["scopes"] == ["jobs:write", "read"]
    assert text.encode() not in (settings.farm.home / "farm.sqlite").read_bytes()
    database = engine(settings.database_url)
    with transaction(database) as session:
        assert tokens.holder(session, text) is not None
        assert tokens.holder(session, f"{text}x") is None
    database.dispose()
    assert wheelfarm("token", "revoke", listed.json[0]["id"]).code == 0
    assert "there are no tokens" in wheelfarm("token", "list").out


def test_a_token_never_allows_more_than_its_person_may(wheelfarm: Call, says: Callable[[str], None]) -> None:
    says(GOOD)
    wheelfarm("user", "add", "bob", "--role", "viewer")

    refused = wheelfarm("token", "add", "bob", "ci", "--scope", "jobs:write")

    assert (refused.code, "bob is viewer: too little" in refused.err) == (2, True)


def test_who_is_disabled_comes_back_by_undo(wheelfarm: Call, says: Callable[[str], None]) -> None:
    says(GOOD)
    wheelfarm("user", "add", "ada", "--role", "admin")

    assert "may not log in" in wheelfarm("user", "disable", "ada").out
    assert "may log in" in wheelfarm("user", "disable", "ada", "--undo").out
    assert wheelfarm("user", "totp", "ada").code == 2
