"""Source distributions come by http or https, with the promised bytes, or not at all (B-04, T20)."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from builder import fetch
from schema.errors import LimitExceededError, NodeError, SdistError
from schema.jobs import Sdist
from schema.names import Sha256
from schema.states import FailureClass
from tests.upstream import FakeUpstream

DATA = b"bytes of an sdist" * 1000


@pytest.fixture
def served(upstream: FakeUpstream) -> Sdist:
    upstream.add_file("demo", DATA, filename="demo-1.0.tar.gz")
    return sdist(f"{upstream.root}/files/demo/demo-1.0.tar.gz")


def sdist(url: str, *, size_bytes: int | None = None) -> Sdist:
    digest = Sha256(hashlib.sha256(DATA).hexdigest())
    return Sdist(filename="demo-1.0.tar.gz", url=url, sha256=digest, size_bytes=size_bytes)


def fetched(wanted: Sdist, tmp_path: Path, *, seconds: float = 30.0, cancelled: threading.Event | None = None) -> bytes:
    target = tmp_path / "sdist"
    deadline = time.monotonic() + seconds
    fetch.fetch(wanted, target, deadline=deadline, cancelled=cancelled or threading.Event())
    return target.read_bytes()


def test_the_promised_bytes_arrive(served: Sdist, tmp_path: Path) -> None:
    assert fetched(served, tmp_path) == DATA


def test_other_bytes_are_refused(upstream: FakeUpstream, served: Sdist, tmp_path: Path) -> None:
    upstream.file("demo", "demo-1.0.tar.gz").data = DATA + b"!"

    with pytest.raises(SdistError, match="the index promised"):
        fetched(served, tmp_path)


def test_more_bytes_than_promised_are_not_read_to_the_end(
    upstream: FakeUpstream, served: Sdist, tmp_path: Path
) -> None:
    upstream.fail("/files/demo/demo-1.0.tar.gz", chunks=(b"x" * 2**20 for _ in range(10_000)))

    with pytest.raises(SdistError, match="larger than"):
        fetched(sdist(served.url, size_bytes=len(DATA)), tmp_path)
    assert (tmp_path / "sdist").stat().st_size < 2 * 2**20


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/etc/passwd", "http:///x"])
def test_only_http_and_https_are_spoken(tmp_path: Path, url: str) -> None:
    with pytest.raises(SdistError, match="http or https only"):
        fetched(sdist(url), tmp_path)


def test_a_redirect_is_followed_but_not_to_another_scheme(
    upstream: FakeUpstream, served: Sdist, tmp_path: Path
) -> None:
    upstream.fail("/files/demo/old.tar.gz", status=302, headers={"Location": "demo-1.0.tar.gz"})
    upstream.fail("/files/demo/evil.tar.gz", status=302, headers={"Location": "file:///etc/passwd"})
    upstream.fail("/files/demo/round.tar.gz", status=302, headers={"Location": "round.tar.gz"})

    assert fetched(sdist(served.url.replace("demo-1.0", "old")), tmp_path) == DATA
    with pytest.raises(SdistError, match="http or https only"):
        fetched(sdist(served.url.replace("demo-1.0", "evil")), tmp_path)
    with pytest.raises(NodeError, match="too many redirects"):
        fetched(sdist(served.url.replace("demo-1.0", "round")), tmp_path)


def test_a_file_that_is_gone_is_the_sdists_failure(upstream: FakeUpstream, served: Sdist, tmp_path: Path) -> None:
    upstream.remove_file("demo", "demo-1.0.tar.gz")

    with pytest.raises(SdistError, match="no more"):
        fetched(served, tmp_path)


def test_an_upstream_that_stumbles_is_asked_again(upstream: FakeUpstream, served: Sdist, tmp_path: Path) -> None:
    upstream.fail("/files/demo/demo-1.0.tar.gz", status=503, times=2)

    assert fetched(served, tmp_path) == DATA
    assert len(upstream.requests) == 3


def test_an_upstream_that_is_not_there_is_the_nodes_trouble_and_its_password_stays_hidden(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r"127\.0\.0\.1:9/x\.tar\.gz cannot be fetched") as caught:
        fetched(sdist("http://someone:hunter2@127.0.0.1:9/x.tar.gz"), tmp_path)
    assert "hunter2" not in str(caught.value)


def test_the_credentials_of_the_url_are_sent_as_a_header(upstream: FakeUpstream, served: Sdist, tmp_path: Path) -> None:
    fetched(sdist(served.url.replace("http://", "http://someone:hunter2@")), tmp_path)

    path, headers = upstream.requests[-1]
    assert path == "/files/demo/demo-1.0.tar.gz"
    assert headers["authorization"].startswith("Basic ")


def test_a_file_that_comes_in_drips_is_cut_off_with_the_jobs_time(
    upstream: FakeUpstream, served: Sdist, tmp_path: Path
) -> None:
    upstream.fail("/files/demo/demo-1.0.tar.gz", drip_s=0.01)
    started = time.monotonic()

    with pytest.raises(LimitExceededError) as caught:
        fetched(served, tmp_path, seconds=1)

    assert caught.value.failure_class is FailureClass.TIMEOUT
    assert time.monotonic() - started < 5


def test_a_download_ends_when_the_job_is_cancelled(upstream: FakeUpstream, served: Sdist, tmp_path: Path) -> None:
    upstream.fail("/files/demo/demo-1.0.tar.gz", drip_s=0.01)
    cancelled = threading.Event()
    cancelled.set()

    with pytest.raises(LimitExceededError) as caught:
        fetched(served, tmp_path, cancelled=cancelled)

    assert caught.value.failure_class is FailureClass.CANCELLED


def test_a_file_that_breaks_off_is_fetched_again(upstream: FakeUpstream, served: Sdist, tmp_path: Path) -> None:
    upstream.fail("/files/demo/demo-1.0.tar.gz", chunks=[DATA[:100]], times=1)

    assert fetched(sdist(served.url, size_bytes=len(DATA)), tmp_path) == DATA


@pytest.mark.parametrize(
    ("filename", "project", "version"),
    [
        ("demo-1.0.tar.gz", "demo", "1.0"),
        ("demo-1.0.zip", "demo", "1.0"),
        ("Demo_Project-1.0.0.tar.gz", "demo-project", "1"),
        ("demo-project-1.0.tar.bz2", "demo-project", "1.0"),
        ("zope.interface-5.0.tgz", "zope-interface", "5.0"),
        ("demo-1.0-1.tar.gz", "demo", "1.0.post1"),
    ],
)
def test_old_and_new_spellings_of_names_are_understood(filename: str, project: str, version: str) -> None:
    fetch.check_name(filename, canonicalize_name(project), version)


@pytest.mark.parametrize(
    "filename",
    ["other-1.0.tar.gz", "demo-1.1.tar.gz", "demo.tar.gz", "demo-1.0.exe", "demo-1.0.tar.gz.whl", "-1.0.zip"],
)
def test_a_file_name_of_something_else_is_refused(filename: str) -> None:
    with pytest.raises(SdistError):
        fetch.check_name(filename, canonicalize_name("demo"), "1.0")
