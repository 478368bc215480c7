"""``servers.yml`` and ``backup.yml`` on a bare Debian 12: everything of a farm but its nodes, on one host.

The host has no systemd. Redis, PostgreSQL and nginx run by Debian's init scripts; the farm's own units are started by
their command lines, as their user.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
import redis
import urllib3

from tests import hosts
from tests.ansible import playing
from tests.ansible.playing import NAME, Played, Unit
from tests.hosts import Host
from tests.redis_server import Authority

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a host with a network of its own"),
]

_GROUPS = ("redis", "postgres", "master", "web", "monitoring")
_PATIENCE_S = 120.0

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Servers:
    """The host, and how each of the plays before the tests ended."""

    host: Host
    inventory: Path
    authority: Path
    dry: Played
    left_by_dry_run: str
    first: Played
    second: Played

    def get(self, path: str, *, scheme: str = "https") -> urllib3.BaseHTTPResponse:
        """What nginx answers for the farm's name, whose certificate is checked."""
        return playing.get(self.host, path, authority=self.authority, scheme=scheme)

    def redis(self, user: str, password: str, *, tls: bool = True) -> redis.Redis:
        named = {"ssl": True, "ssl_ca_certs": str(self.host.root / "etc/wheelfarm/redis-ca.pem")} if tls else {}
        return redis.Redis(host=self.host.address, username=user, password=password, socket_timeout=5, **named)  # type: ignore[arg-type]

    def secret(self, name: str) -> str:
        return (self.host.root / "etc/wheelfarm" / name).read_text().strip()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    authority = Authority(folder / "authority")
    held = authority.issue(NAME)
    with hosts.host("servers") as host:
        inventory = playing.inventory(
            folder / "hosts.json",
            host,
            _GROUPS,
            wheelfarm_public_url=f"https://{NAME}",
            web_tls="given",
            web_tls_certificate=str(held.certificate),
            web_tls_key=str(held.key),
            redis_bind=["127.0.0.1", host.address],
            master_settings={"farm": {"platforms": ["debian12-x86_64-cp311"]}},
        )
        dry = playing.play(inventory, "playbooks/servers.yml", "--check", "--diff")
        left = host.ssh("ls -d /etc/wheelfarm /opt/wheelfarm /etc/redis /etc/nginx /var/lib/wheelfarm; id wheelfarm")
        playing.make_usual(host)
        first = playing.play(inventory, "playbooks/servers.yml", "--diff")
        second = playing.play(inventory, "playbooks/servers.yml", "--diff")
        master, web = Unit(name="wheelfarm-master", host=host), Unit(name="wheelfarm-web", host=host)
        master.start()
        web.start()
        yield Servers(
            host=host,
            inventory=inventory,
            authority=authority.file,
            dry=dry,
            left_by_dry_run=left.stdout,
            first=first,
            second=second,
        )


def test_a_dry_run_on_the_bare_machine_ends_well_and_leaves_nothing(deployed: Servers) -> None:
    assert deployed.left_by_dry_run == ""
    assert "python3-apt is missing" in deployed.dry.said


def test_the_second_run_changes_nothing(deployed: Servers) -> None:
    assert deployed.first.changed > 20
    assert deployed.second.changed == 0, deployed.second.said


def test_a_dry_run_on_the_machine_that_is_set_up_finds_nothing_to_do(deployed: Servers) -> None:
    assert playing.play(deployed.inventory, "playbooks/servers.yml", "--check").changed == 0


def test_settings_that_the_farm_does_not_accept_are_never_put_in_place(deployed: Servers, tmp_path: Path) -> None:
    file = deployed.host.root / "etc/wheelfarm/farm.toml"
    before, wrong = file.read_text(), {"master_settings": {"farm": {"platforms": ["debian12-vax-cp311"]}}}
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "master", "roles": ["master"]}]))
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))

    said = playing.fail(deployed.inventory, tmp_path / "play.json", "-e", f"@{tmp_path}/wrong.json")

    assert "farm.platforms" in said
    assert "vax" in said
    assert file.read_text() == before


def test_no_secret_is_told(deployed: Servers) -> None:
    secrets = [deployed.secret(name) for name in ("redis-admin-password", "postgres-password", "redis-url", "web.key")]

    for secret in secrets:
        password = secret.rpartition("@")[0].rpartition(":")[2] or secret
        assert password not in deployed.first.said + deployed.second.said


def test_what_is_secret_is_for_its_owner_alone(deployed: Servers) -> None:
    said = deployed.host.ssh("cd /etc/wheelfarm; stat -c '%n %U %a' *").stdout

    assert sorted(said.splitlines()) == [
        "database-url wheelfarm 600",
        "farm.toml root 640",
        "postgres-password root 600",
        "redis-admin-password root 600",
        "redis-admin-url wheelfarm 600",
        "redis-authority root 700",
        "redis-ca.pem root 644",
        "redis-url wheelfarm 600",
        "web.key root 600",
        "web.pem root 644",
    ]


