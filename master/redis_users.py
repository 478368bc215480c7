"""The farm's users in Redis: one for the master, one for each node, each with a password that is told once.

The database keeps of a password what Redis keeps, its SHA-256, so that the whole file of users can be written from it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from master import audit, redis_acl
from schema import redis_link, redis_url, wire
from schema.db.models import Node
from schema.errors import RefusedError, SettingsError, UnavailableError, UsageError
from schema.names import NodeName, Sha256
from schema.settings import Settings
from schema.states import GONE

_PASSWORD_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A user who was made, or got a new password.

    url: for ``redis.url_file``; holds the password, which is nowhere else
    line: of the file of users; saved: whether Redis has written it there, and so knows it after a restart; None: Redis
        was left alone
    """

    user: str
    url: str
    line: str
    saved: bool | None


def grant(
    session: Session,
    settings: Settings,
    node: NodeName,
    *,
    who: str,
    host: str | None = None,
    only_note: bool = False,
) -> Granted:
    """Give *node* a Redis user of its own, or the one it has a new password; who had the old one is thrown out.

    host: how the node reaches Redis, where that is not what redis.url says
    only_note: for who writes Redis's file of users from ``lines``
    Raise UsageError for an unknown node, SettingsError where no such user can be, UnavailableError or RefusedError for
    a Redis that does not answer or does not let us.
    """
    row = session.get(Node, node, with_for_update=True)
    if row is None:
        raise UsageError(f"there is no node {node}", advice="wheelfarm node enrol makes it known first")
    if row.state in GONE:
        raise UsageError(f"node {node} is {row.state}", advice="wheelfarm node enrol takes it back first")
    user, password = wire.user(wire.node_queue(node)), _new_password()
    digest = redis_acl.digest(password)
    had, row.redis_sha256 = row.redis_sha256 is not None, digest
    audit.note(
        session,
        action="grant",
        subject=f"node {node}",
        who=who,
        before={user: had},
        after={user: True, "new_password": True},
    )
    session.flush()
    rules = redis_acl.node_rules(node, digest)
    _check(settings)
    saved = None if only_note else _set(settings, user, rules, throw_out=True)
    url = redis_url.for_user(settings.redis.url, user, password, host=host)
    return Granted(user=user, url=url, line=redis_acl.line(user, rules), saved=saved)


def grant_master(session: Session, settings: Settings, *, who: str, only_note: bool = False) -> Granted:
    """Give the master a Redis user of its own, or the one it has a new password.

    A master that runs keeps its connections until it is started with the new URL. Raises as ``grant`` does.
    """
    user, password = wire.user(wire.MASTER_QUEUE), _new_password()
    digest = redis_acl.digest(password)
    audit.note(
        session, action="grant-master", subject=audit.FARM, who=who, before={}, after={user: True, "new_password": True}
    )
    session.flush()
    rules = redis_acl.master_rules(digest)
    _check(settings)
    saved = None if only_note else _set(settings, user, rules, throw_out=False)
    url = redis_url.for_user(settings.redis.url, user, password)
    return Granted(user=user, url=url, line=redis_acl.line(user, rules), saved=saved)


def revoke(session: Session, settings: Settings, node: NodeName, *, who: str, only_note: bool = False) -> bool:
    """Remove *node*'s Redis user, which ends its connections; whether it had one. Raises as ``grant`` does.

    Where the farm's own Redis is used, which has no users, there is nothing to remove.
    """
    row = session.get(Node, node, with_for_update=True)
    user = wire.user(wire.node_queue(node))
    had = row is not None and row.redis_sha256 is not None
    if row is not None:
        row.redis_sha256 = None
    audit.note(session, action="revoke", subject=f"node {node}", who=who, before={user: had}, after={user: False})
    session.flush()
    if not settings.redis.url or only_note:
        return had
    with _administering(settings) as client:
        # Redis closes the connections of a user whom it deletes.
        removed = bool(_tell(client, "ACL", "DELUSER", user))
        _save(client)
    return removed


