"""The job that repeats a build, made from what its farm signed about it, and what is told of the difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from master.locally import Change, Rebuilt, changes, job_for, rebuild
from master.originals import Original
from schema.attest.claims import BuiltFrom
from schema.attest.report import Report
from schema.errors import StoreError, UpstreamError, WireError
from schema.jobs import BuildResult, Lease, Material, Outcome
from schema.names import NodeName
from schema.recipes import Recipe
from schema.settings import Settings, load
from schema.simple.read import JSON_TYPE
from tests.signing import BYTES, PLATFORM, WHEEL, SigningFarm, sha256
from tests.upstream import FakeUpstream

UPLOADED = datetime(2026, 5, 1, 12, tzinfo=UTC)


VIEW = f"/{PLATFORM.rpartition('-')[0]}/simple/"


class FarmIndex(FakeUpstream):
    """A farm's view of its index: the same pages, below the view's name."""

    def answer(self, path: str, accept: str) -> tuple[int, str, bytes] | None:
        name = path.removeprefix(VIEW).rstrip("/")
        if not path.startswith(VIEW) or name not in self.projects:
            return super().answer(path, accept)
        return 200, JSON_TYPE, self.page(name, as_json=True)


@pytest.fixture
def index() -> Iterator[FakeUpstream]:
    with FakeUpstream() as server:
        yield server


@pytest.fixture
def settings(index: FakeUpstream, tmp_path: Path) -> Settings:
    file = tmp_path / "farm.toml"
    file.write_text(f'[upstream]\nindex_url = "{index.url}"\ntimeout_s = 3.0\n')
    return load(file)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    farm = SigningFarm.create(tmp_path / "farm")
    return farm.check(farm.signed().provenance)


def original(report: Report, *, home: str = "https://farm.example/", **changed: object) -> Original:
    built: BuiltFrom = replace(report.built, **changed)  # type: ignore[arg-type]
    return Original(wheel=Path(WHEEL), report=replace(report, built=built), home=home)


def test_it_has_the_same_recipe_and_every_build_requirement_as_it_was(report: Report, settings: Settings) -> None:
    recipe = Recipe(debian_packages=("libcurl4-openssl-dev",), build_constraints=("setuptools<85",))

    job = job_for(original(report, recipe=recipe, sdist_uploaded_at=UPLOADED), settings=settings)

    assert job.recipe.debian_packages == ("libcurl4-openssl-dev",)
    assert job.recipe.build_constraints == ("setuptools<85", "setuptools==84.0", "wheel==0.47")
    assert (job.project, job.version, job.platform) == ("demo-pkg", "1.0", PLATFORM)
    assert (job.sdist.sha256, job.sdist.uploaded_at) == (sha256(b"sdist"), UPLOADED)
    assert (job.remedies, job.known, job.wheels) == ((), (), ())


def test_what_was_pinned_is_not_looked_up_by_its_date_again(report: Report, settings: Settings) -> None:
    job = job_for(original(report, recipe=Recipe(requirements_as_of_upload=True)), settings=settings)

    assert not job.recipe.requirements_as_of_upload


def test_the_sdist_comes_from_this_machines_index_where_that_lists_the_same_bytes(
    report: Report, settings: Settings, index: FakeUpstream
) -> None:
    index.add_file("demo-pkg", b"other bytes", filename="demo_pkg-1.0.zip")
    index.add_file("demo-pkg", b"sdist", filename="demo_pkg-1.0.tar.gz")

    job = job_for(original(report), settings=settings)

    assert job.sdist.url.startswith(index.url.removesuffix("simple/"))
    assert job.sdist.url.endswith("/demo_pkg-1.0.tar.gz")


@pytest.mark.parametrize("status", [404, 500])
def test_else_it_comes_from_where_the_farm_had_it(
    report: Report, settings: Settings, index: FakeUpstream, status: int
) -> None:
    index.fail("demo-pkg", status=status)

    assert job_for(original(report), settings=settings).sdist.url == report.built.sdist_url


def test_wheels_of_the_farm_itself_are_asked_for_at_the_farm(report: Report, settings: Settings) -> None:
    needed = Material(kind="farm-wheel", name="needed", version="2.0", sha256=sha256(b"its wheel"))
    with FarmIndex() as farm:
        farm.add_file("needed", b"its wheel", filename="needed-2.0-py3-none-any.whl")
        job = job_for(original(report, home=f"{farm.root}/", materials=(needed,)), settings=settings)

    assert [(item.filename, item.sha256) for item in job.wheels] == [("needed-2.0-py3-none-any.whl", needed.sha256)]
    assert job.recipe.build_constraints == ("needed==2.0",)


def test_a_wheel_that_the_farm_has_no_more_is_an_error(report: Report, settings: Settings) -> None:
    needed = Material(kind="farm-wheel", name="needed", version="2.0", sha256=sha256(BYTES))
    with FarmIndex() as farm:
        farm.add_file("needed", b"another wheel", filename="needed-2.0-1-py3-none-any.whl")
        built = original(report, home=f"{farm.root}/", materials=(needed,))
        with pytest.raises(UpstreamError, match=r"needed 2\.0, which it was built with, is not on"):
            job_for(built, settings=settings)


def test_a_folder_that_cannot_be_written_to_is_named_and_nothing_is_built(
    report: Report, settings: Settings, tmp_path: Path
) -> None:
    built: list[Path] = []

    def build(job: Path, _: Path) -> bytes:
        built.append(job)
        return b""

    with pytest.raises(StoreError, match="gone cannot be written to"):
        rebuild(original(report), settings=settings, into=tmp_path / "gone", build=build)
    with pytest.raises(WireError, match="does not tell what came of it"):
        rebuild(original(report), settings=settings, into=tmp_path, build=build)
    assert built == [tmp_path / "job.json"]


def test_what_a_farm_calls_its_things_is_printed_inert(report: Report) -> None:
    result = BuildResult(
        node=NodeName("n"),
        lease=Lease(build_id=1, fence=0),
        outcome=Outcome.FAILED,
        started_at=UPLOADED,
        finished_at=UPLOADED,
        steps=(),
        log_sha256=sha256(b""),
        evidence="\x1b[31mred\x1b[0m\nand more",
    )
    report = replace(report, notes=("\x1b]0;title\x07",))

    found = Rebuilt(
        original=original(report), result=result, comparison=None, changes=(Change("tool", "\x1b[2J", "1", "2"),)
    )

    assert all("\x1b" not in sentence and "\n" not in sentence for sentence in found.sentences)
    assert "failed here" in found.sentences[0]


def test_what_went_into_both_in_another_version_is_told_in_words() -> None:
    there = (
        Material(kind="image", name="debian12-x86_64", version="3.11.2", sha256=sha256(b"old")),
        Material(kind="debian", name="libffi-dev", version="3.4.4-1"),
        Material(kind="python", name="wheel", version="0.47", sha256=sha256(b"wheel")),
        Material(kind="python", name="cython", version="3.1", sha256=sha256(b"cython")),
    )
    here = (
        Material(kind="sdist", name="demo-1.0.tar.gz", version="1.0", sha256=sha256(b"sdist")),
        Material(kind="image", name="debian12-x86_64", version="3.11.2", sha256=sha256(b"new")),
        Material(kind="debian", name="libffi-dev", version="3.4.4-2"),
        Material(kind="farm-wheel", name="wheel", version="0.47", sha256=sha256(b"wheel")),
    )

    assert list(map(str, changes(there, here))) == [
        "Debian package libffi-dev: 3.4.4-1 there, 3.4.4-2 here",
        "build requirement cython: 3.1 there, none here",
        f"image debian12-x86_64: 3.11.2 ({sha256(b'old')[:12]}) there, 3.11.2 ({sha256(b'new')[:12]}) here",
    ]
    assert changes(there, there) == ()
    assert changes((), there[1:2]) == (Change("Debian package", "libffi-dev", "", "3.4.4-1"),)
