from __future__ import annotations

import gzip
import io
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from master.upstream import NotModified, Upstream, user_agent
from schema.errors import SettingsError, UnknownProjectError, UpstreamError
from schema.sections import UpstreamSection
from schema.settings import Settings
from schema.simple.read import Listed, Page
from schema.transport import Transport
from tests.upstream import JSON, FakeUpstream, Fault, metadata_text

DEMO = NormalizedName("demo")
WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def index() -> Iterator[FakeUpstream]:
    with FakeUpstream() as server:
        server.add_file("demo", b"sdist", filename="demo-1.0.tar.gz", upload_time="2026-01-02T03:04:05Z")
        yield server


@pytest.fixture
def upstream(index: FakeUpstream) -> Iterator[Upstream]:
    with Upstream(index.url, user_agent="wheelfarm/0 (test)", timeout_s=10.0) as client:
        yield client


@pytest.fixture
def hasty(index: FakeUpstream) -> Iterator[Upstream]:
    """Waits a second and no longer."""
    with Upstream(index.url, user_agent="wheelfarm/0 (test)", timeout_s=1.0) as client:
        yield client


def page(upstream: Upstream, *, etag: str = "") -> Page:
    found = upstream.page(DEMO, etag=etag)
    assert isinstance(found, Page)
    return found


def wheel(upstream: Upstream) -> Listed:
    return next(file for file in page(upstream).files if file.kind == "wheel")


def test_json_is_asked_for_first_and_the_farm_names_itself(index: FakeUpstream, upstream: Upstream) -> None:
    found = page(upstream)

    path, headers = index.requests[0]
    assert path == "/simple/demo/"
    assert headers["accept"].startswith(f"{JSON}, ")
    assert headers["user-agent"] == "wheelfarm/0 (test)"
    assert found.files[0].uploaded_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_an_index_that_has_html_only_is_read_too(index: FakeUpstream, upstream: Upstream) -> None:
    index.html_only = True

    (file,) = page(upstream).files

    assert file.url == f"{index.root}/files/demo/demo-1.0.tar.gz"
    assert file.uploaded_at is None


def test_the_next_request_is_conditional(index: FakeUpstream, upstream: Upstream) -> None:
    etag = page(upstream).etag

    assert isinstance(upstream.page(DEMO, etag=etag), NotModified)
    index.add_file("demo", filename="demo-2.0.tar.gz")
    assert len(page(upstream, etag=etag).files) == 2


def test_a_304_that_nobody_asked_for_is_an_error(index: FakeUpstream, upstream: Upstream) -> None:
    index.fail("demo", status=304)

    with pytest.raises(UpstreamError, match="304"):
        upstream.page(DEMO)


@pytest.mark.parametrize("status", [404, 410])
def test_a_project_that_is_not_there_is_unknown(index: FakeUpstream, upstream: Upstream, status: int) -> None:
    index.fail("demo", status=status)

    with pytest.raises(UnknownProjectError, match="demo"):
        upstream.page(DEMO)


@pytest.mark.parametrize("status", [400, 401, 403, 500, 502, 204])
def test_any_other_status_is_an_error(index: FakeUpstream, upstream: Upstream, status: int) -> None:
    index.fail("demo", status=status)

    with pytest.raises(UpstreamError, match=str(status)) as caught:
        upstream.page(DEMO)

    assert not isinstance(caught.value, UnknownProjectError)


def test_the_rest_that_the_upstream_asks_for_is_kept(index: FakeUpstream, upstream: Upstream) -> None:
    index.fail("demo", status=429, headers={"Retry-After": "120"})

    with pytest.raises(UpstreamError) as caught:
        upstream.page(DEMO)
    asked = len(index.requests)
    with pytest.raises(UpstreamError, match="rest"):
        upstream.page(NormalizedName("other"))

    assert caught.value.retry_after_s == 120
    assert 110 < upstream.rest_s <= 120
    assert len(index.requests) == asked


def test_a_rest_may_be_given_as_a_date(index: FakeUpstream, upstream: Upstream) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    index.fail("demo", status=503, headers={"Retry-After": until})

    with pytest.raises(UpstreamError) as caught:
        upstream.page(DEMO)

    assert 50 < (caught.value.retry_after_s or 0) <= 60


