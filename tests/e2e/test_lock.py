"""Lock files in the hands of those who install from them: real pips and uv, a served farm and another index."""

from __future__ import annotations

import io
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from master import premises
from master.site import Site
from schema.db import migrate
from schema.db.session import engine, transaction
from schema.settings import load
from tests import locking
from tests.locking import Shop
from tests.sample_site import HERE, NATIVE_TAG
from tests.whole_farm import Farm, clean_environment, free_port, run_client

pytestmark = pytest.mark.slow

FARM, UPSTREAM = "####", "########"  # what the padding of each one's wheels looks like

Client = Callable[[Path, Path], "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True, kw_only=True)
class Served:
    """A shop whose farm is served, and its command."""

    shop: Shop
    farm: Farm


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A farm that has some of what ``app`` needs, and an upstream that has newer releases, some only as source."""
    folder = tmp_path_factory.mktemp("farm")
    farm = Farm(folder=folder, port=free_port())
    farm.settings_file.write_text(
        f'[farm]\nhome = "{folder}/home"\nplatforms = ["{HERE}"]\n[web]\nport = {farm.port}\n'
    )
    settings = load(farm.settings_file)
    database = engine(settings.database_url)
    migrate.upgrade(database)
    with locking.opened(settings, database, folder) as shop:
        _fill(shop)
        with transaction(database) as session:
            Site(settings.site, shop.store, settings.public_url, settings.farm.platforms).rebuild(session)
        with farm.settings_file.open("a") as file:
            file.write(f'[upstream]\nindex_url = "{shop.upstream.url}"\n')
        with (folder / "web.log").open("wb") as log:
            web = subprocess.Popen([sys.executable, "-P", "-m", "web", "--settings", farm.settings_file], stderr=log)
        try:
            _wait_for(web, farm.port)
            yield Served(shop=shop, farm=farm)
        finally:
            web.terminate()
            web.wait(20)
            database.dispose()


def _fill(shop: Shop) -> None:
    shop.own("app", requires=["native", "both", "newer", "held", "lib[more]>=1", 'never; sys_platform == "win32"'])
    shop.own("native", tag=NATIVE_TAG)
    shop.source("native")
    shop.own("both")
    shop.theirs("both")
    shop.own("newer", "1.0")
    shop.theirs("newer", "2.0")
    shop.own("held", "1.0")
    shop.fails("held", "2.0", reason="build: no gcc")
    shop.theirs("lib", "1.0", sidecar=False, requires=['deep; extra == "more"'])
    shop.source("lib", "2.0")
    shop.theirs("deep")


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 60
    while not premises.answers("127.0.0.1", port):
        assert process.poll() is None
        assert time.monotonic() < deadline, "the front-end does not answer"
        time.sleep(0.1)


STRICT = ("--require-hashes", "--only-binary", ":all:")


def _pip(python: Path, file: Path) -> subprocess.CompletedProcess[str]:
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-cache-dir"]
    return run_client(*pip, *STRICT, "-r", file)


def _uv(python: Path, file: Path) -> subprocess.CompletedProcess[str]:
    uv = [Path(sys.executable).with_name("uv"), "pip", "install", "--no-config", "--no-cache", "--python", python]
    return run_client(*uv, *STRICT, "--index-strategy", "unsafe-best-match", "-r", file)


def _installed(python: Path) -> dict[str, tuple[str, str]]:
    """Name → version and padding of each module that is installed, pip's own left out."""
    (folder,) = python.parents[1].glob("lib/python3*/site-packages")
    found = {}
    for module in folder.glob("*.py"):
        if not module.name.startswith("_"):
            line, padding = module.read_text().splitlines()
            found[module.stem] = (line.partition("= ")[2].strip("'"), padding)
    return found


def _with_other_padding(wheel: bytes) -> bytes:
    """A wheel of the same name and size, in which nothing but the digest tells that it is another."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel)) as old, zipfile.ZipFile(made, "w") as new:
        for member in old.infolist():
            new.writestr(zipfile.ZipInfo(member.filename), old.read(member).replace(b"########", b"#evil!##"))
    assert len(made.getvalue()) == len(wheel)
    return made.getvalue()


FORMS = [("requirements", "locked.txt"), ("pylock", "pylock.toml")]
EXPECTED = {
    "app": ("1.0", FARM),
    "native": ("1.0", FARM),
    "both": ("1.0", FARM),
    "newer": ("2.0", UPSTREAM),
    "held": ("1.0", FARM),
    "lib": ("1.0", UPSTREAM),
    "deep": ("1.0", UPSTREAM),
}


def _lock(served: Served, folder: Path, name: str, *options: str) -> Path:
    (folder / "requirements.txt").write_text("app\n")
    called = served.farm.call("lock", "-r", folder / "requirements.txt", "-o", folder / name, *options)
    assert called.returncode == 0, called.stderr
    assert called.stderr.splitlines() == [
        "held 1.0 instead of 2.0, which is failed: build: no gcc",
        f"lib 1.0 instead of 2.0, which has no wheel for {HERE}",
        "7 wheels: 4 of the farm, 3 of the upstream",
    ]
    return folder / name


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Of an empty environment, without pip."""
    venv.create(tmp_path / "env", with_pip=False)
    return tmp_path / "env" / "bin" / "python"


@pytest.mark.parametrize("client", [_pip, _uv], ids=["pip", "uv"])
@pytest.mark.parametrize(("form", "name"), FORMS)
def test_what_was_chosen_is_what_is_installed(
    served: Served, client: Client, form: str, name: str, python: Path
) -> None:
    installed = client(python, _lock(served, python.parents[2], name, "--format", form))

    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert _installed(python) == EXPECTED


def test_an_old_pip_installs_from_the_requirements_file_too(served: Served, tmp_path: Path) -> None:
    python = clean_environment(tmp_path / "env")
    file = _lock(served, tmp_path, "locked.txt")

    installed = run_client(python, "-m", "pip", "install", *STRICT, "--no-cache-dir", "-r", file)

    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert _installed(python) == EXPECTED


@pytest.mark.parametrize("client", [_pip, _uv], ids=["pip", "uv"])
@pytest.mark.parametrize(("form", "name"), FORMS)
def test_other_bytes_under_the_same_name_are_refused(
    served: Served, client: Client, form: str, name: str, python: Path
) -> None:
    file = _lock(served, python.parents[2], name, "--format", form)
    wheel = served.shop.upstream.file("deep", "deep-1.0-py3-none-any.whl")
    before = wheel.data
    wheel.data = _with_other_padding(before)
    try:
        installed = client(python, file)
    finally:
        wheel.data = before

    assert installed.returncode != 0
    assert "hash" in (installed.stdout + installed.stderr).lower()
    assert _installed(python) == {}
