from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from master.verify import verify, verify_file
from schema.errors import TrustError, UsageError
from schema.jobs import WheelFile
from schema.sections import FarmSection, WebSection
from schema.settings import Settings
from tests.signing import BYTES, NODE, WHEEL, SigningFarm, sha256

LOCAL = "demo_pkg-1.0+cpu.1-py3-none-any.whl"  # a plus must be quoted


@dataclass
class Index:
    """What a farm's front-end serves, as a real server on loopback.

    served: path → body; answers: path → status and headers, for what goes wrong
    """

    url: str = ""
    served: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def index() -> Iterator[Index]:
    found = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            body = found.served.get(self.path, b"")
            status, headers = found.answers.get(self.path, (200 if self.path in found.served else 404, {}))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> SigningFarm:
    return SigningFarm.create(tmp_path_factory.mktemp("farm"))


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / WHEEL
    path.write_bytes(BYTES)
    return path


@pytest.fixture
def published(index: Index, farm: SigningFarm) -> Index:
    index.served[f"/files/{WHEEL}.provenance"] = json.dumps(farm.signed().provenance).encode()
    index.served["/authority.pem"] = farm.authority.certificate_pem.encode()
    return index


@pytest.mark.parametrize("below", ["", "/", "/simple", "/simple/", "/debian12-aarch64/simple/", "/?page=1#top"])
def test_a_downloaded_wheel_is_checked_with_any_index_of_the_farm(
    published: Index, farm: SigningFarm, wheel: Path, below: str
) -> None:
    report = verify_file(wheel, index_url=published.url + below, authority_pem=farm.authority.certificate_pem)

    assert report.built.node == NODE
    assert report.notes == ()
    assert published.asked == [f"/files/{WHEEL}.provenance"]


def test_a_farm_below_a_path_of_its_host_is_found(published: Index, farm: SigningFarm, wheel: Path) -> None:
    published.served = {f"/wheels/farm{path}": body for path, body in published.served.items()}

    for below in ("/wheels/farm", "/wheels/farm/debian12-aarch64/simple/"):
        assert verify_file(wheel, index_url=published.url + below, authority_pem=None).authority == (
            farm.authority.fingerprint
        )


def test_an_authority_that_the_index_gave_itself_is_trusted_on_first_use_and_the_report_says_so(
    published: Index, farm: SigningFarm, wheel: Path
) -> None:
    report = verify_file(wheel, index_url=f"{published.url}/simple/", authority_pem=None)

    assert f"was taken from {published.url}/ itself, on trust" in report.text()
    assert farm.authority.fingerprint in report.text()
    assert report.to_json()["notes"] == list(report.notes)
    assert "/authority.pem" in published.asked


def test_another_authority_than_the_one_that_is_trusted_is_refused(
    published: Index, wheel: Path, tmp_path: Path
) -> None:
    other = SigningFarm.create(tmp_path / "other").authority.certificate_pem

    with pytest.raises(TrustError, match="not of this farm's authority"):
        verify_file(wheel, index_url=published.url, authority_pem=other)


def test_changed_bytes_are_refused(published: Index, wheel: Path) -> None:
    wheel.write_bytes(BYTES + b" and more")

    with pytest.raises(TrustError, match="signed for other bytes"):
        verify_file(wheel, index_url=published.url, authority_pem=None)


def test_a_renamed_wheel_is_refused(published: Index, wheel: Path) -> None:
    renamed = wheel.rename(wheel.with_name(WHEEL.replace("-1.0-", "-2.0-")))
    published.served[f"/files/{renamed.name}.provenance"] = published.served[f"/files/{WHEEL}.provenance"]

    with pytest.raises(TrustError, match=r"signed for the file .*-1\.0-.*, not for .*-2\.0-"):
        verify_file(renamed, index_url=published.url, authority_pem=None)


