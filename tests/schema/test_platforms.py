from __future__ import annotations

import pytest
from packaging.markers import Marker
from packaging.tags import Tag, parse_tag

from schema.errors import UnknownPlatformError
from schema.platforms import DISTRIBUTIONS, Platform

BOOKWORM = Platform.parse("debian12-x86_64-cp311")


def accepts(platform: Platform, tag: str) -> bool:
    return bool(parse_tag(tag) & platform.tags)


@pytest.mark.parametrize("text", ["debian12-x86_64-cp311", "debian13-aarch64-cp313", "ubuntu2404-armv7l-cp312"])
def test_a_platform_is_written_as_it_is_read(text: str) -> None:
    assert str(Platform.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "debian12", "debian12-x86_64", "beos5-x86_64-cp311", "debian12-z80-cp311", "debian12-x86_64-pypy310"]
)
def test_what_is_no_platform_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(UnknownPlatformError, match=r"debian12|x86_64|cp311"):
        Platform.parse(text)


@pytest.mark.parametrize(
    "tag",
    ["py3-none-any", "py2.py3-none-any", "cp311-cp311-manylinux_2_36_x86_64", "cp311-cp311-manylinux2014_x86_64",
     "cp311-cp311-manylinux1_x86_64", "cp38-abi3-manylinux_2_28_x86_64", "cp311-cp311-linux_x86_64",
     "py3-none-manylinux_2_5_x86_64"],
)  # fmt: skip
def test_debian_12_takes_what_its_glibc_and_interpreter_can_run(tag: str) -> None:
    assert accepts(BOOKWORM, tag)


@pytest.mark.parametrize(
    "tag",
    ["cp312-cp312-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_37_x86_64", "cp311-cp311-linux_aarch64",
     "cp311-cp311-musllinux_1_2_x86_64", "cp312-abi3-manylinux_2_17_x86_64", "cp311-cp311-win_amd64"],
)  # fmt: skip
def test_debian_12_refuses_the_rest(tag: str) -> None:
    assert not accepts(BOOKWORM, tag)


def test_manylinux_comes_before_linux_and_the_own_abi_first() -> None:
    tags = BOOKWORM.ordered_tags

    assert tags[0] == Tag("cp311", "cp311", "manylinux_2_36_x86_64")
    assert tags.index(Tag("cp311", "cp311", "manylinux_2_5_x86_64")) < tags.index(Tag("cp311", "cp311", "linux_x86_64"))


def test_other_architectures_begin_at_manylinux2014() -> None:
    aarch64 = Platform.parse("debian12-aarch64-cp311")

    assert accepts(aarch64, "cp311-cp311-manylinux2014_aarch64")
    assert not accepts(aarch64, "cp311-cp311-manylinux_2_12_aarch64")


def test_markers_are_those_of_the_platform_and_not_of_this_machine() -> None:
    arm = Platform.parse("debian11-armv7l-cp39").marker_environment

    assert Marker("python_version < '3.10' and platform_machine == 'armv7l'").evaluate(arm)
    assert not Marker("sys_platform == 'win32' or extra == 'tests'").evaluate(arm)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_each_distribution_has_an_image_with_its_own_interpreter(name: str) -> None:
    arch = DISTRIBUTIONS[name].architectures[-1]
    platform = Platform.of_image(f"{name}-{arch}")

    assert platform.view == f"{name}-{arch}"
    assert platform.python_full_version == DISTRIBUTIONS[name].python


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("debian12-x86_64-cp311", "debian12-x86_64"),
        ("debian12-x86_64-cp313", "debian12-x86_64-cp313"),
        ("debian13-aarch64-cp313", "debian13-aarch64"),
        ("raspbian12-armv6l-cp31", "raspbian12-armv6l-cp31"),
    ],
)
def test_an_added_interpreter_has_an_image_of_its_own(text: str, image: str) -> None:
    platform = Platform.parse(text)

    assert platform.image == image
    assert Platform.of_image(image) == platform
    assert platform.has_own_python == (image == platform.view)


@pytest.mark.parametrize(
    "name",
    [
        "debian12-x86_64-cp311",
        "debian12-x86_64-",
        "debian12-x86_64-cp313-x",
        "debian12-x86_64-pp310",
        "debian12",
        "a-b-c",
    ],
)
def test_no_image_has_two_names(name: str) -> None:
    with pytest.raises(UnknownPlatformError, match="for another Python"):
        Platform.of_image(name)


def test_armv6_is_of_raspberry_pi_os_only_and_that_of_armv6() -> None:
    pi = Platform.parse("raspbian12-armv6l-cp311")

    assert {tag.platform for tag in pi.tags} == {"linux_armv6l", "any"}
    assert pi.marker_environment["platform_machine"] == "armv6l"
    for text in ("debian12-armv6l-cp311", "raspbian12-armv7l-cp311", "raspbian12-aarch64-cp311"):
        with pytest.raises(UnknownPlatformError, match="architectures of"):
            Platform.parse(text)
    with pytest.raises(UnknownPlatformError):
        Platform.of_image("debian12-armv6l")


@pytest.mark.parametrize(
    ("platform", "tag", "instead"),
    [
        ("raspbian12-armv6l-cp311", "linux_armv6l", ("linux_armv6l", "linux_armv7l")),
        ("raspbian12-armv6l-cp311", "linux_armv7l", ("linux_armv6l", "linux_armv7l")),  # its kernel may say so
        ("debian12-armv7l-cp311", "linux_armv8l", ("linux_armv7l",)),  # so do hatchling and scikit-build-core (B-09)
        ("debian12-armv7l-cp311", "linux_armv7l", None),
        ("debian12-aarch64-cp311", "linux_aarch64", None),
    ],
)
def test_a_tag_that_names_the_kernels_machine_gives_way_to_the_platforms(
    platform: str, tag: str, instead: tuple[str, ...] | None
) -> None:
    assert Platform.parse(platform).retagged.get(tag) == instead
