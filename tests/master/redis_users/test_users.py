"""How users come and go in a real Redis."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine, select

from master import redis_users
from schema import wire
from schema.db.models import AuditEntry, Node
from schema.db.session import transaction
from schema.errors import RefusedError, SettingsError, UnavailableError, UsageError
from schema.names import NodeName
from schema.redis_url import password_of
from schema.sections import RedisSection
from schema.settings import Settings
from tests import rows
from tests.redis_farm import OWN, A, B, Farm
from tests.redis_server import Server


def test_a_new_password_ends_the_old_one_and_its_connections(farm: Farm) -> None:
    old = farm.grant(A)
    client = farm.client(old)
    client.llen(OWN)

    new = farm.grant(A)

    assert password_of(new.url) != password_of(old.url)
    with pytest.raises(redis.ConnectionError):
        client.llen(OWN)
    client.close()
    with pytest.raises(RefusedError, match="refuses the user or the password"):
        wire.reach(farm.app(old), wire.node_queue(A))
    wire.reach(farm.app(new), wire.node_queue(A))


def test_a_revoked_nodes_connections_end_and_it_does_not_come_in_again(farm: Farm) -> None:
    granted, other = farm.grant(A), farm.grant(B)
    client = farm.client(granted)
    client.llen(OWN)

    assert farm.revoke(A)

    with pytest.raises(redis.ConnectionError):
        client.llen(OWN)
    client.close()
    with pytest.raises(RefusedError, match="a removed user has none"):
        wire.reach(farm.app(granted), wire.node_queue(A))
    wire.reach(farm.app(other), wire.node_queue(B))
    assert not farm.revoke(A)


def test_users_outlive_redis(farm: Farm) -> None:
    node, master, gone = farm.grant(A), farm.grant_master(), farm.grant(B)
    farm.revoke(B)

    farm.redis.stop()
    farm.redis.start()

    wire.reach(farm.app(node), wire.node_queue(A))
    wire.reach(farm.app(master), wire.MASTER_QUEUE)
    with pytest.raises(RefusedError):
        wire.reach(farm.app(gone), wire.node_queue(B))


def test_the_file_of_users_can_be_written_from_the_database(farm: Farm) -> None:
    node, master = farm.grant(A), farm.grant_master()
    settings = replace(farm.settings, redis=replace(farm.settings.redis, url=master.url))
    with transaction(farm.database) as session:
        lines = redis_users.lines(session, settings)
    farm.redis.users.write_text("\n".join([f"user admin on >{farm.redis.password} ~* &* +@all", *lines]))

    with farm.redis.administrator() as administrator:
        administrator.execute_command("ACL", "LOAD")

    assert [line.split()[1] for line in lines] == ["default", "master", "node.a"]
    wire.reach(farm.app(node), wire.node_queue(A))
    wire.reach(farm.app(master), wire.MASTER_QUEUE)
    with pytest.raises(RefusedError):
        wire.reach(farm.app(replace(node, url=farm.settings.redis.url)), wire.node_queue(A))


def test_what_is_only_noted_is_in_the_file_and_not_in_redis(farm: Farm) -> None:
    with transaction(farm.database) as session:
        made = redis_users.grant(session, farm.settings, A, who="ada@here", only_note=True)
        lines = redis_users.lines(session, farm.settings)

    assert (lines, made.saved) == ([made.line], None)
    with pytest.raises(RefusedError):
        wire.reach(farm.app(made), wire.node_queue(A))


def test_of_a_master_that_is_redis_default_user_there_is_no_line(farm: Farm) -> None:
    farm.grant(A)

    with transaction(farm.database) as session:
        lines = redis_users.lines(session, farm.settings)

    assert [line.split()[1] for line in lines] == ["node.a"]


def test_passwords_are_in_neither_the_database_nor_the_lines(farm: Farm) -> None:
    passwords = [password_of(made.url) for made in (farm.grant(A), farm.grant_master(), farm.grant(A))]
    with transaction(farm.database) as session:
        kept = [session.scalars(select(Node.redis_sha256)).all(), redis_users.lines(session, farm.settings)]
        audit = [(row.action, row.subject, row.before, row.after) for row in session.scalars(select(AuditEntry))]
    dump = b"".join(path.read_bytes() for path in farm.settings.farm.home.glob("farm.sqlite*"))

    assert [entry[:2] for entry in audit] == [("grant", "node a"), ("grant-master", "farm"), ("grant", "node a")]
    for password in passwords:
        assert len(password) >= 40
        assert password not in f"{kept}{audit}"
        assert password.encode() not in dump


def test_a_redis_without_a_file_of_users_is_told_to_forget(farm: Farm) -> None:
    with Server(
        program=farm.redis.program,
        folder=farm.redis.folder / "forgetful",
        authority=farm.redis.authority,
        held=farm.redis.held,
        has_tls=farm.redis.has_tls,
        aclfile=False,
    ) as server:
        section = RedisSection(url=f"rediss://localhost:{server.port}/0", ca=server.authority.file)
        with transaction(farm.database) as session:
            made = redis_users.grant(session, replace(farm.settings, redis=section), A, who="ada@here")

    assert not made.saved
    assert made.line.startswith("user node.a ")


def test_who_may_not_set_users_is_told_who_may(farm: Farm) -> None:
    master = farm.grant_master()
    section = replace(farm.settings.redis, url=master.url, admin_url_file=None)
    with transaction(farm.database) as session, pytest.raises(RefusedError, match=r"redis\.admin_url_file") as fault:
        redis_users.grant(session, replace(farm.settings, redis=section), A, who="ada@here")

    assert "Redis does not let master set users" in str(fault.value)
    assert password_of(master.url) not in str(fault.value)


def test_nothing_is_noted_of_a_user_that_could_not_be_made(farm: Farm) -> None:
    farm.redis.stop()

    with pytest.raises(UnavailableError):
        farm.grant(A)

    with transaction(farm.database) as session:
        assert session.get_one(Node, A).redis_sha256 is None
        assert list(session.scalars(select(AuditEntry))) == []


def test_a_wrong_password_of_the_administrator_is_told_by_the_setting_it_is_from(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "admin-url").write_text(farm.redis.url("admin", "guessed-wrongly"))

    with pytest.raises(RefusedError, match=r"the password of redis\.admin_url_file") as fault:
        farm.grant(A)

    assert "guessed" not in str(fault.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [("", "is for this machine only, and has no users"), ("rediss://localhost/1", "another database than 0")],
)
def test_where_a_node_cannot_have_a_user_it_is_said_why(database: Engine, url: str, said: str) -> None:
    settings = Settings(redis=RedisSection(url=url))
    with transaction(database) as session:
        rows.node(session, A)

        with pytest.raises(SettingsError, match=said):
            redis_users.grant(session, settings, A, who="ada@here")


def test_a_farm_with_a_redis_of_its_own_has_nothing_to_revoke(database: Engine) -> None:
    with transaction(database) as session:
        rows.node(session, A)

        assert not redis_users.revoke(session, Settings(), A, who="ada@here")


def test_a_node_that_was_never_enrolled_gets_no_user(farm: Farm) -> None:
    with pytest.raises(UsageError, match="there is no node c"):
        farm.grant(NodeName("c"))