@pytest.mark.parametrize("name", ["demo (1).whl", "demo.whl", "demo-1.0.tar.gz", "demo-1.0-py3-none-any.whl.part"])
def test_a_name_that_is_no_wheels_is_refused_before_anybody_is_asked(
    published: Index, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(BYTES)

    with pytest.raises(TrustError, match="is not the name of a wheel"):
        verify_file(tmp_path / name, index_url=published.url, authority_pem=None)

    assert published.asked == []


def test_a_wheel_that_the_farm_never_published_is_refused(index: Index, wheel: Path) -> None:
    with pytest.raises(TrustError, match=f"knows nothing of a file {WHEEL}"):
        verify_file(wheel, index_url=index.url, authority_pem=None)


def test_a_farm_without_authority_is_refused(published: Index, wheel: Path) -> None:
    del published.served["/authority.pem"]

    with pytest.raises(TrustError, match=r"offers no certificate .*--authority"):
        verify_file(wheel, index_url=published.url, authority_pem=None)


def test_a_name_with_a_plus_is_asked_for_in_quotes(index: Index, farm: SigningFarm, tmp_path: Path) -> None:
    path = tmp_path / LOCAL
    path.write_bytes(BYTES)
    with pytest.raises(TrustError, match="knows nothing"):
        verify_file(path, index_url=index.url, authority_pem=farm.authority.certificate_pem)

    assert index.asked == ["/files/demo_pkg-1.0%2Bcpu.1-py3-none-any.whl.provenance"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not plain JSON"),
        (b"<!DOCTYPE html>", "not plain JSON"),
        (b"[]", "not a JSON object"),
        (b'{"version": 1, "version": 1}', "stands there twice"),
        (b'{"version": NaN}', "NaN"),
        (b"{" * 100_000, "not plain JSON"),
        (b'{"version": 1}' + b" " * 17 * 2**20, "longer than"),
        (b"\xff\xfe{}", "not plain JSON"),
    ],
)
def test_an_index_that_answers_with_something_else_is_refused(
    published: Index, wheel: Path, body: bytes, why: str
) -> None:
    published.served[f"/files/{WHEEL}.provenance"] = body

    with pytest.raises(TrustError, match=why):
        verify_file(wheel, index_url=published.url, authority_pem=None)


def test_an_index_that_cannot_be_asked_is_told_apart_from_one_that_lies(published: Index, wheel: Path) -> None:
    published.answers[f"/files/{WHEEL}.provenance"] = (503, {})
    with pytest.raises(TrustError, match=r"cannot be asked: .* answers 503"):
        verify_file(wheel, index_url=published.url, authority_pem=None)

    with pytest.raises(TrustError, match="cannot be asked"):
        verify_file(wheel, index_url="http://127.0.0.1:9/", authority_pem=None)


def test_a_redirect_to_a_file_of_this_machine_is_not_followed(published: Index, wheel: Path) -> None:
    published.answers[f"/files/{WHEEL}.provenance"] = (302, {"Location": "file:///etc/passwd"})

    with pytest.raises(TrustError, match="where the farm does not go"):
        verify_file(wheel, index_url=published.url, authority_pem=None)


@pytest.mark.parametrize("url", ["file:///srv/simple", "ftp://127.0.0.1/simple", "simple", "https:///simple", ""])
def test_an_index_that_is_no_http_address_is_refused(wheel: Path, url: str) -> None:
    with pytest.raises(UsageError, match="not an index"):
        verify_file(wheel, index_url=url, authority_pem=None)


def test_a_password_in_the_index_is_never_shown(wheel: Path) -> None:
    for url in ("ftp://me:secret@127.0.0.1/", "http://me:secret@127.0.0.1:9/"):
        with pytest.raises((UsageError, TrustError)) as caught:
            verify_file(wheel, index_url=url, authority_pem=None)
        assert "secret" not in str(caught.value)


