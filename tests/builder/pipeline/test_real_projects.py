"""Real projects from the index that pip here is set to use, each built twice: the same bytes (A-17, B-08)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from builder.workshop import Workshop
from master.upstream import Upstream
from schema.jobs import BuildJob, Limits, Sdist
from schema.platforms import Platform
from schema.recipe_files import rules_for
from schema.recipes import applicable, combined
from schema.settings import Settings
from schema.simple.read import Page
from schema.wheels.examine import examine
from tests.builder.pipeline.conftest import Attempts

pytestmark = pytest.mark.slow


@pytest.fixture
def workshop(workshop: Workshop) -> Workshop:
    """With the build requirements of the real index."""
    return replace(workshop, index_url=Workshop.from_settings(Settings(), uid=None).index_url)


def newest(name: str, *, platform: str) -> BuildJob:
    """The job that the master would send for the newest final release."""
    project = canonicalize_name(name)
    with Upstream.from_settings(Settings()) as upstream:
        page = upstream.page(project)
    assert isinstance(page, Page)
    released = [file for file in page.files if file.kind == "sdist" and not Version(file.version).is_prerelease]
    file = max(released, key=lambda file: Version(file.version))
    assert file.sha256 is not None
    rules = applicable(
        rules_for(project),
        version=Version(file.version),
        platform=Platform.parse(platform),
        today=datetime.now(UTC).date(),
    )
    return BuildJob(
        build_id=1,
        fence=1,
        project=project,
        version=file.version,
        platform=platform,
        sdist=Sdist(filename=file.filename, url=file.url, sha256=file.sha256, uploaded_at=file.uploaded_at),
        recipe=combined(rules),
        limits=Limits(wall_s=900.0),
    )


def test_the_sbom_of_a_wheel_names_the_debian_package_and_its_licences_of_each_library_that_was_copied_into_it(
    attempt: Attempts,
) -> None:
    built = attempt.run(newest("pyyaml", platform=attempt.platform))

    [library] = examine(built.wheel).grafted
    assert library.name.startswith("libyaml-")
    assert library.package == "libyaml-0-2"
    assert library.licenses == ("Expat", "permissive")
    assert [item.version for item in built.materials if item.name == "libyaml-0-2"] == [library.version]


@pytest.mark.parametrize(
    ("name", "imported"), [("click", "1 of 1"), ("markupsafe", "2 of 2"), ("pyyaml", "2 of 2"), ("cffi", "2 of 2")]
)
def test_two_builds_of_a_real_project_give_the_same_bytes(attempt: Attempts, name: str, imported: str) -> None:
    job = newest(name, platform=attempt.platform)

    first, second = attempt.run(job), attempt.run(replace(job, fence=2))

    assert first.facts.sha256 == second.facts.sha256
    assert first.facts.portable
    assert attempt.steps[-1].note.startswith(f"{imported} modules imported")
