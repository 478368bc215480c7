"""No command that changes something lacks an entry in the audit trail: each is in one of the tables below."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from master.cli import farm
from master.store import Store
from schema.attest.authority import NodeKey
from schema.db.models import Wheel
from schema.db.people import tokens, users
from schema.db.session import engine, transaction
from schema.names import NodeName, Sha256
from schema.people import Role, Scope
from schema.settings import Settings
from schema.states import BuildState
from tests import hooks, published, rows
from tests.receiver import Receiver
from tests.sshd import Sshd

Call = Callable[..., Any]

_WORDS = "correct horse battery staple"

READS_ONLY = {
    "alarms", "audit", "builds", "check-tags", "compare", "coverage", "demand", "downloads", "feed", "lock", "log",
    "metrics", "node list", "node reach", "recipes", "redis users", "scope", "score", "settings", "status",
    "token list", "user list", "verify", "web nginx-config", "webhook deliveries", "webhook list", "why",
}  # fmt: skip

# They run the farm's own processes or the other half's command, or do what a master does at its start, or the front-end
# all the time; `run` itself is noted when it asks for its list.
PROCESSES = {"image", "import-downloads", "master", "migrate", "run", "ssh-key", "web"}

# Command → what it is called with here, and what the entry is about.
AUDITED: dict[str, tuple[list[str], str]] = {
    "anatomy": (["--missing"], "farm"),
    "backup": (["{folder}/backup"], "farm"),
    "cancel": (["running"], "build {running}"),
    "gc": (["--yes"], "farm"),
    "hold": (["queued"], "build {queued}"),
    "node add": (["pi4", "{sshd.target}", "--yes"], "node pi4"),
    "node drain": (["n1"], "node n1"),
    "node enrol": (["n2", "--csr", "{folder}/keys/node.csr", "--outbox", "{folder}/outbox"], "node n2"),
    "node host-key": (["pi5", "pi@pi5.local", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"], "node pi5"),
    "node quarantine": (["n1"], "node n1"),
    "node resume": (["n1"], "node n1"),
    "node retire": (["n1"], "node n1"),
    "node revoke": (["n1", "--since", "2026-11-01", "--reason", "stolen"], "node n1"),
    "priority": (["queued", "+5"], "build {queued}"),
    "ranking": (["{folder}/ranking.csv"], "farm"),
    "rebuild": (["published==1.0"], "build {next}"),
    "reconcile": ([], "farm"),
    "recount": ([], "farm"),
    "redis grant": (["n1"], "node n1"),
    "redis grant-master": ([], "farm"),
    "redis revoke": (["n1"], "node n1"),
    "release": (["held"], "build {held}"),
    "remove": (["published"], "build {published}"),
    "request": (["click>=8"], "project click"),
    "restore": (["{folder}/backup", "--force"], "farm"),
    "retry": (["failed"], "build {failed}"),
    "scrub": ([], "farm"),
    "token add": (["ada", "ci"], "token {next_token}"),
    "token revoke": (["{token}"], "token {token}"),
    "user add": (["bob", "--role", "viewer"], "user bob"),
    "user disable": (["ada"], "user ada"),
    "user password": (["ada"], "user ada"),
    "user role": (["ada", "operator"], "user ada"),
    "user totp": (["ada", "--off"], "user ada"),
    "webhook add": (["pager", "https://pager.example/"], "webhook pager"),
    "webhook enable": (["chat"], "webhook chat"),
    "webhook remove": (["chat"], "webhook chat"),
    "webhook resend": (["chat"], "webhook chat"),
    "webhook rotate-secret": (["chat"], "webhook chat"),
    "webhook test": (["chat"], "webhook chat"),
}


@pytest.fixture
def things(  # noqa: PLR0917 - fixtures
    settings: Settings,
    settings_file: Path,
    tmp_path: Path,
    redis_url: str,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Any]:
    """A build in each state that people do something about, a node, the request of another, a Redis, a webhook."""
    settings_file.write_text(f"{settings_file.read_text()}[webhooks]\nprivate_addresses = true\n")
    monkeypatch.setenv("WHEELFARM_REDIS_URL", redis_url)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{_WORDS}\n"))
    database = engine(settings.database_url)
    with transaction(database) as session:
        states = (BuildState.QUEUED, BuildState.HELD, BuildState.FAILED, BuildState.PUBLISHED, BuildState.QUEUED)
        names = ("queued", "held", "failed", "published", "running")
        made = {
            name: rows.build(session, rows.project(session, name), state=state)
            for name, state in zip(names, states, strict=True)
        }
        rows.node(session)
        rows.lease(session, made["running"], node=NodeName("n1"), lease_s=90)
        store = Store(settings.store)
        wheel = published.wheel_file(tmp_path, "published", "1.0").read_bytes()
        digests = [store.put_bytes(data) for data in (wheel, b"metadata", b"provenance")]
        keys = ("sha256", "metadata_sha256", "provenance_sha256")
        rows.wheel(session, made["published"], **dict(zip(keys, map(Sha256, digests), strict=True)))
        found: dict[str, Any] = {name: build.id for name, build in made.items()}
        assert session.query(Wheel).count() == 1
        ada = users.add(session, "ada", Role.ADMIN, password=_WORDS, who="ada@host")
        made_token, _ = tokens.add(session, ada, "old", [Scope.READ], days=1, who="ada@host")
        hooks.hook(session, "chat", receiver.url)
        found |= {"token": made_token.id, "next_token": made_token.id + 1}
    database.dispose()
    key = NodeKey.create(tmp_path / "keys", NodeName("n2"))
    (tmp_path / "keys" / "node.csr").write_text(key.csr_pem())
    (tmp_path / "ranking.csv").write_text("name,downloads\nqueued,12\n")
    return found | {"folder": tmp_path, "next": max(found.values()) + 1}


@pytest.fixture
def sshd(tmp_path: Path, settings: Settings) -> Iterator[Sshd]:
    with Sshd(folder=tmp_path / "sshd", keys=settings.ssh) as server:
        yield server


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(command, click.Group):
        if command.invoke_without_command:
            yield " ".join(path)
        for name, inner in command.commands.items():
            yield from _commands(inner, (*path, name))
    else:
        yield " ".join(path)


def test_every_command_is_known_to_read_only_or_to_leave_an_entry() -> None:
    assert sorted([*READS_ONLY, *PROCESSES, *AUDITED]) == sorted(_commands(farm))


@pytest.mark.parametrize("command", sorted(AUDITED))
def test_a_command_that_changes_something_leaves_an_entry(
    command: str, wheelfarm: Call, things: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    if command == "restore":
        wheelfarm("backup", things["folder"] / "backup")
    if command == "node add":
        things["sshd"] = request.getfixturevalue("sshd")
    before = len(wheelfarm("audit", "--json").json)
    arguments, subject = AUDITED[command]

    called = wheelfarm(*command.split(), *(item.format(**things) for item in arguments))

    assert called.code == 0, called.err
    newest, *others = wheelfarm("audit", "--json").json
    assert len(others) == before
    assert (newest["action"], newest["subject"]) == (command.rsplit(maxsplit=1)[-1], subject.format(**things))
    assert "@" in newest["who"]
