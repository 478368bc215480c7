"""A real nginx with the configuration that we print answers as the front-end behind it does."""

from __future__ import annotations

import gzip
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from master.download_log import take
from schema.db.models import Download
from schema.db.session import transaction
from tests import rows, sample_site, zstd
from tests.sample_site import HERE
from tests.web.nginx.server import ask, serving
from tests.web.server import command, free_port, started

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
PIP = f"{JSON}, {HTML}; q=0.1, text/html; q=0.01"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
BIG = "/files/big-1.0-py3-none-any.whl"
NATIVE = f"/{HERE.view}/simple/native/"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """nginx, and the front-end that it asks for what it cannot answer; log: where nginx notes downloads."""

    nginx: str
    front: str
    site: Path
    log: Path

    def both(self, path: str, *, method: str = "GET", **headers: str) -> list[Any]:
        return [ask(url + path, method=method, **headers) for url in (self.nginx, self.front)]


def unpacked(response: Any) -> bytes:
    unpack: dict[str | None, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "zstd": zstd.decompress, None: bytes}
    return unpack[response.headers.get("Content-Encoding")](response.data)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("nginx")
    site = sample_site.make(folder / "var", "https://farm.example")
    file = folder / "farm.toml"
    file.write_text(f'[farm]\nhome = "var"\nplatforms = ["{HERE}"]\n', encoding="utf-8")
    with started(file) as front:
        listen = f"127.0.0.1:{free_port()}"
        options = [f"--listen={listen}", f"--log={folder}/downloads.log", f"--access-log={folder}/access.log"]
        shown = [*command(file), f"--port={front.url.rpartition(':')[2]}", "nginx-config", *options]
        site_conf = subprocess.run(shown, check=True, capture_output=True, text=True).stdout
        with serving(folder, site_conf, url=f"http://{listen}/simple/"):
            yield Pair(nginx=f"http://{listen}", front=front.url, site=site, log=folder / "downloads.log")


@pytest.mark.parametrize("encoding", ["", "gzip, deflate", "gzip, deflate, br, zstd", "zstd;q=0, gzip", "gzip;q=0"])
@pytest.mark.parametrize(
    "accept",
    [PIP, JSON, JSON.replace("v1", "latest"), BROWSER, "text/html", "*/*", "", HTML, f"text/html, {JSON}", "image/png"],
)
@pytest.mark.parametrize("path", ["/simple/", "/simple/demo/", NATIVE])
def test_a_page_is_the_one_that_the_front_end_gives(path: str, accept: str, encoding: str, pair: Pair) -> None:
    served, made = pair.both(path, accept=accept, accept_encoding=encoding)

    assert (served.status, unpacked(served)) == (made.status, unpacked(made))
    for name in ("Content-Type", "Vary", "Cache-Control", "X-Content-Type-Options", "Content-Security-Policy"):
        assert served.headers.get(name) == made.headers.get(name), name
    if encoding in {"", "gzip;q=0"}:
        assert "Content-Encoding" not in served.headers


def test_what_pip_and_uv_ask_for_never_reaches_python(pair: Pair) -> None:
    """nginx's ETags are short; the front-end's are 32 hex digits."""
    for encoding, packed in (("gzip, deflate", "gzip"), ("gzip, br, zstd", "zstd"), ("identity", None)):
        served = ask(f"{pair.nginx}/simple/demo/", accept=PIP, accept_encoding=encoding)

        assert len(served.headers["ETag"]) < 30
        assert served.headers.get("Content-Encoding") == packed
        assert json.loads(unpacked(served))["name"] == "demo"


@pytest.mark.parametrize("path", ["/simple/", NATIVE, BIG, f"{BIG}.metadata", f"/constraints/{HERE}.txt"])
@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd, gzip"])
def test_who_has_it_gets_304_with_the_same_vary(path: str, encoding: str, pair: Pair) -> None:
    headers = {"accept": PIP, "accept_encoding": encoding}
    first = ask(pair.nginx + path, **headers)

    again = ask(pair.nginx + path, **headers, if_none_match=first.headers["ETag"])

    assert (first.status, again.status, again.data) == (200, 304, b"")
    assert not first.headers["ETag"].startswith("W/")
    for name in ("Vary", "Cache-Control", "ETag"):
        assert again.headers.get(name) == first.headers.get(name)


