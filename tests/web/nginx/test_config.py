"""What can be asked of ``wheelfarm web nginx-config``: TLS, a way there from HTTP, limits; and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from schema.errors import SettingsError
from schema.settings import Settings, load
from tests import sample_site
from tests.redis_server import Authority
from tests.sample_site import HERE
from tests.web.nginx.server import ask, serving
from tests.web.server import command, free_port
from web import nginx
from web.nginx import Wanted

HSTS = "Strict-Transport-Security"


@dataclass(frozen=True, kw_only=True)
class Alone:
    """nginx by TLS, and where it leads there from plain HTTP; nobody is at the front-end's port."""

    tls: str
    plain: str
    acme: Path
    authority: Path

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        with urllib3.PoolManager(ca_certs=str(self.authority)) as pool:
            return pool.request("GET", self.tls + path, headers=headers, redirect=False, retries=False)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    folder = tmp_path_factory.mktemp("alone")
    authority = Authority(folder / "authority")
    held = authority.issue("127.0.0.1")
    tls, plain, acme = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}", folder / "acme"
    (acme / ".well-known/acme-challenge").mkdir(parents=True)
    sample_site.make(folder / "var", f"https://{tls}")
    file = folder / "farm.toml"
    web = f'[web]\nport = {free_port()}\npublic_url = "https://{tls}"\n'
    file.write_text(f'[farm]\nhome = "var"\nplatforms = ["{HERE}"]\n{web}', encoding="utf-8")
    options = [f"--listen={tls}", f"--certificate={held.certificate}", f"--key={held.key}"]
    shown = [*command(file), "nginx-config", *options, f"--redirect={plain}", f"--acme={acme}"]
    site_conf = subprocess.run(shown, check=True, capture_output=True, text=True).stdout
    with serving(folder, site_conf, url=f"http://{plain}/"):
        yield Alone(tls=f"https://{tls}", plain=f"http://{plain}", acme=acme, authority=authority.file)


def test_plain_http_leads_to_the_public_address(alone: Alone) -> None:
    moved = ask(f"{alone.plain}/simple/x/?y=1")

    assert (moved.status, moved.headers["Location"]) == (308, f"{alone.tls}/simple/x/?y=1")
    assert HSTS not in moved.headers


def test_a_challenge_of_acme_is_answered_by_plain_http(alone: Alone) -> None:
    (alone.acme / ".well-known/acme-challenge/token").write_text("token.thumbprint")

    assert ask(f"{alone.plain}/.well-known/acme-challenge/token").data == b"token.thumbprint"
    assert ask(f"{alone.plain}/.well-known/acme-challenge/other").status == 404


@pytest.mark.parametrize(
    "path",
    ["/simple/demo/", "/files/big-1.0-py3-none-any.whl", f"/constraints/{HERE}.txt", "/farm/", "/simple/nothing/"],
)
def test_whatever_comes_by_tls_tells_browsers_to_stay_there(path: str, alone: Alone) -> None:
    assert alone.get(path).headers[HSTS] == "max-age=31536000"


def test_installing_goes_on_while_the_front_end_is_away(alone: Alone) -> None:
    page = alone.get("/simple/demo/", Accept="application/vnd.pypi.simple.v1+json")

    assert (page.status, page.json()["name"]) == (200, "demo")
    assert alone.get("/files/demo-1.0-py3-none-any.whl").status == 200


@pytest.mark.parametrize("path", ["/", "/farm/", "/simple/nothing/", "/api/v1/builds"])
def test_what_needs_the_front_end_says_that_it_is_away(path: str, alone: Alone) -> None:
    answer = alone.get(path)

    assert (answer.status, answer.headers["Retry-After"]) == (503, "15")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert b"front-end does not answer just now; try again in a minute" in answer.data