@pytest.mark.parametrize("said", ["soon", "", "-5", "9" * 400])
def test_a_rest_that_is_nonsense_does_not_stop_the_farm(index: FakeUpstream, upstream: Upstream, said: str) -> None:
    index.fail("demo", status=429, headers={"Retry-After": said})

    with pytest.raises(UpstreamError):
        upstream.page(DEMO)

    assert upstream.rest_s <= 86_400


@pytest.mark.parametrize("drip_head", [True, False])
def test_a_page_that_trickles_is_cut_off(index: FakeUpstream, hasty: Upstream, *, drip_head: bool) -> None:
    index.fail("demo", drip_s=0.02, drip_head=drip_head, body=b"<html>" + b"x" * 10_000, content_type="text/html")

    started = time.monotonic()
    with pytest.raises(UpstreamError, match="took longer than 1 s"):
        hasty.page(DEMO)

    assert time.monotonic() - started < 4


def test_a_304_that_was_cut_off_in_its_headers_is_no_304(index: FakeUpstream, hasty: Upstream) -> None:
    etag = page(hasty).etag
    index.fail("demo", drip_s=0.02, drip_head=True)

    with pytest.raises(UpstreamError, match="took longer"):
        hasty.page(DEMO, etag=etag)


def test_a_body_of_unknown_length_that_was_cut_off_is_no_page(index: FakeUpstream, hasty: Upstream) -> None:
    index.fail("demo", drip_s=0.02, chunks=[b"<html>" + b"x" * 10_000], content_type="text/html")

    with pytest.raises(UpstreamError, match="took longer"):
        hasty.page(DEMO)


def test_after_a_cut_the_next_request_is_well(index: FakeUpstream, hasty: Upstream) -> None:
    index.fail("demo", drip_s=0.02, drip_head=True, times=1)
    with pytest.raises(UpstreamError):
        hasty.page(DEMO)

    assert page(hasty).files


def test_a_page_without_end_is_cut_off(index: FakeUpstream, upstream: Upstream) -> None:
    index.fail("demo", chunks=(b"x" * 2**20 for _ in range(1000)), content_type="text/html")

    with pytest.raises(UpstreamError, match="longer than 52428800 bytes"):
        upstream.page(DEMO)


def test_a_compressed_bomb_is_cut_off(index: FakeUpstream, upstream: Upstream) -> None:
    bomb = gzip.compress(b"\0" * (60 * 2**20))
    index.fail("demo", body=bomb, headers={"Content-Encoding": "gzip"}, content_type="text/html")

    with pytest.raises(UpstreamError, match="longer than"):
        upstream.page(DEMO)


@pytest.mark.parametrize("body", [b"", b"\x1f\x8b no gzip", b"<html>"])
def test_what_is_not_compressed_as_it_says_is_an_error(index: FakeUpstream, upstream: Upstream, body: bytes) -> None:
    index.fail("demo", body=body, headers={"Content-Encoding": "gzip"}, content_type="text/html")

    with pytest.raises(UpstreamError):
        upstream.page(DEMO)


def test_nobody_at_home_is_an_error() -> None:
    with (
        Upstream("http://127.0.0.1:9/simple/", user_agent="x", timeout_s=1.0) as client,
        pytest.raises(UpstreamError, match=r"127\.0\.0\.1"),
    ):
        client.page(DEMO)


def test_a_redirect_is_followed_and_links_are_relative_to_its_end(index: FakeUpstream, upstream: Upstream) -> None:
    index.fail("demo", status=301, headers={"Location": "/simple/moved/"}, body=b"")
    index.fail("moved", body=b'<a href="demo-1.0.zip">x</a>', content_type="text/html")
    index.add_file("moved", filename="moved-1.0.tar.gz")

    assert page(upstream).files[0].url == f"{index.url}moved/demo-1.0.zip"


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/", "/simple/demo/", "http://user@127.0.0.1/", "http://[", ""]
)
def test_a_redirect_that_leads_nowhere_is_an_error(index: FakeUpstream, upstream: Upstream, target: str) -> None:
    index.fail("demo", status=302, headers={"Location": target}, body=b"")

    with pytest.raises(UpstreamError):
        upstream.page(DEMO)


def test_a_public_index_does_not_lead_into_a_private_network(index: FakeUpstream) -> None:
    # Only the address of the home is looked at, nothing is sent there.
    with (
        Transport("http://8.8.8.8/simple/", user_agent="x", timeout_s=2.0) as transport,
        pytest.raises(UpstreamError, match="private network"),
    ):
        transport.get(index.url + "demo/", limit_bytes=1000)

    assert index.requests == []


