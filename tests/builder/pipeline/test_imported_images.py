"""Builds in an image that came from elsewhere: the same steps, but no Debian packages; and it says where it is from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builder import images, process
from builder.images import Image
from builder.workshop import Workshop
from schema.errors import BuildFailedError, PackagesError
from schema.recipes import Recipe
from tests.builder.pipeline.conftest import Attempts
from tests.upstream import FakeUpstream

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def imported(image: Image) -> Iterator[Image]:
    """The shared image, exported and imported."""
    folder = Path(tempfile.mkdtemp(prefix="wf-imported-"))
    folder.chmod(0o755)
    archive = folder / "image.tar.zst"
    images.export(image, archive, progress=_silent)
    yield images.adopt(folder, image.name, archive, progress=_silent)
    process.remove(folder)


@pytest.fixture
def elsewhere(attempt: Attempts, workshop: Workshop, imported: Image) -> Attempts:
    """Attempts in the imported image."""
    attempt.workshop = replace(workshop, images=imported.folder.parent, heal=replace(workshop.heal, tries=4))
    return attempt


def test_an_extension_is_built_and_the_tarball_is_named_among_what_went_in(
    elsewhere: Attempts, imported: Image, upstream: FakeUpstream, real_wheels: Callable[[FakeUpstream], None]
) -> None:
    real_wheels(upstream)

    built = elsewhere("good-extension")

    assert imported.origin is not None
    digests = {item.kind: (item.name, item.sha256) for item in built.materials if item.kind in {"image", "tarball"}}
    assert digests == {
        "image": (imported.name, imported.digest),
        "tarball": ("image.tar.zst", imported.origin.sha256),
    }
    assert "modules imported" in elsewhere.steps[-1].note
    assert f"gcc {imported.packages['gcc']}" in elsewhere.log


def test_a_recipe_with_debian_packages_is_refused_with_what_to_do(elsewhere: Attempts) -> None:
    job = elsewhere.job("good-pure", recipe=Recipe(debian_packages=("libpq-dev",)))

    with pytest.raises(PackagesError, match="which was imported; have them in its tarball"):
        elsewhere.run(job)


def test_what_lacks_a_header_is_not_healed_with_packages(
    elsewhere: Attempts, upstream: FakeUpstream, real_wheels: Callable[[FakeUpstream], None]
) -> None:
    real_wheels(upstream)

    with pytest.raises(BuildFailedError) as raised:
        elsewhere("needs-ffi")

    assert raised.value.lacks
    assert not [remedy for item in raised.value.tries for remedy in item.added if remedy.debian_packages]


def _silent(_text: str, _done: float | None) -> None:
    pass