@pytest.mark.parametrize("suffix", ["", ".metadata", ".provenance"])
@pytest.mark.parametrize("name", ["big-1.0-py3-none-any.whl", "plus-1.0%2Blocal.1-py3-none-any.whl"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_files_are_those_of_the_front_end(name: str, suffix: str, method: str, pair: Pair) -> None:
    served, made = pair.both(f"/files/{name}{suffix}", method=method, accept_encoding="gzip, zstd")

    assert (served.status, served.data) == (made.status, made.data)
    for header in ("Content-Type", "Content-Length", "Cache-Control", "Content-Encoding", "X-Content-Type-Options"):
        assert served.headers.get(header) == made.headers.get(header), header


@pytest.mark.parametrize(
    ("wanted", "status"),
    [("bytes=0-0", 206), ("bytes=100-199", 206), ("bytes=-7", 206), ("bytes=99999999-", 416), ("bytes=0-1,5-6", 200)],
)
def test_ranges_are_answered(wanted: str, status: int, pair: Pair) -> None:
    served, made = pair.both(BIG, range=wanted)

    assert (served.status, made.status) == (status, status)
    assert served.headers.get("Content-Range") == made.headers.get("Content-Range")
    assert status == 416 or served.data == made.data


@pytest.mark.parametrize(
    "path",
    [
        "/simple/Mixed.Name/",
        "/simple/demo",
        "/simple/nothing/",
        "/files/nothing.whl",
        "/authority.pem",
        "/healthz",
        "/simple/demo/?format=image/png",
        "/age/1d/simple/",
        "/age/1d/simple/demo/",
        f"/tested/{HERE.view}/simple/demo/",
        "/constraints/debian10-x86_64-cp37.txt",
        "/simple/demo/index.json",
        "/.new-x",
    ],
)
def test_the_rest_is_answered_by_the_front_end(path: str, pair: Pair) -> None:
    served, made = pair.both(path, accept=PIP)

    assert (served.status, served.data, served.headers.get("Location")) == (
        made.status,
        made.data,
        made.headers.get("Location"),
    )


def test_its_log_of_downloads_is_one_that_the_farm_imports(pair: Pair, database: Engine) -> None:
    version = {"sqlite": "26.2", "postgresql": "26.3"}[database.dialect.name]  # one log for both
    agent = f"pip/{version} " + '{"cpu":"x86_64","distro":{"name":"Debian GNU/Linux","version":"12"},"python":"3.11.7"}'
    name = BIG.rpartition("/")[2]
    with transaction(database) as session:
        rows.wheel(session, rows.build(session, rows.project(session, "big")))
    take(database, pair.log)
    ask(pair.nginx + BIG, user_agent=agent)
    ask(pair.nginx + BIG, user_agent=agent, range="bytes=0-1")
    ask(pair.nginx + BIG, user_agent=agent, method="HEAD")
    ask(f"{pair.nginx}/simple/big/", user_agent=agent)

    assert take(database, pair.log).downloads == 1
    with transaction(database) as session:
        told = session.scalars(select(Download).where(Download.version == version)).one()
        assert (told.filename, told.version, told.distribution, told.count) == (name, version, "debian 12", 1)
    assert "127.0.0.1" not in pair.log.read_text()


def test_its_other_log_has_all_else_and_no_address(pair: Pair) -> None:
    log = pair.log.with_name("access.log")
    ask(pair.nginx + BIG)
    ask(f"{pair.nginx}/farm/?last")

    until = time.monotonic() + 30
    while '"GET /farm/?last HTTP/1.1" 200' not in (said := log.read_text()):  # written once a second
        assert time.monotonic() < until
        time.sleep(0.1)

    assert f"{BIG} " not in said
    assert "127.0.0.1" not in said


def test_a_page_written_anew_is_seen_by_the_next_request(pair: Pair) -> None:
    page = pair.site / "simple/old/index.json"
    url = f"{pair.nginx}/simple/old/"
    before = ask(url, accept=JSON)

    (page.parent / ".new").write_bytes(before.data.replace(b"archived", b"unloved!"))
    (page.parent / ".new").replace(page)

    assert b"unloved!" in ask(url, accept=JSON).data
