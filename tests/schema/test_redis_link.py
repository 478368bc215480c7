"""Redis over TLS: who it is, is always checked; what does not fit is one sentence with the next thing to do."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from master import embedded_redis
from schema import redis_link, wire
from schema.errors import RefusedError, SettingsError, UnavailableError
from schema.redis_url import Tls
from tests.chaos.proxy import Proxy
from tests.redis_server import Authority, Certificate, Server
from tests.whole_farm import free_port

Start = Callable[..., Server]


@pytest.fixture
def authority(servers: Path) -> Authority:
    return Authority(Path(tempfile.mkdtemp(dir=servers)))


@pytest.fixture
def start(servers: Path, authority: Authority) -> Iterator[Start]:
    """Start a server with a certificate."""
    with ExitStack() as stack:

        def started(held: Certificate | None = None, **options: Any) -> Server:
            folder = Path(tempfile.mkdtemp(dir=servers))
            program = Path(shutil.which("redis-server") or "")
            held = held or authority.issue()
            return stack.enter_context(
                Server(program=program, folder=folder, authority=authority, held=held, **options)
            )

        yield started


def _refusal(server: Server, tls: Tls, *, password: str | None = None, host: str = "localhost") -> str:
    """What both ways to Redis say: Celery's, and our own client's."""
    url = server.url("admin", password or server.password, host=host)
    with pytest.raises(RefusedError) as by_celery:
        wire.reach(wire.celery_app(url, name="test", tls=tls), wire.MASTER_QUEUE)
    with pytest.raises(RefusedError) as by_client:
        embedded_redis.ping(url, tls)
    said = str(by_celery.value)
    assert "\n" not in said
    assert (password or server.password) not in said + str(by_client.value)
    assert str(by_client.value).replace(f"Redis at rediss://{host}:{server.port}/0", "Redis") == said
    return said


def test_a_redis_whose_authority_is_named_is_spoken_to(start: Start, authority: Authority) -> None:
    server = start()
    tls = Tls(ca=authority.file)

    for host in ("localhost", "127.0.0.1"):
        url = server.url("admin", server.password, host=host)
        wire.reach(wire.celery_app(url, name="test", tls=tls), wire.MASTER_QUEUE)
        embedded_redis.ping(url, tls)


def test_the_systems_authorities_count_where_none_is_named(
    start: Start, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start()
    assert "not from an authority that is trusted here" in _refusal(server, Tls())

    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))  # where OpenSSL looks for those of the system

    wire.reach(wire.celery_app(server.url("admin", server.password), name="test"), wire.MASTER_QUEUE)


def test_another_authoritys_redis_is_not_spoken_to(start: Start, tmp_path: Path) -> None:
    said = _refusal(start(), Tls(ca=Authority(tmp_path, "another").file))

    assert "not from an authority that is trusted here" in said
    assert "redis.ca in farm.toml" in said


def test_a_certificate_that_has_run_out_is_told(start: Start, authority: Authority) -> None:
    server = start(authority.issue(ends=datetime.now(UTC) - timedelta(hours=1)))

    assert "the certificate of Redis has run out (renew" in _refusal(server, Tls(ca=authority.file))


def test_a_certificate_that_is_not_valid_yet_is_told(start: Start, authority: Authority) -> None:
    server = start(authority.issue(begins=datetime.now(UTC) + timedelta(hours=1)))

    assert "is not valid yet (is the clock" in _refusal(server, Tls(ca=authority.file))


@pytest.mark.parametrize(("name", "host"), [("elsewhere.example.org", "localhost"), ("localhost", "127.0.0.1")])
def test_a_certificate_for_another_name_is_told(start: Start, authority: Authority, name: str, host: str) -> None:
    server = start(authority.issue(name))

    said = _refusal(server, Tls(ca=authority.file), host=host)

    assert "is for another name" in said
    assert f"'{host}'" in said


def test_a_wrong_password_is_told_and_not_repeated(start: Start, authority: Authority) -> None:
    said = _refusal(start(), Tls(ca=authority.file), password="guessed-wrongly")  # noqa: S106 - it is none

    assert "refuses the user or the password of redis.url" in said
    assert "wheelfarm redis grant NAME" in said


def test_a_redis_that_asks_for_a_certificate_gets_ours(start: Start, authority: Authority) -> None:
    server, own = start(asks_for_certificates=True), authority.issue("node")
    tls, url = Tls(ca=authority.file, certificate=own.certificate, key=own.key), server.url("admin", server.password)

    wire.reach(wire.celery_app(url, name="test", tls=tls), wire.MASTER_QUEUE)

    with pytest.raises(UnavailableError, match=r"redis\.certificate"):
        wire.reach(wire.celery_app(url, name="test", tls=Tls(ca=authority.file)), wire.MASTER_QUEUE)


@pytest.mark.slow
def test_a_redis_without_tls_is_told(start: Start, authority: Authority) -> None:
    server = start(speaks_tls=False)
    url = server.url("admin", server.password)

    # It waits for the end of what it takes for a command, so this is only noticed when our patience ends.
    with pytest.raises(UnavailableError, match=r"redis\.url must begin with rediss:// where Redis speaks TLS"):
        wire.reach(wire.celery_app(url, name="test", tls=Tls(ca=authority.file)), wire.MASTER_QUEUE)


def test_a_url_without_tls_is_told_at_a_redis_that_has_it(start: Start) -> None:
    server = start()
    url = server.url("admin", server.password).replace("rediss://", "redis://")

    with pytest.raises(UnavailableError, match=r"redis\.url must begin with rediss:// where Redis speaks TLS"):
        wire.reach(wire.celery_app(url, name="test"), wire.MASTER_QUEUE)


def test_a_file_that_cannot_be_used_is_a_fault_of_the_settings(tmp_path: Path, authority: Authority) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    own, other = authority.issue(), authority.issue()
    faults = {
        Tls(ca=tmp_path / "absent.pem"): "redis.ca: .*absent.pem cannot be used: No such file",
        Tls(ca=empty): "redis.ca: .*empty.pem cannot be used",
        Tls(certificate=own.certificate, key=other.key): "redis.certificate: .* cannot be used: key values mismatch",
        Tls(certificate=own.certificate, key=tmp_path / "absent.key"): "redis.certificate: .* No such file",
    }
    for tls, said in faults.items():
        with pytest.raises(SettingsError, match=said):
            redis_link.options("rediss://localhost/0", tls)


def test_who_does_not_answer_is_waited_for(authority: Authority) -> None:
    url = f"rediss://localhost:{free_port()}/0"

    with pytest.raises(UnavailableError, match=r"Redis does not answer: .*refused\..*is it running") as fault:
        wire.reach(wire.celery_app(url, name="test", tls=Tls(ca=authority.file)), wire.MASTER_QUEUE)

    assert not isinstance(fault.value, RefusedError)


def test_what_arrives_damaged_may_pass_and_is_no_refusal(start: Start, authority: Authority) -> None:
    server = start()
    with Proxy(server.port) as proxy:
        url = f"rediss://admin:{server.password}@localhost:{proxy.port}/0"
        client = redis_link.client(url, Tls(ca=authority.file))
        client.set_retry(Retry(NoBackoff(), 0))
        client.ping()
        proxy.damaged = 1

        with pytest.raises(redis.ConnectionError) as raised:
            client.ping()
        client.close()

    explained = redis_link.explained(raised.value)
    assert not isinstance(explained, RefusedError)
    assert "arrives damaged" in str(explained)
