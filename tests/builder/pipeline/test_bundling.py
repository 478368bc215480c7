"""Which of the distribution's libraries come into a wheel, and what it is called and needs then."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import pytest

from builder.build import Built
from builder.images import Image
from schema.errors import BuildFailedError
from schema.recipes import Recipe
from schema.states import Bundle
from tests.builder.pipeline.conftest import Attempts

pytestmark = pytest.mark.slow

# The plain image has no libsodium; the library of libffi it has, for Python itself needs it.
PACKAGES = ("libsodium-dev", "libffi-dev")


def recipe(libraries: str, bundle: Bundle | None) -> Recipe:
    return Recipe(debian_packages=PACKAGES, environment={"LIBRARIES": libraries}, bundle=bundle)


def platform_of(built: Built) -> str:
    return built.facts.filename.removesuffix(".whl").rpartition("-")[2]


def grafted(built: Built) -> list[str]:
    names = zipfile.ZipFile(built.wheel).namelist()
    return sorted(
        name.partition("/")[2].partition("-")[0] for name in names if name.startswith("links_libraries.libs/")
    )


def note(attempt: Attempts, name: str) -> str:
    return next(step.note for step in attempt.steps if step.name == name)


def test_the_plain_image_is_as_these_tests_take_it(image: Image) -> None:
    assert "libffi8" in image.packages
    assert "libsodium23" not in image.packages


@pytest.mark.parametrize("bundle", [None, Bundle.ALWAYS])
def test_where_nobody_says_otherwise_all_libraries_are_in_the_wheel(attempt: Attempts, bundle: Bundle | None) -> None:
    built = attempt("links-libraries", recipe=recipe("sodium ffi", bundle))

    assert platform_of(built).startswith("manylinux")
    assert grafted(built) == ["libffi", "libsodium"]
    assert built.runtime_packages == ()
    assert note(attempt, "repair") == platform_of(built)


def test_never_leaves_them_to_the_distribution_and_lists_the_packages(attempt: Attempts) -> None:
    built = attempt("links-libraries", recipe=recipe("sodium ffi", Bundle.NEVER))

    assert platform_of(built).startswith("linux_")
    assert not built.facts.portable
    assert grafted(built) == []
    assert set(built.facts.needed) >= {"libffi.so.8", "libsodium.so.23"}
    assert built.runtime_packages == ("libsodium23",)
    assert note(attempt, "repair") == "nothing bundled (never): it needs libffi.so.8, libsodium.so.23"
    assert note(attempt, "import") == "2 of 2 modules imported; needs libsodium23"
    assert built.recipe.bundle is Bundle.NEVER


@pytest.mark.parametrize("bundle", [Bundle.NEVER, Bundle.WHEN_MISSING])
def test_a_wheel_that_needs_nothing_beyond_the_policies_is_portable_all_the_same(
    attempt: Attempts, bundle: Bundle
) -> None:
    built = attempt("links-libraries", recipe=recipe("m", bundle))

    assert platform_of(built).startswith("manylinux")
    assert grafted(built) == []
    assert built.runtime_packages == ()


def test_when_missing_grafts_what_the_plain_image_does_not_have_and_nothing_else(attempt: Attempts) -> None:
    built = attempt("links-libraries", recipe=recipe("sodium ffi", Bundle.WHEN_MISSING))

    assert platform_of(built).startswith("linux_")
    assert grafted(built) == ["libsodium"]
    assert "libffi.so.8" in built.facts.needed
    assert built.runtime_packages == ()
    assert note(attempt, "repair") == f"{platform_of(built)}; not bundled (when-missing): libffi.so.8"


def test_when_missing_is_portable_where_all_had_to_be_grafted(attempt: Attempts) -> None:
    built = attempt("links-libraries", recipe=recipe("sodium", Bundle.WHEN_MISSING))

    assert platform_of(built).startswith("manylinux")
    assert grafted(built) == ["libsodium"]


def test_when_missing_leaves_a_wheel_as_it_is_where_the_plain_image_has_all(attempt: Attempts) -> None:
    built = attempt("links-libraries", recipe=recipe("ffi", Bundle.WHEN_MISSING))

    assert platform_of(built).startswith("linux_")
    assert grafted(built) == []
    assert note(attempt, "repair") == "nothing bundled (when-missing): it needs libffi.so.8"


@pytest.mark.parametrize("bundle", [Bundle.NEVER, Bundle.WHEN_MISSING])
def test_a_wheel_that_auditwheel_cannot_read_is_not_repaired_and_the_import_refuses_it(
    attempt: Attempts, bundle: Bundle
) -> None:
    broken = replace(recipe("m", bundle), environment={"LIBRARIES": "m", "BREAK": "1"})

    with pytest.raises(BuildFailedError, match="does not import in a clean environment"):
        attempt("links-libraries", recipe=broken)

    assert note(attempt, "repair").startswith("not repaired: ")


@pytest.mark.parametrize("bundle", [Bundle.NEVER, Bundle.WHEN_MISSING])
def test_a_pure_wheel_stays_one(attempt: Attempts, bundle: Bundle) -> None:
    assert attempt("good-pure", recipe=Recipe(bundle=bundle)).facts.filename == "good_pure-1.0-py3-none-any.whl"