def test_who_asks_for_more_than_is_allowed_is_put_off_with_503(tmp_path: Path) -> None:
    url = f"127.0.0.1:{free_port()}"
    sample_site.make(tmp_path / "var", f"http://{url}")
    settings = load(_public(tmp_path, f"http://{url}"))
    text = nginx.config(settings, Wanted(listen=(url,), requests_per_second=1))

    with serving(tmp_path, text, url=f"http://{url}/simple/"), urllib3.PoolManager() as pool:
        statuses = [pool.request("GET", f"http://{url}/simple/demo/", retries=False).status for _ in range(100)]

    assert statuses[0] == 200
    assert statuses[-1] == 503


def test_a_way_there_may_stand_alone_until_there_is_a_certificate(tmp_path: Path) -> None:
    text = nginx.config(
        load(_public(tmp_path, "https://farm.example")), Wanted(redirect=("80", "[::]:80"), acme=tmp_path)
    )

    assert text.count("server {") == 1
    assert "    listen 80;\n    listen [::]:80;\n    server_name farm.example;" in text
    assert f'root "{tmp_path}"' in text


def test_it_listens_on_all_that_it_is_told(tmp_path: Path) -> None:
    wanted = Wanted(listen=("443", "[::]:443"), certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")

    text = nginx.config(Settings(), wanted)

    assert "    listen 443 ssl http2;\n    listen [::]:443 ssl http2;\n" in text
    assert f'ssl_certificate_key "{tmp_path}/k.pem";' in text
    assert "    listen 80;\n" in nginx.config(Settings(), Wanted())


def test_the_command_hands_on_all_that_it_is_told(tmp_path: Path) -> None:
    settings = _public(tmp_path, "https://farm.example")
    command = [
        sys.executable,
        "-m",
        "master.cli",
        f"--settings={settings}",
        "web",
        "--host=::1",
        "--port=9",
        "nginx-config",
    ]
    options = ["--listen=1", "--listen=2", "--redirect=3", "--certificate=c", "--key=k", "--acme=a"]
    logs = ["--log=d.log", "--access-log=a.log", "--requests-per-second=7"]

    said = subprocess.run([*command, *options, *logs], check=True, capture_output=True, text=True, cwd=tmp_path).stdout

    for line in ("listen 1 ssl http2;", "listen 2 ssl http2;", "listen 3;", "server [::1]:9;", "rate=7r/s;"):
        assert line in said
    for path in ("c", "k", "a", "d.log", "a.log"):
        assert f'"{tmp_path}/{path}"' in said


def test_where_downloads_are_not_counted_they_are_not_noted(tmp_path: Path) -> None:
    file = tmp_path / "farm.toml"
    file.write_text("[web]\ndownloads = false\n")

    assert "log_format" not in nginx.config(load(file), Wanted(log=tmp_path / "downloads.log"))


@pytest.mark.parametrize("address", ["80; root /", "80 default", "", "80\n"])
def test_what_means_something_to_nginx_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="--listen"):
        nginx.config(Settings(), Wanted(listen=(address,)))
    with pytest.raises(SettingsError, match="--redirect"):
        nginx.config(Settings(), Wanted(redirect=(address,)))


@pytest.mark.parametrize(
    "text", ['[farm]\nhome = "/srv/$host"\n', '[web]\npublic_url = "https://a;b"\n', '[web]\nhost = "{"\n']
)
def test_settings_that_mean_something_to_nginx_are_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "farm.toml"
    file.write_text(text)

    with pytest.raises(SettingsError, match="means something to nginx"):
        nginx.config(load(file), Wanted())


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (Wanted(certificate=Path("c.pem")), "--certificate and --key belong together"),
        (Wanted(key=Path("k.pem")), "--certificate and --key belong together"),
        (Wanted(redirect=("80",)), "must begin with https://"),
        (Wanted(acme=Path("acme")), "add --redirect 80"),
    ],
)
def test_what_does_not_fit_together_is_refused(wanted: Wanted, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        nginx.config(Settings(), wanted)


def _public(folder: Path, url: str) -> Path:
    file = folder / "farm.toml"
    file.write_text(f'[farm]\nhome = "var"\n[web]\npublic_url = "{url}"\n')
    return file
