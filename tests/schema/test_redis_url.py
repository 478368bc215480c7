from __future__ import annotations

from pathlib import Path

import pytest

from schema import redis_url
from schema.errors import SettingsError
from schema.redis_url import Tls
from schema.settings import load


@pytest.mark.parametrize(
    ("url", "user", "password", "database"),
    [
        ("redis://example.org", "default", "", "0"),
        ("redis://:secret@example.org:6379/2", "default", "secret", "2"),
        ("rediss://node.pi4:a%2Fb@example.org:6379/0", "node.pi4", "a/b", "0"),
        ("redis+socket:///run/redis.sock?virtual_host=3", "default", "", "3"),
        ("redis+socket://master:secret@/run/redis.sock", "master", "secret", "0"),
    ],
)
def test_a_url_says_who_logs_in_where(url: str, user: str, password: str, database: str) -> None:
    assert (redis_url.user_of(url), redis_url.password_of(url)) == (user, password)
    assert redis_url.database_of(url) == database
    assert "secret" not in redis_url.address(url)


@pytest.mark.parametrize(
    ("url", "host", "made"),
    [
        ("rediss://admin:old@farm:6379/0", None, "rediss://node.a:n%2Fw@farm:6379/0"),
        ("rediss://admin:old@farm:6379/0", "10.0.0.1", "rediss://node.a:n%2Fw@10.0.0.1:6379/0"),
        ("rediss://admin:old@farm:6379/0", "other:6380", "rediss://node.a:n%2Fw@other:6380/0"),
        ("rediss://farm", "other", "rediss://node.a:n%2Fw@other"),
        ("redis+socket:///run/redis.sock", None, "redis+socket://node.a:n%2Fw@/run/redis.sock"),
    ],
)
def test_a_url_is_made_for_another_user(url: str, host: str | None, made: str) -> None:
    assert redis_url.for_user(url, "node.a", "n/w", host=host) == made
    assert redis_url.password_of(made) == "n/w"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('url = "rediss://x:secret@h/0?ssl_cert_reqs=none"', "no option that begins with ssl"),
        ('url = "rediss://x:secret@h/0?a=1&%73sl_check_hostname=false"', "no option that begins with ssl"),
        ('url = "redis://x:secret@h/0?ssl=true"', "no option that begins with ssl"),
        ('url = "redis://x:secret@h/0"\nca = "ca.pem"', "does not begin with rediss://"),
        ('ca = "ca.pem"', "does not begin with rediss://"),
        ('url = "rediss://x:secret@h/0"\nkey = "key.pem"', "redis.certificate is missing"),
        ('url = "rediss://x:secret@h/0"\nca = 3', "redis.ca: 3 is not a path"),
        ('url = "rediss://x:secret@h/0"\nverify = false', "verify"),
    ],
)
def test_nothing_in_the_settings_makes_tls_check_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.delenv("WHEELFARM_REDIS_URL", raising=False)
    file = tmp_path / "farm.toml"
    file.write_text(f"[redis]\n{text}\n")

    with pytest.raises(SettingsError) as fault:
        load(file)

    assert str(fault.value).startswith(f"{file}: ")
    assert said in str(fault.value)
    assert "secret" not in str(fault.value)


def test_the_files_of_tls_are_relative_to_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHEELFARM_REDIS_URL", raising=False)
    file = tmp_path / "farm.toml"
    file.write_text('[redis]\nurl = "rediss://farm/0"\nca = "ca.pem"\ncertificate = "/etc/me.pem"\n')

    assert load(file).redis_tls == Tls(ca=tmp_path / "ca.pem", certificate=Path("/etc/me.pem"))
