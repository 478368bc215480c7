"""A published wheel is tried as a user would: pip, a clean environment, the farm's index, and the import."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from builder import trying
from builder.images import Image
from builder.trying import Tried
from schema.sections import ImagesSection, NodeSection, UpstreamSection
from schema.settings import Settings
from tests.builder.pipeline.archives import with_module
from tests.builder.pipeline.conftest import LIMITS, helper_wheel
from tests.upstream import FakeUpstream, metadata_text, wheel_bytes


@pytest.fixture
def settings(image: Image, workspace: Path) -> Settings:
    return replace(
        Settings(),
        images=ImagesSection(folder=image.folder.parent),
        node=NodeSection(workspace=workspace, build_uid=64910),
        limits=LIMITS,
    )


def tried(
    settings: Settings, image: Image, farm: FakeUpstream, upstream: FakeUpstream, name: str, *packages: str
) -> Tried:
    return trying.try_install(
        canonicalize_name(name),
        Version("1.0"),
        platform=image.platform,
        index_url=farm.url,
        settings=replace(settings, upstream=UpstreamSection(index_url=upstream.url)),
        packages=packages,
    )


def test_what_it_needs_comes_from_the_upstream_and_the_wheel_from_the_farm(
    settings: Settings, image: Image, upstream: FakeUpstream, workspace: Path
) -> None:
    upstream.add_file("tiny-helper", helper_wheel(), filename="tiny_helper-1.0-py3-none-any.whl")
    with FakeUpstream() as farm:
        filename = "demo-1.0-py3-none-any.whl"
        data = wheel_bytes(filename, metadata_text("demo", "1.0", requires_dist=["tiny-helper"]))
        farm.add_file("demo", with_module(data, "demo.py", "import tiny_helper\n"), filename=filename)

        result = tried(settings, image, farm, upstream, "demo")

        assert result.trouble == ""
        assert result.imported == "1 of 1 modules imported"
        assert result.installed["demo"].startswith(farm.root)
        assert result.installed["tiny-helper"].startswith(upstream.root)
        assert not list(workspace.glob("try-*"))


def test_a_wheel_that_only_the_upstream_has_does_not_count(
    settings: Settings, image: Image, upstream: FakeUpstream
) -> None:
    upstream.add_file("tiny-helper", helper_wheel(), filename="tiny_helper-1.0-py3-none-any.whl")
    with FakeUpstream() as farm:
        result = tried(settings, image, farm, upstream, "tiny-helper")

    assert result.imported == ""
    assert "No matching distribution found for tiny-helper==1.0" in result.trouble


def test_the_debian_packages_that_it_needs_are_there_and_others_are_told(
    settings: Settings, image: Image, upstream: FakeUpstream
) -> None:
    filename = "demo-1.0-py3-none-any.whl"
    wheel = wheel_bytes(filename, metadata_text("demo", "1.0"))
    with FakeUpstream() as farm:
        data = with_module(wheel, "demo.py", "import ctypes\nctypes.CDLL('libuv.so.1')\n")
        farm.add_file("demo", data, filename=filename)

        alone = tried(settings, image, farm, upstream, "demo")
        helped = tried(settings, image, farm, upstream, "demo", "libuv1")

    assert "libuv.so.1" in alone.trouble
    assert (helped.trouble, helped.imported) == ("", "1 of 1 modules imported")