def test_a_password_in_the_index_url_goes_to_the_index_only(index: FakeUpstream) -> None:
    url = index.url.replace("http://", "http://me:s%40crt@")
    with FakeUpstream() as elsewhere, Upstream(url, user_agent="x", timeout_s=2.0) as client:
        elsewhere.add_file("demo", filename="demo-1.0.tar.gz")
        page(client)
        index.fail("demo", status=302, headers={"Location": f"{elsewhere.url}demo/"}, body=b"")
        page(client)

        assert index.requests[0][1]["authorization"] == "Basic bWU6c0BjcnQ="
        assert "authorization" not in elsewhere.requests[0][1]
        assert "s%40crt" not in client.index_url


def test_a_proxy_of_the_environment_is_used(index: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", index.root)
    index.faults["http://index.invalid/simple/demo/"] = Fault(body=b"<html>", content_type="text/html")

    with Upstream("http://index.invalid/simple/", user_agent="x", timeout_s=2.0) as client:
        assert client.page(DEMO) == Page(name=DEMO, files=())

    assert index.requests[0][0] == "http://index.invalid/simple/demo/"


def test_metadata_beside_the_wheel_is_enough(index: FakeUpstream, upstream: Upstream) -> None:
    text = metadata_text("demo", "1.0", requires_dist=["other"])
    index.add_file("demo", b"not even a wheel", filename=WHEEL, metadata=text)

    assert upstream.metadata(wheel(upstream)) == text
    assert index.requests[-1][0] == f"/files/demo/{WHEEL}.metadata"


def test_metadata_is_read_out_of_the_wheel_otherwise(index: FakeUpstream, upstream: Upstream) -> None:
    index.add_wheel("demo", WHEEL, requires_dist=["other"])

    assert b"Requires-Dist: other" in upstream.metadata(wheel(upstream))


@pytest.mark.parametrize("name", [WHEEL, f"{WHEEL}.metadata"])
def test_bytes_that_the_index_did_not_promise_are_refused(index: FakeUpstream, upstream: Upstream, name: str) -> None:
    sidecar = metadata_text("demo", "1.0") if name.endswith(".metadata") else None
    index.add_wheel("demo", WHEEL, metadata=sidecar)
    index.fail(f"/files/demo/{name}", body=metadata_text("demo", "1.0", requires_dist=["evil"]))

    with pytest.raises(UpstreamError, match="promised"):
        upstream.metadata(wheel(upstream))


def test_a_wheel_without_a_digest_is_not_looked_at(index: FakeUpstream, upstream: Upstream) -> None:
    index.add_wheel("demo", WHEEL).listed_sha256 = ""

    with pytest.raises(UpstreamError, match="no sha256"):
        upstream.metadata(wheel(upstream))


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"no zip",
        zipped(),
        zipped(**{"other-1.0.dist-info/METADATA": b"x"}),
        zipped(**{"x/demo-1.0.dist-info/METADATA": b"x"}),
        zipped(**{"demo-1.0.dist-info/METADATA": b"x", "demo-2.0.dist-info/METADATA": b"x"}),
        zipped(**{"demo-1.0.dist-info/METADATA": b"\0" * (9 * 2**20)}),
        zipped(**{"demo-1.0.dist-info/METADATA": b"x"}).replace(b"PK\x03\x04", b"PK\x03\x05"),
    ],
)
def test_a_wheel_that_is_none_is_an_error(index: FakeUpstream, upstream: Upstream, data: bytes) -> None:
    index.add_file("demo", data, filename=WHEEL)

    with pytest.raises(UpstreamError, match=WHEEL):
        upstream.metadata(wheel(upstream))


def test_the_user_agent_names_farm_version_and_contact() -> None:
    assert user_agent("pi-farm", "ops@farm.example").startswith("wheelfarm/")
    assert user_agent("pi-farm", "ops@farm.example").endswith(" (pi-farm; ops@farm.example)")
    assert user_agent("f\u00e4rm\r\nX: y", "").endswith(" (frmX: y)")


def test_the_settings_name_the_index(index: FakeUpstream) -> None:
    settings = Settings(upstream=UpstreamSection(index_url=index.url.rstrip("/")))

    with Upstream.from_settings(settings) as client:
        assert client.index_url == index.url
        assert page(client).files


def test_certificate_authorities_that_are_not_there_are_a_fault_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        Upstream("https://index.example/", user_agent="x", timeout_s=1.0, ca=tmp_path / "nowhere")
