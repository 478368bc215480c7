"""What people may name as fine beside a folder of wheels."""

from __future__ import annotations

import pytest

from master import allowed_tags
from schema.errors import UsageError
from schema.platforms import DISTRIBUTIONS


@pytest.mark.parametrize(
    ("text", "taken", "left"),
    [
        ("linux_armv7l", ["linux_armv7l"], ["linux_armv6l", "linux_x86_64"]),
        ("LINUX_ARMV7L", ["linux_armv7l"], ["linux_x86_64"]),
        ("linux_*", ["linux_armv7l", "linux_x86_64"], ["freebsd_14_amd64"]),
        ("linux_armv[67]l", ["linux_armv6l", "linux_armv7l"], ["linux_x86_64"]),
        ("debian12-x86_64", ["linux_x86_64"], ["linux_aarch64", "manylinux_2_17_x86_64"]),
        ("debian12-*", ["linux_x86_64", "linux_armv7l"], ["linux_armv6l"]),
        ("*", ["linux_x86_64", "freebsd_14_amd64"], []),
    ],
)
def test_tags_patterns_and_releases_allow_what_they_name(text: str, taken: list[str], left: list[str]) -> None:
    rules = allowed_tags.parse([text])

    assert [tag for tag in [*taken, *left] if rules.takes(tag)] == taken
    assert rules.needless == ()


def test_of_several_releases_the_newest_counts_and_a_tag_alone_sets_no_limit() -> None:
    assert allowed_tags.parse(["debian12-x86_64", "debian1*-*"]).release("linux_x86_64") == DISTRIBUTIONS["debian13"]
    assert allowed_tags.parse(["debian12-x86_64", "linux_*"]).release("linux_x86_64") is None
    assert allowed_tags.parse(["debian12-x86_64"]).release("linux_aarch64") is None


@pytest.mark.parametrize("text", ["manylinux_2_3*_x86_64", "manylinux2014_x86_64", "any", "win_amd64", "musllinux_*"])
def test_what_is_portable_in_any_case_is_taken_and_told(text: str) -> None:
    assert allowed_tags.parse([text]).needless == (text,)


def test_a_tag_that_nobody_knows_makes_sense_where_a_wheel_has_it() -> None:
    assert allowed_tags.parse(["freebsd_*"], present={"freebsd_14_amd64"}).takes("freebsd_14_amd64")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "lower-case letters"),
        ("linux_arm7l", "those of Linux: linux_x86_64, "),
        ("manylinux_2_17", "none that installers know"),
        ("freebsd_*", "none that installers know"),
        ("linux_x86_64.linux_i686", "lower-case letters"),
        ("linux x86_64", "lower-case letters"),
        ("../wheels", "lower-case letters"),
        ("debian9-*", "distributions: debian11, "),
        ("debian12-sparc", "architectures: x86_64, "),
        ("cp311-cp311-linux_armv7l", "name the platform alone, such as linux_armv7l"),
        ("debian12-x86_64-cp311", "name the platform alone, such as debian12-x86_64"),
    ],
)
def test_nonsense_is_refused_with_what_is_known(text: str, advice: str) -> None:
    with pytest.raises(UsageError) as told:
        allowed_tags.parse(["linux_armv7l", text])

    assert f"not a platform tag, nor a pattern of any: {text!r}" in str(told.value)
    assert advice in str(told.value)
