"""The classic: a test of PyNaCl 1.3.0's libsodium is killed, the farm builds 1.1.2 instead, and paramiko installs.

The libsodium is the real one. Its test ``pwhash_scrypt`` asks for 128 TiB, and is killed only on kernels that grant
them (aarch64 with overcommitment); here it is the one test that runs, under ``timeout --signal KILL``, so it dies of
the same signal in the same place of the same test driver. The shipped rule that heals 1.3.0 on the node is off: the
older version is what is left. The upstream has real files, but no wheel of PyNaCl, as for most ARM boards.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from packaging.utils import canonicalize_name

from master.upstream import Upstream
from schema.db.models import Attempt
from schema.db.session import engine, transaction
from schema.names import sha256_of
from schema.settings import Settings, load
from schema.simple.read import Page
from tests.upstream import FakeUpstream
from tests.whole_farm import Farm, clean_environment, run_client, view_url

pytestmark = pytest.mark.slow

_RECIPE = """
[[rule]]
id = "two-jobs"
why = "the test that asks for 128 TiB is killed"
jobs = 2

[rule.environment]
LIBSODIUM_MAKE_ARGS = "\
-j2 check_PROGRAMS=pwhash_scrypt TESTS=pwhash_scrypt LOG_COMPILER=timeout AM_LOG_FLAGS=-sKILL LOG_FLAGS=0.05"

[[rule]]
id = "system-libsodium"
off = true
"""
_BUILD = ("setuptools", "wheel", "packaging", "cffi", "pycparser")
_WHEELS = (*_BUILD, "six", "bcrypt", "cryptography", "typing-extensions", "paramiko==2.7.2")
_ALL_OF_IT_S = 1800


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeUpstream]:
    """PyNaCl's two source distributions, and wheels of all else that it or paramiko needs."""
    folder = tmp_path_factory.mktemp("real-files")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder)]
    subprocess.run([*command, *_WHEELS], check=True, capture_output=True)
    with Upstream.from_settings(Settings()) as real:
        page = real.page(canonicalize_name("pynacl"))
    assert isinstance(page, Page)
    for file in page.files:
        if file.kind == "sdist" and str(file.version) in {"1.1.2", "1.3.0"}:
            (folder / file.filename).write_bytes(urllib3.request("GET", file.url).data)
            assert sha256_of(folder / file.filename) == file.sha256
    with FakeUpstream() as served:
        for path in folder.iterdir():
            served.add_file(path.name.partition("-")[0], path)
        yield served


@pytest.fixture(scope="module")
def built(farm: Farm, upstream: FakeUpstream) -> Farm:
    """A farm that was asked for PyNaCl, after a run until it was idle."""
    (farm.folder / "recipes").mkdir()
    (farm.folder / "recipes" / "pynacl.toml").write_text(_RECIPE)
    text = farm.settings_file.read_text().replace("[farm]\n", '[farm]\nrecipes = ["recipes"]\n')
    text += f'[upstream]\nindex_url = "{upstream.url}"\n[watch]\ncooldown_s = 0\n'
    farm.settings_file.write_text(text)
    (farm.folder / "list.toml").write_text('projects = ["pynacl"]\n')
    done = farm.call("run", "--until-idle", "--list", farm.folder / "list.toml", timeout_s=_ALL_OF_IT_S)
    (farm.folder / "err.txt").write_text(done.stderr)
    return farm


def test_the_failed_build_tells_what_was_killed_and_what_is_built_instead(built: Farm) -> None:
    states = {
        row["version"]: (row["state"], row["reason"]) for row in built.json("builds", "--project", "pynacl", "--json")
    }

    state, reason = states["1.3.0"]
    assert state == "failed", (built.folder / "err.txt").read_text()[-4000:]
    assert "Killed" in reason
    assert reason.startswith("built instead: 1.1.2, for 1.1.2 has no such test (pynacl/before-that-test)")
    assert states["1.1.2"][0] == "published", states["1.1.2"][1]


def test_the_older_version_took_debians_libsodium(built: Farm) -> None:
    database = engine(load(built.settings_file).database_url, read_only=True)
    with transaction(database) as session:
        (attempt,) = session.query(Attempt).filter(Attempt.outcome == "built")
        assert attempt.rules == ["pynacl/two-jobs", "pynacl/system-libsodium-1-1"]
        assert "libsodium-dev" in [item["name"] for item in attempt.materials if item["kind"] == "debian"]
    database.dispose()


def test_paramiko_installs_with_wheels_only_and_the_farms_constraints(
    built: Farm, upstream: FakeUpstream, tmp_path: Path
) -> None:
    python = clean_environment(tmp_path / "env")
    built.start("--list", built.folder / "list.toml")
    try:
        built.wait_until_it_serves()
        installed = run_client(
            *(python, "-m", "pip", "install", "--only-binary", ":all:", "--index-url", upstream.url),
            *("--extra-index-url", view_url(built), "--constraint", f"{built.url}/constraints/{_platform(built)}.txt"),
            "paramiko==2.7.2",
        )
    finally:
        built.stop()

    assert installed.returncode == 0, installed.stderr
    shown = run_client(
        python, "-c", "import nacl, nacl.signing; print(nacl.__version__); nacl.signing.SigningKey.generate()"
    )
    assert shown.stdout == "1.1.2\n", shown.stderr
    assert "paramiko" in run_client(python, "-m", "pip", "list").stdout


def _platform(farm: Farm) -> str:
    return farm.call("settings").stdout.split('platforms = ["')[1].partition('"')[0]
