from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from schema import wire
from schema.db.session import engine, transaction
from schema.errors import RefusedError
from schema.redis_url import password_of, user_of
from schema.settings import Settings
from tests import rows
from tests.whole_farm import free_port

Call = Callable[..., Any]


@pytest.fixture
def _node(settings: Settings) -> None:
    database = engine(settings.database_url)
    with transaction(database) as session:
        rows.node(session)
    database.dispose()


@pytest.fixture
def _redis(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEELFARM_REDIS_URL", redis_url)


@pytest.mark.usefixtures("_node", "_redis")
def test_a_nodes_url_is_the_answer_and_its_password_is_nowhere_else(wheelfarm: Call) -> None:
    called = wheelfarm("redis", "grant", "n1")

    assert called.code == 0, called.err
    url = called.out.strip()
    assert user_of(url) == "node.n1"
    assert password_of(url) not in called.err
    assert "chmod 600" in called.err
    told = [wheelfarm(*words).out for words in (["redis", "users"], ["audit"], ["audit", "--json"], ["settings"])]
    assert password_of(url) not in "".join(told)


@pytest.mark.usefixtures("_node", "_redis")
def test_the_file_of_users_has_a_line_for_each_node_that_has_one(wheelfarm: Call) -> None:
    assert wheelfarm("redis", "users", "--json").json == []
    made = wheelfarm("redis", "grant", "n1", "--json").json

    called = wheelfarm("redis", "users")

    assert called.out.splitlines() == [made["line"]]
    assert "wheelfarm redis grant-master" in called.err
    assert wheelfarm("redis", "revoke", "n1", "--json").json == {"node": "n1", "removed": True}
    assert wheelfarm("redis", "users").out.strip() == ""
    assert wheelfarm("redis", "revoke", "n1").out.strip() == "node n1 had no Redis user"


@pytest.mark.usefixtures("_node", "_redis")
def test_a_redis_that_forgets_its_users_is_told_of(wheelfarm: Call) -> None:
    called = wheelfarm("redis", "grant", "n1")

    assert "without an aclfile" in called.err
    assert "user node.n1 resetchannels -@all" in called.err


@pytest.mark.usefixtures("_node")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["grant", "n1"], 2, "for this machine only, and has no users"),
        (["grant", "nobody"], 2, "there is no node nobody"),
        (["grant", "Not_A_Node"], 2, "not a node name"),
    ],
)
def test_what_cannot_be_is_said(
    wheelfarm: Call, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    monkeypatch.delenv("WHEELFARM_REDIS_URL", raising=False)

    called = wheelfarm("redis", *words)

    assert (called.code, called.out) == (code, "")
    assert said in called.err


@pytest.mark.usefixtures("_node", "_redis")
@pytest.mark.parametrize("words", [["retire", "n1"], ["revoke", "n1", "--since", "2026-01-01", "--reason", "stolen"]])
def test_a_node_that_leaves_the_farm_loses_its_redis_user(wheelfarm: Call, words: list[str]) -> None:
    url = wheelfarm("redis", "grant", "n1").out.strip()
    app = wire.celery_app(url, name="test")
    wire.reach(app, "node.n1")

    called = wheelfarm("node", *words)

    assert called.code == 0, called.err
    assert called.err == "" or "Redis" not in called.err
    with pytest.raises(RefusedError):
        wire.reach(app, "node.n1")
    assert wheelfarm("redis", "users").out.strip() == ""
    again = wheelfarm("redis", "grant", "n1")
    assert (again.code, again.out) == (2, "")
    assert "wheelfarm node enrol takes it back first" in again.err


@pytest.mark.usefixtures("_node", "_redis")
def test_a_node_can_leave_although_redis_is_away(wheelfarm: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    wheelfarm("redis", "grant", "n1")
    monkeypatch.setenv("WHEELFARM_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")

    called = wheelfarm("node", "retire", "n1", "--json")

    assert (called.code, called.json["state"]) == (0, "retired")
    assert "it can still reach Redis" in called.err
    assert "wheelfarm redis revoke n1" in called.err
