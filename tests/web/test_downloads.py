"""Wheels that the front-end sends are counted, and nothing else; nobody waits for it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine, select

from schema.db.models import Download
from schema.db.session import transaction
from schema.platforms import this_machine
from schema.sections import DatabaseSection, FarmSection, WebSection
from schema.settings import Settings
from tests import sample_site
from tests.web.conformance.clients import Pip, Uv
from tests.web.server import settings_file, started
from web.app import create_app
from web.downloads import Downloads

WHEEL = "demo-1.0-py3-none-any.whl"
AGENT = "pip/26.3 " + json.dumps({"cpu": "aarch64", "distro": {"name": "Debian GNU/Linux", "version": "12"}})
NOWHERE = "postgresql://farm@/farm?host=/nonexistent"


def counted(database: Engine) -> dict[tuple[str, str, str, str], int]:
    with transaction(database) as session:
        rows = session.scalars(select(Download))
        return {(row.filename, row.client, row.distribution, row.arch): row.count for row in rows}


def app(tmp_path: Path, url: str, *, downloads: bool = True) -> Flask:
    files = tmp_path / "home/site/files"
    files.mkdir(parents=True, exist_ok=True)
    (files / WHEEL).write_bytes(b"wheel")
    (files / f"{WHEEL}.metadata").write_bytes(b"metadata")
    settings = Settings(
        farm=FarmSection(home=tmp_path / "home"),
        database=DatabaseSection(url=url),
        web=WebSection(downloads=downloads),
    )
    return create_app(settings, counts_pause_s=3600)


def test_a_wheel_that_is_sent_is_counted(database: Engine, database_url: str, tmp_path: Path) -> None:
    made = app(tmp_path, database_url)
    client = made.test_client()
    for agent in (AGENT, AGENT, "me/1.0 (my name, my address)"):
        assert client.get(f"/files/{WHEEL}", headers={"User-Agent": agent}).data == b"wheel"
    made.extensions["downloads"].flush()

    assert counted(database) == {
        (WHEEL, "pip", "debian 12", "aarch64"): 2,
        (WHEEL, "other", "", ""): 1,
    }
    with transaction(database) as session:
        rows = session.scalars(select(Download)).all()
        assert {(row.day, row.project) for row in rows} == {(datetime.now(UTC).date(), "demo")}


def test_what_is_no_whole_wheel_is_not_counted(database: Engine, database_url: str, tmp_path: Path) -> None:
    made = app(tmp_path, database_url)
    client = made.test_client()
    etag = client.head(f"/files/{WHEEL}").headers["ETag"]
    for path, headers in (
        (f"/files/{WHEEL}.metadata", {}),
        (f"/files/{WHEEL}", {"Range": "bytes=0-1"}),
        (f"/files/{WHEEL}", {"If-None-Match": etag}),
        ("/files/none-1.0-py3-none-any.whl", {}),
        (f"/files/{WHEEL}/", {}),
    ):
        client.get(path, headers=headers)
    made.extensions["downloads"].flush()

    assert counted(database) == {}


def test_however_many_installers_there_are_the_file_counts(database: Engine, database_url: str) -> None:
    found = Downloads(database_url, pause_s=3600)
    found._most = 3
    for number in range(10):
        environ = {"REQUEST_METHOD": "GET", "HTTP_USER_AGENT": f"pip/{number}"}
        found.count(environ, WHEEL)
        found.count({"REQUEST_METHOD": "GET", "HTTP_USER_AGENT": "nobody"}, WHEEL)
    found.flush()

    with transaction(database) as session:
        rows = {(row.client, row.version): row.count for row in session.scalars(select(Download))}
    assert rows == {("pip", "0"): 1, ("pip", "1"): 1, ("other", ""): 18}


def test_where_the_settings_do_not_want_it_nothing_is_counted(tmp_path: Path, database_url: str) -> None:
    made = app(tmp_path, database_url, downloads=False)

    assert made.test_client().get(f"/files/{WHEEL}").status_code == 200
    assert made.extensions["downloads"] is None


def test_a_database_that_is_away_stops_no_download(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = app(tmp_path, NOWHERE)
    for _ in range(3):
        assert made.test_client().get(f"/files/{WHEEL}").data == b"wheel"
        made.extensions["downloads"].flush()

    assert caplog.text.count("downloads cannot be written down now") == 1


@pytest.mark.slow
def test_the_real_server_counts(
    database: Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEELFARM_DATABASE_URL", database_url)
    file = settings_file(tmp_path / "home")
    files = tmp_path / "home/var/site/files"
    files.mkdir(parents=True)
    (files / WHEEL).write_bytes(b"wheel")

    with started(file, "--workers", "2") as server:
        for _ in range(20):
            asked = urllib.request.Request(f"{server.url}/files/{WHEEL}", headers={"User-Agent": AGENT})  # noqa: S310
            with urllib.request.urlopen(asked, timeout=30) as response:  # noqa: S310 - our own server
                response.read()
        deadline = time.monotonic() + 60
        while sum(counted(database).values()) < 20 and time.monotonic() < deadline:
            time.sleep(0.2)

    assert counted(database) == {(WHEEL, "pip", "debian 12", "aarch64"): 20}


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_real_installers_are_known(
    database: Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEELFARM_DATABASE_URL", database_url)
    file = settings_file(tmp_path / "home")
    sample_site.make(tmp_path / "made", "http://127.0.0.1:8181")
    (file.parent / "var").mkdir()
    (tmp_path / "made/site").rename(file.parent / "var/site")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"

    with started(file) as server:
        for client in (Pip, Uv):
            environment = tmp_path / client.__name__
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
            made = Pip(version="newest", environment=environment) if client is Pip else Uv(environment=environment)
            done = made.install(f"{server.url}/simple/", "lib")
            assert done.exit_code == 0, done.output
        deadline = time.monotonic() + 60
        while len(counted(database)) < 2 and time.monotonic() < deadline:
            time.sleep(0.2)

    with transaction(database) as session:
        rows = session.scalars(select(Download)).all()
        found = {(row.client, row.python, row.arch, row.count) for row in rows}
        assert found == {(name, python, this_machine(), 1) for name in ("pip", "uv")}
        assert all(row.version.count(".") == 1 and row.distribution.split()[0] != "other" for row in rows)
