"""Real installers with the merge view as their only index, the upstream killed in between."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import published, sample_site
from tests.sample_site import HERE
from tests.upstream import FakeUpstream
from tests.web.conformance.clients import Pip, Run, Uv
from tests.web.server import settings_file, started

pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The front-end's merge view; upstream: what it merges; home: of the farm."""

    url: str
    upstream: FakeUpstream
    home: Path


@pytest.fixture
def merged(tmp_path: Path) -> Iterator[Merged]:
    """Upstream has a newer lib than the farm, and no wheel of app."""
    with FakeUpstream() as upstream:
        (tmp_path / "wheels").mkdir()
        wheel = published.wheel_file(tmp_path / "wheels", "lib", "2.5")
        upstream.add_file("lib", wheel, metadata=published.metadata_of(wheel), upload_time="2020-01-01T00:00:00Z")
        upstream.add_file("app", filename="app-1.0.tar.gz", upload_time="2020-01-01T00:00:00Z")
        file = settings_file(tmp_path / "farm")
        file.write_text(f'{file.read_text()}[upstream]\nindex_url = "{upstream.url}"\n')
        sample_site.make(tmp_path / "made", "http://127.0.0.1:8181")
        (file.parent / "var").mkdir(exist_ok=True)
        (tmp_path / "made/site").rename(file.parent / "var/site")
        with started(file) as server:
            yield Merged(url=f"{server.url}/{HERE.view}/merged/simple/", upstream=upstream, home=file.parent / "var")


@pytest.fixture(params=["pip 23.0.1", "pip newest", "uv"])
def client(request: pytest.FixtureRequest, environment: Path) -> Pip | Uv:
    name, _, version = request.param.partition(" ")
    return Pip(version=version, environment=environment) if name == "pip" else Uv(environment=environment)


def done(run: Run) -> str:
    assert run.exit_code == 0, run.output
    return run.output


def version(environment: Path, name: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    return subprocess.check_output([environment / "bin/python", "-I", "-B", "-c", code], text=True).strip()


def test_one_index_has_both_and_outlives_the_upstream(
    client: Pip | Uv, merged: Merged, environment: Path, tmp_path: Path
) -> None:
    done(client.install(merged.url, "lib", "app==1.0"))
    assert (version(environment, "app"), version(environment, "lib")) == ("1.0", "1.9")  # app wants lib<2

    done(client.install(merged.url, "--no-deps", "--upgrade", "lib"))
    assert version(environment, "lib") == "2.5"

    merged.upstream.__exit__(None, None, None)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "again"], check=True)
    again = type(client)(**{**vars(client), "environment": tmp_path / "again"})
    for copy in (merged.home / "upstream-pages").glob("*.json"):
        os.utime(copy, (0, 0))
    done(again.install(merged.url, "app"))

    assert (version(tmp_path / "again", "app"), version(tmp_path / "again", "lib")) == ("1.0", "1.9")
