"""``servers.yml`` on a bare Debian 12, with SQLite: nginx serves what was rendered by itself, without the front-end.

nginx runs by Debian's init script, as www-data; the front-end, where a test needs it, by its unit's command line.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from tests import hosts, zstd
from tests.ansible import playing
from tests.ansible.playing import NAME, Played, Unit
from tests.hosts import Host
from tests.redis_server import Authority

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a host with a network of its own"),
]

_TESTS = Path(__file__).parents[1]
_CONFIG = "etc/nginx/conf.d/wheelfarm.conf"
_PAGE, _WHEEL = "/simple/demo/", "/files/demo-1.0-py3-none-any.whl"
_JSON = "application/vnd.pypi.simple.v1+json"
_AGENT = 'pip/26.3 {"cpu":"x86_64","distro":{"name":"Debian GNU/Linux","version":"12"},"python":"3.11.2"}'
_PATIENCE_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Farm:
    """The host, after its first play."""

    host: Host
    inventory: Path
    authority: Path
    first: Played

    def get(self, path: str, *, scheme: str = "https", **headers: str) -> urllib3.BaseHTTPResponse:
        return playing.get(self.host, path, authority=self.authority, scheme=scheme, **headers)

    def config(self) -> str:
        return (self.host.root / _CONFIG).read_text()

    def as_user(self, user: str, command: str) -> str:
        return self.host.ssh(f"cd /; umask 027; runuser -u {user} -- {command}").stdout


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    folder = tmp_path_factory.mktemp("nginx")
    authority = Authority(folder / "authority")
    held = authority.issue(NAME)
    with hosts.host("nginx") as host:
        inventory = playing.inventory(
            folder / "hosts.json",
            host,
            ("redis", "master", "web"),
            wheelfarm_public_url=f"https://{NAME}",
            web_tls="given",
            web_tls_certificate=str(held.certificate),
            web_tls_key=str(held.key),
            master_settings={"farm": {"platforms": ["debian12-x86_64-cp311"]}},
        )
        playing.make_usual(host)
        first = playing.play(inventory, "playbooks/servers.yml")
        farm = Farm(host=host, inventory=inventory, authority=authority.file, first=first)
        _publish(farm)
        yield farm


def _publish(farm: Farm) -> None:
    there = farm.host.root / "srv/tests"
    (there / "ansible").mkdir(parents=True)
    for name in ("published.py", "rows.py", "ansible/publish.py"):
        shutil.copyfile(_TESTS / name, there / name)
    farm.as_user("wheelfarm", "env PYTHONPATH=/srv /opt/wheelfarm/venv/bin/python -m tests.ansible.publish")


@contextmanager
def _front_end(farm: Farm) -> Iterator[None]:
    web = Unit(name="wheelfarm-web", host=farm.host)
    web.start()
    try:
        _until_it_answers(farm, 200)
        yield
    finally:
        web.stop()
        _until_it_answers(farm, 503)


def _until_it_answers(farm: Farm, status: int) -> None:
    until = time.monotonic() + _PATIENCE_S
    while farm.get("/healthz").status != status:
        assert time.monotonic() < until, f"not {status} within {_PATIENCE_S} s"
        time.sleep(0.5)


@pytest.fixture
def role(tmp_path: Path) -> Path:
    """A playbook of the role alone."""
    file = tmp_path / "web.json"
    file.write_text(json.dumps([{"hosts": "web", "roles": ["web"]}]))
    return file


@pytest.mark.parametrize(
    ("taken", "encoding"), [("identity", None), ("gzip, deflate", "gzip"), ("gzip, deflate, br, zstd", "zstd")]
)
def test_a_page_comes_from_nginx_itself(farm: Farm, taken: str, encoding: str | None) -> None:
    unpack: dict[str | None, Callable[[bytes], bytes]] = {None: bytes, "gzip": gzip.decompress, "zstd": zstd.decompress}

    page = farm.get(_PAGE, Accept=_JSON, Accept_Encoding=taken)
    again = farm.get(_PAGE, Accept=_JSON, Accept_Encoding=taken, If_None_Match=page.headers["ETag"])

    assert (page.status, page.headers["Content-Type"], page.headers.get("Content-Encoding")) == (200, _JSON, encoding)
    assert json.loads(unpack[encoding](page.data))["name"] == "demo"
    assert (again.status, again.data, again.headers["Vary"]) == (304, b"", "Accept, Accept-Encoding")


def test_a_wheel_comes_from_nginx_in_ranges_too(farm: Farm) -> None:
    whole, part = farm.get(_WHEEL), farm.get(_WHEEL, Range="bytes=100-199")

    assert (whole.status, whole.data[:2]) == (200, b"PK")
    assert (part.status, part.data) == (206, whole.data[100:200])
    assert farm.get(f"{_WHEEL}.metadata").data.startswith(b"Metadata-Version: 2.1\n")


@pytest.mark.parametrize("path", ["/farm/", "/simple/nothing/", "/"])
def test_what_needs_the_front_end_says_that_it_is_away(farm: Farm, path: str) -> None:
    answer = farm.get(path)

    assert (answer.status, answer.headers["Retry-After"]) == (503, "15")
    assert b"front-end does not answer just now; try again in a minute" in answer.data


def test_with_the_front_end_people_have_pages_and_installers_their_404(farm: Farm) -> None:
    with _front_end(farm):
        page, missing, moved = farm.get("/farm/"), farm.get("/simple/nothing/"), farm.get("/simple/Demo/")

        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert (missing.status, moved.status, moved.headers["Location"]) == (404, 301, _PAGE)
        assert farm.get("/age/1d/simple/demo/", Accept=_JSON).status == 200


@pytest.mark.parametrize("path", [_PAGE, _WHEEL, "/farm/"])
def test_tls_is_asked_for_and_kept(farm: Farm, path: str) -> None:
    moved = farm.get(f"{path}?y=1", scheme="http")

    assert (moved.status, moved.headers["Location"]) == (308, f"https://{NAME}{path}?y=1")
    assert farm.get(path).headers["Strict-Transport-Security"] == "max-age=31536000"


def test_http2_is_offered(farm: Farm) -> None:
    context = ssl.create_default_context(cafile=farm.authority)
    context.set_alpn_protocols(["h2"])

    with (
        socket.create_connection((farm.host.address, 443), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as wrapped,
    ):
        assert wrapped.selected_alpn_protocol() == "h2"


def test_nginx_reads_what_everybody_may_and_nothing_else_of_the_farm(farm: Farm) -> None:
    read = farm.as_user("www-data", f"cat /var/lib/wheelfarm/site{_PAGE}index.json")
    others = ("", "store", "farm.sqlite", "ssh/farm.key", "authority")

    assert json.loads(read)["name"] == "demo"
    for path in others:
        assert farm.as_user("www-data", f"cat /var/lib/wheelfarm/{path}") == ""
        assert farm.as_user("www-data", f"ls /var/lib/wheelfarm/{path}/") == ""


def test_downloads_are_counted_from_a_log_that_has_no_address_also_after_it_was_rotated(farm: Farm) -> None:
    counting = Unit(name="wheelfarm-downloads", host=farm.host)
    logs = farm.host.root / "var/log/wheelfarm"
    farm.host.ssh(counting.command)

    farm.get(_WHEEL, User_Agent=_AGENT)
    rotated = farm.host.ssh("logrotate --force /etc/logrotate.d/wheelfarm && sleep 1")
    farm.get(_WHEEL, User_Agent=_AGENT)
    farm.get(_WHEEL, User_Agent=_AGENT)
    counted = farm.host.ssh(counting.command)

    assert (rotated.returncode, rotated.stderr) == (0, "")
    assert counted.returncode == 0, counted.stderr
    assert [line.rpartition(" new lines, ")[2] for line in counted.stdout.splitlines()] == [
        "1 downloads",
        "2 downloads",
    ]
    assert {file.name for file in logs.iterdir()} == {
        f"{name}.log{rotation}" for name in ("access", "downloads") for rotation in ("", ".1")
    }
    for file in logs.iterdir():
        assert farm.host.gateway not in file.read_text()
    assert _PAGE in (logs / "access.log.1").read_text()


def test_settings_that_nginx_does_not_understand_are_taken_back(farm: Farm, role: Path) -> None:
    before = farm.config()
    broken = farm.host.root / "etc/nginx/conf.d/broken.conf"
    broken.write_text("limit_conn_zone $binary_remote_addr zone=wheelfarm_connections:3m;\n")

    try:
        said = playing.fail(farm.inventory, role, "-e", "web_requests_per_second=7")
    finally:
        broken.unlink()

    assert "nginx goes on with what it had" in said
    assert "wheelfarm_connections" in said
    assert farm.config() == before


def test_other_settings_take_effect_without_a_request_lost(farm: Farm, role: Path) -> None:
    ended, statuses = threading.Event(), list[int]()

    def ask() -> None:
        while not ended.is_set():
            statuses.append(farm.get(_PAGE).status)
            time.sleep(0.02)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        played = playing.play(farm.inventory, role, "-e", "web_requests_per_second=5000")
    finally:
        ended.set()
        asking.join()

    assert (played.changed, set(statuses)) == (2, {200})  # the file, and the reload
    assert "rate=5000r/s" in farm.config()
    assert playing.play(farm.inventory, role, "-e", "web_requests_per_second=5000").changed == 0