def test_a_wheel_that_cannot_be_read_is_a_fault_of_the_call(published: Index, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        verify_file(tmp_path / WHEEL, index_url=published.url, authority_pem=None)


# ---- without a network


def test_a_wheel_is_checked_offline_with_the_provenance_beside_it(farm: SigningFarm, wheel: Path) -> None:
    wheel.with_name(f"{WHEEL}.provenance").write_text(json.dumps(farm.signed().provenance))

    report = verify_file(wheel, index_url=None, authority_pem=farm.authority.certificate_pem)

    assert report.built.filename == WHEEL


def test_offline_nothing_is_trusted_that_is_not_named(farm: SigningFarm, wheel: Path) -> None:
    with pytest.raises(TrustError, match=r"there is no .*\.provenance beside the wheel .*--index"):
        verify_file(wheel, index_url=None, authority_pem=farm.authority.certificate_pem)

    wheel.with_name(f"{WHEEL}.provenance").write_text(json.dumps(farm.signed().provenance))
    with pytest.raises(TrustError, match=r"no authority .*--authority"):
        verify_file(wheel, index_url=None, authority_pem=None)


def test_an_offline_provenance_that_is_too_large_is_refused(farm: SigningFarm, wheel: Path) -> None:
    wheel.with_name(f"{WHEEL}.provenance").write_bytes(b" " * (17 * 2**20))

    with pytest.raises(TrustError, match="are more than"):
        verify_file(wheel, index_url=None, authority_pem=farm.authority.certificate_pem)


# ---- on a farm's own machine


@pytest.fixture
def settings(published: Index, tmp_path: Path) -> Settings:
    """A farm of its own, whose address is the index."""
    return Settings(farm=FarmSection(home=tmp_path / "home"), web=WebSection(public_url=published.url))


def test_on_its_own_machine_a_farm_trusts_its_own_authority(published: Index, settings: Settings, wheel: Path) -> None:
    own = SigningFarm.create(settings.authority.parent)
    published.served[f"/files/{WHEEL}.provenance"] = json.dumps(own.signed().provenance).encode()

    report = verify(wheel, settings=settings, index_url=None, authority=None)

    assert report.notes == ()
    assert report.authority == own.authority.fingerprint
    assert "/authority.pem" not in published.asked


def test_whoever_takes_over_a_farms_address_is_not_believed_on_its_own_machine(
    published: Index, settings: Settings, wheel: Path
) -> None:
    SigningFarm.create(settings.authority.parent)

    for index_url in (None, published.url, f"{published.url}/simple/"):
        with pytest.raises(TrustError, match="not of this farm's authority"):
            verify(wheel, settings=settings, index_url=index_url, authority=None)


def test_another_farm_is_not_measured_by_this_farms_authority(
    published: Index, farm: SigningFarm, settings: Settings, wheel: Path
) -> None:
    SigningFarm.create(settings.authority.parent)
    elsewhere = dataclasses.replace(settings, web=WebSection(public_url="http://127.0.0.1:9"))

    report = verify(wheel, settings=elsewhere, index_url=published.url, authority=None)

    assert report.authority == farm.authority.fingerprint
    assert "on trust" in report.text()


def test_a_machine_without_an_authority_asks_its_index_and_says_so(settings: Settings, wheel: Path) -> None:
    report = verify(wheel, settings=settings, index_url=None, authority=None)

    assert "on trust" in report.text()


def test_a_provenance_beside_the_wheel_is_taken_with_a_named_authority(
    published: Index, farm: SigningFarm, settings: Settings, wheel: Path, tmp_path: Path
) -> None:
    wheel.with_name(f"{WHEEL}.provenance").write_text(json.dumps(farm.signed().provenance))
    pem = tmp_path / "kept.pem"
    pem.write_text(farm.authority.certificate_pem)

    report = verify(wheel, settings=settings, index_url=None, authority=pem)

    assert report.authority == farm.authority.fingerprint
    assert published.asked == []


def test_an_authority_file_that_is_none_is_refused(settings: Settings, wheel: Path, tmp_path: Path) -> None:
    pem = tmp_path / "kept.pem"
    with pytest.raises(UsageError, match="cannot be read"):
        verify(wheel, settings=settings, index_url=None, authority=pem)

    pem.write_bytes(b"\xff" * 50)
    with pytest.raises(TrustError, match="not a certificate in PEM"):
        verify(wheel, settings=settings, index_url=None, authority=pem)


def test_a_wheel_of_another_build_of_the_same_release_is_checked_by_its_own_name(
    index: Index, farm: SigningFarm, tmp_path: Path
) -> None:
    rebuilt, data = WHEEL.replace("-1.0-", "-1.0-2-"), b"the bytes of a rebuilt wheel"
    (tmp_path / rebuilt).write_bytes(data)
    file = WheelFile(filename=rebuilt, sha256=sha256(data), size_bytes=len(data))
    index.served[f"/files/{rebuilt}.provenance"] = json.dumps(farm.signed(wheel=file).provenance).encode()

    report = verify_file(tmp_path / rebuilt, index_url=index.url, authority_pem=farm.authority.certificate_pem)

    assert report.built.sha256 == sha256(data)