def has_one(session: Session, node: NodeName) -> bool:
    """Whether *node* was given a Redis user that was not revoked."""
    row = session.get(Node, node)
    return row is not None and row.redis_sha256 is not None


def lines(session: Session, settings: Settings) -> list[str]:
    """The file of users (``aclfile``) of the whole farm, as it should be; without whoever administers Redis.

    Where redis.url logs in as Redis's default user, there is no line for that user, nor for the master.
    """
    granted = session.execute(
        select(Node.name, Node.redis_sha256).where(Node.redis_sha256.is_not(None)).order_by(Node.name)
    )
    nodes = [
        redis_acl.line(wire.user(wire.node_queue(NodeName(name))), redis_acl.node_rules(NodeName(name), Sha256(digest)))
        for name, digest in granted
        if digest is not None
    ]
    user, password = redis_url.user_of(settings.redis.url), redis_url.password_of(settings.redis.url)
    if user == redis_url.DEFAULT_USER or not password:
        return nodes
    return [redis_acl.NOBODY, redis_acl.line(user, redis_acl.master_rules(redis_acl.digest(password))), *nodes]


def _new_password() -> str:
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def _check(settings: Settings) -> None:
    """Raise SettingsError where no user of Redis can be limited to one queue."""
    if not settings.redis.url:
        raise SettingsError(
            "redis.url is not set: the farm's own Redis is for this machine only, and has no users",
            advice="docs/how-to/redis-for-remote-nodes.md tells how to set up one for nodes elsewhere",
        )
    if redis_url.database_of(settings.redis.url) != "0":
        raise SettingsError(
            "redis.url names another database than 0; users of Redis are not limited to one, so nodes could leave it",
            advice="use database 0 of a Redis of the farm's own",
        )


def _set(settings: Settings, user: str, rules: tuple[str, ...], *, throw_out: bool) -> bool:
    with _administering(settings) as client:
        try:
            _tell(client, "ACL", *redis_acl.set_user(user, rules))
        except redis.exceptions.NoPermissionError:
            raise
        except redis.ResponseError as err:
            raise UnavailableError(
                f"Redis cannot have the user {user}: {err}",
                advice="Redis 7 or newer, or Valkey, is needed: older ones know no right to only push",
            ) from err
        if throw_out:
            _tell(client, "CLIENT", "KILL", "USER", user)
        return _save(client)


def _save(client: redis.Redis) -> bool:
    """Have Redis write its file of users; False where it was started without one."""
    try:
        _tell(client, "ACL", "SAVE")
    except redis.exceptions.NoPermissionError:
        raise
    except redis.ResponseError:
        return False
    return True


def _tell(client: redis.Redis, *words: str) -> object:
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


@contextmanager
def _administering(settings: Settings) -> Iterator[redis.Redis]:
    """A client that may set users; what Redis says against it is raised as RefusedError or UnavailableError."""
    url, key = _administrator(settings)
    client = redis_link.client(url, settings.redis_tls)
    try:
        yield client
    except redis.exceptions.NoPermissionError as err:
        raise RefusedError(
            f"Redis does not let {redis_url.user_of(url)} set users: {err}",
            advice="redis.admin_url_file in farm.toml names a file with the URL of one who may",
        ) from err
    except (redis.RedisError, OSError) as err:
        raise redis_link.explained(err, where=f"Redis at {redis_url.address(url)}", key=key) from err
    finally:
        client.close()


def _administrator(settings: Settings) -> tuple[str, str]:
    """The URL of whoever may set users, and the setting that it is from."""
    file = settings.redis.admin_url_file
    if file is None:
        return settings.redis.url, "redis.url"
    try:
        url = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as err:
        raise SettingsError(f"redis.admin_url_file: {file} cannot be read: {err}") from err
    redis_url.check(url, settings.redis_tls, file=file)
    return url, "redis.admin_url_file"