def test_the_front_end_answers_through_nginx(deployed: Servers) -> None:
    _wait_for(lambda: deployed.get("/simple/").status == 200)

    assert deployed.get("/farm/").status == 200


def test_the_master_leads_with_its_own_user_of_redis(deployed: Servers) -> None:
    def leads() -> bool:
        said = deployed.host.ssh(f"{playing.WHEELFARM} status --json").stdout
        return bool(said and (json.loads(said)["leader"] or {}).get("leads"))

    _wait_for(leads)
    assert deployed.secret("redis-url").startswith("rediss://master:")


def test_redis_wants_tls_and_a_user_and_gives_each_little(deployed: Servers) -> None:
    admin = deployed.secret("redis-admin-password")

    with pytest.raises(redis.ConnectionError), deployed.redis("admin", admin, tls=False) as client:
        client.ping()
    with pytest.raises(redis.AuthenticationError), deployed.redis("default", "") as client:
        client.ping()
    with deployed.redis("admin", admin) as client:
        assert client.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get("wheelfarm:master")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.flushall()


def test_the_databases_user_is_no_superuser_and_owns_one_database(deployed: Servers) -> None:
    asked = (
        "select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolpassword like 'SCRAM-SHA-256$%'"
        " from pg_authid where rolname = 'wheelfarm'"
    )
    said = deployed.host.ssh(f"cd /; runuser -u postgres -- psql -qAt -c {shlex.quote(asked)}")
    other = deployed.host.ssh(
        "runuser -u nobody -- psql -h /var/run/postgresql -d wheelfarm -U wheelfarm -c 'select 1'"
    )

    assert said.stdout == "f|f|f|f|t\n", said.stderr
    assert other.returncode != 0


def test_the_figures_are_where_node_exporter_reads_them(deployed: Servers) -> None:
    unit = Unit(name="wheelfarm-metrics", host=deployed.host)

    done = deployed.host.ssh(unit.command)
    seen = deployed.host.ssh(
        "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:9100/metrics').read().decode())\""
    )

    assert done.returncode == 0, done.stderr
    assert "\nwheelfarm_wheels 0\n" in seen.stdout


def test_systemd_understands_the_units(deployed: Servers, tmp_path: Path) -> None:
    files = sorted((deployed.host.root / "etc/systemd/system").glob("wheelfarm-*"))
    for file in files:  # this machine's systemd asks whether what they start is there
        (tmp_path / file.name).write_text(file.read_text().replace("=/opt/", f"={deployed.host.root}/opt/"))

    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )

    assert [file.name for file in files] == [
        "wheelfarm-downloads.service",
        "wheelfarm-downloads.timer",
        "wheelfarm-master.service",
        "wheelfarm-metrics.service",
        "wheelfarm-metrics.timer",
        "wheelfarm-web.service",
    ]
    assert [line for line in verified.stderr.splitlines() if "wheelfarm" in line] == []


def test_a_backup_comes_here_and_can_be_restored(deployed: Servers, tmp_path: Path, postgresql_url: str) -> None:
    backup, home = tmp_path / "backup", tmp_path / "home"

    for _ in range(2):
        playing.play(deployed.inventory, "playbooks/backup.yml", "-e", f"backup_to={backup}")

    assert len(list(backup.glob("2*Z/manifest.json"))) == 2
    assert list(backup.glob(".new-*")) == []
    assert backup.stat().st_mode & 0o777 == 0o700
    _restore(backup, home, tmp_path, postgresql_url)
    saved = (deployed.host.root / "var/lib/wheelfarm/authority/authority.pem").read_bytes()
    assert (home / "authority/authority.pem").read_bytes() == saved


def _restore(backup: Path, home: Path, folder: Path, postgresql_url: str) -> None:
    (folder / "farm.toml").write_text(f'[farm]\nhome = "{home}"\nplatforms = ["debian12-x86_64-cp311"]\n')
    restored = subprocess.run(
        [sys.executable, "-m", "master.cli", "--settings", folder / "farm.toml", "restore", backup],
        env=os.environ | {"WHEELFARM_DATABASE_URL": postgresql_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert restored.returncode == 0, restored.stderr


def _wait_for(what: Callable[[], T]) -> T:
    until = time.monotonic() + _PATIENCE_S
    while not (found := what()):
        assert time.monotonic() < until, f"not within {_PATIENCE_S} s"
        time.sleep(0.5)
    return found
