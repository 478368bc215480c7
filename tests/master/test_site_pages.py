"""What the rendered pages say."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master.site import Site
from master.store import Store
from schema.db.session import transaction
from schema.platforms import Platform
from tests import published, rows, zstd

BOOKWORM = Platform.parse("debian12-x86_64-cp311")
TRIXIE = Platform.parse("debian13-aarch64-cp313")


@pytest.fixture
def session(database: Engine) -> Iterator[Session]:
    with transaction(database) as made:
        yield made


@pytest.fixture
def site(tmp_path: Path, store: Store) -> Site:
    return Site(tmp_path / "site", store, "https://farm.example/", (BOOKWORM, TRIXIE))


def page(site: Site, path: str) -> Any:
    return json.loads((site.folder / path / "index.json").read_bytes())


def anchors(site: Site, path: str) -> dict[str, dict[str, str | None]]:
    """Each link of an HTML page by its text."""
    found: dict[str, dict[str, str | None]] = {}

    class Reader(HTMLParser):
        attributes: dict[str, str | None] | None = None

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.attributes = dict(attrs) if tag == "a" else None

        def handle_data(self, data: str) -> None:
            if self.attributes is not None:
                found[data], self.attributes = self.attributes, None

    Reader().feed((site.folder / path / "index.html").read_text("ascii"))
    return found


def test_a_file_is_described_in_full(session: Session, store: Store, site: Site, tmp_path: Path) -> None:
    file = published.wheel_file(tmp_path, "demo", "1.0", requires_python=">=3.8,<4")
    row = published.publish(session, store, file)

    site.render(session, row.project_id)

    assert page(site, "simple/demo") == {
        "meta": {"api-version": "1.4"},
        "name": "demo",
        "project-status": {"status": "active"},
        "versions": ["1.0"],
        "files": [
            {
                "filename": "demo-1.0-py3-none-any.whl",
                "url": "../../files/demo-1.0-py3-none-any.whl",
                "hashes": {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()},
                "size": file.stat().st_size,
                "upload-time": "2026-11-20T10:30:00.123456Z",
                "core-metadata": {"sha256": hashlib.sha256(published.metadata_of(file)).hexdigest()},
                "yanked": False,
                "provenance": "https://farm.example/files/demo-1.0-py3-none-any.whl.provenance",
                "requires-python": ">=3.8,<4",
                "_wheelfarm": {"tested": ["debian12-x86_64"], "repeated": None},
            }
        ],
    }


def test_a_page_says_where_a_wheel_was_imported(session: Session, store: Store, site: Site, tmp_path: Path) -> None:
    row = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))
    fates = {"debian13-aarch64": "imported", "debian11-x86_64": "loads", "debian13-x86_64": "broken"}
    row.portability = [{"image": image, "fate": fate, "why": ""} for image, fate in fates.items()]

    site.render(session, row.project_id)

    assert page(site, "simple/demo")["files"][0]["_wheelfarm"]["tested"] == ["debian12-x86_64", "debian13-aarch64"]


@pytest.mark.parametrize("verdict", ["identical", "equivalent", "differs", "not-repeated"])
def test_a_page_says_what_came_of_building_a_wheel_once_more(
    verdict: str, session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    row = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))
    repeat = published.repeat(session, row)
    site.render(session, row.project_id)
    before = page(site, "simple/demo")["files"][0]["_wheelfarm"]["repeated"]

    repeat.verdict = verdict
    site.render(session, row.project_id)

    assert (before, page(site, "simple/demo")["files"][0]["_wheelfarm"]["repeated"]) == (None, verdict)


@pytest.mark.parametrize(("repeated", "said"), [(True, "identical"), (False, "differs")])
def test_a_rebuild_counts_as_building_it_once_more(
    session: Session, store: Store, site: Site, tmp_path: Path, *, repeated: bool, said: str
) -> None:
    row = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))
    row.repeated = repeated

    site.render(session, row.project_id)

    assert page(site, "simple/demo")["files"][0]["_wheelfarm"]["repeated"] == said


def test_html_says_the_same_as_json(session: Session, store: Store, site: Site, tmp_path: Path) -> None:
    file = published.wheel_file(tmp_path, "demo", "1.0", requires_python=">=3.8,<4")
    row = published.publish(session, store, file)

    site.render(session, row.project_id)

    entry = page(site, "simple/demo")["files"][0]
    metadata = f"sha256={entry['core-metadata']['sha256']}"
    assert anchors(site, "simple/demo") == {
        entry["filename"]: {
            "href": f"{entry['url']}#sha256={entry['hashes']['sha256']}",
            "data-requires-python": ">=3.8,<4",
            "data-core-metadata": metadata,
            "data-dist-info-metadata": metadata,
            "data-provenance": entry["provenance"],
        }
    }
    text = (site.folder / "simple/demo/index.html").read_text()
    assert '<meta name="pypi:repository-version" content="1.4">' in text
    assert 'data-requires-python="&gt;=3.8,&lt;4"' in text


def test_plus_and_exclamation_mark_are_escaped_in_urls(
    session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    row = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1!2.0+local.1"))

    site.render(session, row.project_id)

    assert page(site, "simple/demo")["files"][0]["url"] == "../../files/demo-1%212.0%2Blocal.1-py3-none-any.whl"
    assert (site.folder / "files/demo-1!2.0+local.1-py3-none-any.whl").is_file()


def test_files_are_sorted_by_version_and_build_number(
    session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    for version, build in (("1.10", ""), ("1.9", "2"), ("1.9", ""), ("1.9", "10"), ("1.10rc1", "")):
        row = published.publish(session, store, published.wheel_file(tmp_path, "demo", version, build=build))

    site.render(session, row.project_id)

    demo = page(site, "simple/demo")
    assert demo["versions"] == ["1.9", "1.10rc1", "1.10"]
    assert [item["filename"].removesuffix("-py3-none-any.whl") for item in demo["files"]] == [
        "demo-1.9",
        "demo-1.9-2",
        "demo-1.9-10",
        "demo-1.10rc1",
        "demo-1.10",
    ]


@pytest.mark.parametrize("reason", ["", 'broken: "rm -rf" & <b>ü</b>'])
def test_a_wheel_is_yanked_and_un_yanked(
    reason: str, session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    row = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))

    row.yanked = reason
    session.flush()
    site.render(session, row.project_id)
    yanked = page(site, "simple/demo")["files"][0]["yanked"], anchors(site, "simple/demo")[row.filename]["data-yanked"]
    row.yanked = None
    session.flush()
    site.render(session, row.project_id)

    assert yanked == (reason or True, reason)
    assert page(site, "simple/demo")["files"][0]["yanked"] is False
    assert "data-yanked" not in anchors(site, "simple/demo")[row.filename]


@pytest.mark.parametrize("status", ["archived", "deprecated"])
def test_the_upstream_status_of_a_project_is_mirrored(
    status: str, session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    row = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))
    row.project.status, row.project.status_reason = status, 'use "other"'
    session.flush()

    site.render(session, row.project_id)

    demo = page(site, "simple/demo")
    assert demo["project-status"] == {"status": status, "reason": 'use "other"'}
    assert demo["meta"] == {"api-version": "1.4"}
    text = (site.folder / "simple/demo/index.html").read_text()
    assert f'<meta name="pypi:project-status" content="{status}">' in text
    assert '<meta name="pypi:project-status-reason" content="use &quot;other&quot;">' in text


@pytest.mark.parametrize("status", ["quarantined", "missing"])
def test_a_project_hidden_upstream_offers_nothing_and_comes_back_with_the_upstream(
    status: str, session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    row = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))
    site.render(session, row.project_id)

    row.project.status = status
    session.flush()
    site.rebuild(session)
    hidden = (list((site.folder / "simple").glob("demo*")), list((site.folder / "files").iterdir()))
    listed = page(site, "simple")["projects"]
    row.project.status = "active"
    session.flush()
    site.rebuild(session)

    assert (hidden, listed) == (([], []), [])
    assert page(site, "simple")["projects"] == [{"name": "demo"}]
    assert (site.folder / "files" / row.filename).is_file()


def test_a_wheel_whose_sdist_vanished_upstream_is_hidden(
    session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    keep = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))
    gone = published.publish(session, store, published.wheel_file(tmp_path, "demo", "2.0"))
    assert gone.build.sdist
    gone.build.sdist.gone_at = datetime(2026, 11, 20, tzinfo=UTC)
    session.flush()

    site.render(session, keep.project_id)

    assert page(site, "simple/demo")["versions"] == ["1.0"]
    assert not (site.folder / "files" / gone.filename).exists()


def test_the_upload_time_has_no_fraction_where_there_is_none(
    session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    row = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))
    row.published_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    session.flush()

    site.render(session, row.project_id)

    assert page(site, "simple/demo")["files"][0]["upload-time"] == "2026-01-02T03:04:05Z"


def test_a_hostile_reason_stays_text(session: Session, store: Store, site: Site, tmp_path: Path) -> None:
    row = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))
    row.yanked = '"><script>alert(1)</script>'
    row.project.status_reason = '"><script>alert(2)</script>'
    session.flush()

    site.render(session, row.project_id)

    assert b"<script" not in (site.folder / "simple/demo/index.html").read_bytes()


def test_the_same_rows_give_the_same_bytes_and_untouched_files(
    session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    for version in ("1.0", "2.0"):
        published.publish(session, store, published.wheel_file(tmp_path, "demo", version))
    other = Site(tmp_path / "other", store, "https://farm.example", (BOOKWORM, TRIXIE))

    site.rebuild(session)
    before = {path: path.stat().st_ctime_ns for path in site.folder.rglob("*") if path.is_file()}
    site.rebuild(session)
    after = {path: path.stat().st_ctime_ns for path in site.folder.rglob("*") if path.is_file()}
    other.rebuild(session)

    assert after == before
    assert {path.relative_to(site.folder): path.read_bytes() for path in before} == {
        path.relative_to(other.folder): path.read_bytes() for path in other.folder.rglob("*") if path.is_file()
    }


def test_every_page_has_its_gzip_form(session: Session, store: Store, site: Site, tmp_path: Path) -> None:
    published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))

    site.rebuild(session)

    plain = [path for suffix in ("json", "html", "txt") for path in site.folder.rglob(f"*.{suffix}")]
    assert (
        len(plain) == 3 * 2 + 3 * 2 + 2
    )  # lists and demo's pages in three indexes, two forms each; two constraints files
    for path in plain:
        assert gzip.decompress(path.with_name(path.name + ".gz").read_bytes()) == path.read_bytes()
        assert zstd.decompress(path.with_name(path.name + ".zst").read_bytes()) == path.read_bytes()


def test_a_view_shows_portable_wheels_that_run_there_and_its_own_linux_wheels(
    session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    for tag, view in (
        ("py3-none-any", None),
        ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", None),
        ("cp311-cp311-manylinux_2_39_x86_64", None),  # a newer glibc than debian12's
        ("cp39-abi3-manylinux_2_28_aarch64", None),
        ("cp313-cp313-linux_aarch64", "debian13-aarch64"),
        ("cp311-cp311-linux_x86_64", "debian12-x86_64"),
    ):
        row = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0", tag=tag), view=view)

    site.render(session, row.project_id)

    def shown(path: str) -> set[str]:
        return {item["filename"].removeprefix("demo-1.0-") for item in page(site, path)["files"]}

    assert shown("simple/demo") == {
        "py3-none-any.whl",
        "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "cp311-cp311-manylinux_2_39_x86_64.whl",
        "cp39-abi3-manylinux_2_28_aarch64.whl",
    }
    assert shown("debian12-x86_64/simple/demo") == {
        "py3-none-any.whl",
        "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "cp311-cp311-linux_x86_64.whl",
    }
    assert shown("debian13-aarch64/simple/demo") == {
        "py3-none-any.whl",
        "cp39-abi3-manylinux_2_28_aarch64.whl",
        "cp313-cp313-linux_aarch64.whl",
    }


def test_urls_of_a_view_lead_to_the_same_files(session: Session, store: Store, site: Site, tmp_path: Path) -> None:
    row = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))

    site.render(session, row.project_id)

    entry = page(site, "debian12-x86_64/simple/demo")["files"][0]
    assert entry["url"] == "../../../files/demo-1.0-py3-none-any.whl"
    assert (site.folder / "debian12-x86_64/simple/demo" / entry["url"]).resolve().is_file()


def test_the_root_lists_each_project_with_wheels_once(
    session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    for name, version in (("zeta", "1.0"), ("alpha", "1.0"), ("alpha", "2.0")):
        published.publish(session, store, published.wheel_file(tmp_path, name, version))
    local = published.wheel_file(tmp_path, "local", "1.0", tag="cp311-cp311-linux_x86_64")
    published.publish(session, store, local, view="debian12-x86_64")
    rows.project(session, "nothing-yet")

    site.rebuild(session)

    assert page(site, "simple") == {
        "meta": {"api-version": "1.4"},
        "projects": [{"name": "alpha"}, {"name": "zeta"}],
    }
    assert {name: item["href"] for name, item in anchors(site, "simple").items()} == {
        "alpha": "alpha/",
        "zeta": "zeta/",
    }
    assert [item["name"] for item in page(site, "debian12-x86_64/simple")["projects"]] == ["alpha", "local", "zeta"]
    assert [item["name"] for item in page(site, "debian13-aarch64/simple")["projects"]] == ["alpha", "zeta"]
