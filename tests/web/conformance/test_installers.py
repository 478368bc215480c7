"""Real installers against the real front-end: what they install is what the index means."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import published
from tests.sample_site import HERE
from tests.web.conformance.clients import PIPS, Pip, Poetry, Run, Uv
from tests.web.conformance.conftest import Server
from tests.web.conformance.recorder import Recorder

pytestmark = pytest.mark.slow

Installed = Callable[[str], str | None]
Client = Pip | Uv


@pytest.fixture(params=[*(f"pip {version}" for version in PIPS), "uv"])
def client(request: pytest.FixtureRequest, environment: Path) -> Client:
    name, _, version = request.param.partition(" ")
    return Pip(version=version, environment=environment) if name == "pip" else Uv(environment=environment)


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    """Another index, as plain as PEP 503 allows; its held 2.0 stands for the sdist that the farm could not build."""
    for name, version in (("elsewhere", "1.0"), ("held", "2.0")):
        folder = tmp_path / "upstream" / name
        folder.mkdir(parents=True)
        wheel = published.wheel_file(folder, name, version).name
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body><a href={wheel!r}>{wheel}</a></body></html>")
    handler = partial(_Quiet, directory=tmp_path / "upstream")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        del format, args


def done(run: Run) -> str:
    assert run.exit_code == 0, run.output
    return run.output


def test_the_newest_version_that_is_neither_yanked_nor_for_another_python_is_installed(
    client: Client, recorder: Recorder, installed: Installed
) -> None:
    done(client.install(f"{recorder.url}/simple/", "demo"))

    assert installed("demo") == "1.0"
    assert not [path for path in recorder.paths if "demo-2.0" in path]


def test_a_yanked_version_is_installed_where_it_is_pinned(client: Client, server: Server, installed: Installed) -> None:
    output = done(client.install(f"{server.url}/simple/", "demo==1.1"))

    assert installed("demo") == "1.1"
    assert "yanked" in output.lower()


def test_requirements_in_the_metadata_decide_what_is_installed(
    client: Client, recorder: Recorder, installed: Installed
) -> None:
    done(client.install(f"{recorder.url}/simple/", "app"))

    assert (installed("app"), installed("lib")) == ("1.0", "1.9")
    assert "/files/lib-1.9-1-py3-none-any.whl" in recorder.paths
    if isinstance(client, Uv) or client.version in {"24.0", "newest"}:  # these know PEP 658 in JSON
        assert "/files/app-2.0-py3-none-any.whl.metadata" in recorder.paths
        assert "/files/app-2.0-py3-none-any.whl" not in recorder.paths


def test_a_local_version_is_found_behind_its_plus(client: Client, server: Server, installed: Installed) -> None:
    done(client.install(f"{server.url}/simple/", "plus==1.0+local.1"))

    assert installed("plus") == "1.0+local.1"


def test_a_name_may_be_spelt_as_its_project_spells_it(client: Client, server: Server, environment: Path) -> None:
    done(client.install(f"{server.url}/simple", "Mixed.Name"))

    assert list(environment.glob("lib/python3*/site-packages/Mixed_Name-1.0.dist-info"))


def test_a_view_has_the_wheels_of_its_distribution(client: Client, server: Server, installed: Installed) -> None:
    refused = client.install(f"{server.url}/simple/", "native")
    output = done(client.install(f"{server.url}/{HERE.view}/simple/", "native", "demo"))

    assert refused.exit_code != 0
    assert (installed("native"), installed("demo")) == ("1.0", "1.0"), output


def test_a_filtered_view_has_what_is_left(client: Client, server: Server, installed: Installed) -> None:
    refused = client.install(f"{server.url}/age/9999d/simple/", "demo")
    before = installed("demo")
    done(client.install(f"{server.url}/age/1d/tested/{HERE.view}/simple/", "app", "native"))

    assert refused.exit_code != 0
    assert before is None
    assert (installed("app"), installed("lib"), installed("native")) == ("1.0", "1.9", "1.0")


def test_the_hash_on_the_page_is_one_to_lock(
    client: Client, server: Server, installed: Installed, tmp_path: Path
) -> None:
    page = server.get("/simple/demo/", accept="text/html").body.decode()
    found = re.search(r"demo-1\.0-py3-none-any\.whl#sha256=([0-9a-f]{64})", page)
    assert found
    right, wrong = tmp_path / "right.txt", tmp_path / "wrong.txt"
    right.write_text(f"demo==1.0 --hash=sha256:{found[1]}\n")
    wrong.write_text(f"demo==1.0 --hash=sha256:{'0' * 64}\n")

    refused = client.install(f"{server.url}/simple/", "--require-hashes", "-r", str(wrong))
    before = installed("demo")
    done(client.install(f"{server.url}/simple/", "--require-hashes", "-r", str(right)))

    assert refused.exit_code != 0
    assert (before, installed("demo")) == (None, "1.0")


def test_a_project_that_the_farm_has_not_comes_from_the_other_index(
    client: Client, server: Server, upstream: str, installed: Installed
) -> None:
    done(client.install(upstream, "elsewhere", extra_index_url=f"{server.url}/simple/"))

    assert installed("elsewhere") == "1.0"


def test_the_constraints_keep_an_installer_at_the_wheel(
    client: Client, server: Server, upstream: str, installed: Installed
) -> None:
    more = ("--upgrade", *(("--index-strategy", "unsafe-best-match") if isinstance(client, Uv) else ()))
    farm, constraints = f"{server.url}/simple/", f"{server.url}/constraints/{HERE}.txt"

    done(client.install(upstream, "held", *more, extra_index_url=farm, constraint=constraints))
    kept = installed("held")
    done(client.install(upstream, "held", *more, extra_index_url=farm))

    assert (kept, installed("held")) == ("1.0", "2.0")


@pytest.mark.parametrize("name", ["pip", "uv"])
def test_a_cooldown_sees_when_the_farm_published(
    name: str, server: Server, environment: Path, installed: Installed
) -> None:
    client = Pip(version="newest", environment=environment) if name == "pip" else Uv(environment=environment)

    early = client.install(f"{server.url}/simple/", "app", before="2026-11-20T00:00:00Z")
    before = installed("app")
    done(client.install(f"{server.url}/simple/", "app", before="2026-11-21T00:00:00Z"))

    assert early.exit_code != 0
    assert (before, installed("app")) == (None, "1.0")


def test_poetry_locks_and_installs(server: Server, environment: Path, installed: Installed, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        f"""
[project]
name = "sample"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["app", "demo"]
[tool.poetry]
package-mode = false
[[tool.poetry.source]]
name = "farm"
url = "{server.url}/simple/"
priority = "primary"
"""
    )

    done(Poetry(environment=environment).install(project))

    assert (installed("app"), installed("lib"), installed("demo")) == ("1.0", "1.9", "1.0")
    lock = (project / "poetry.lock").read_text()
    assert f'url = "{server.url}/simple"' in lock
