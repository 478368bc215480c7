"""Wheels for ARM: what standards.md (c) lets pass, and every other with its reason (A-13, B-09)."""

from __future__ import annotations

from pathlib import Path

import pytest

from schema.errors import WheelRejectedError
from schema.platforms import Platform
from schema.wheels import arm
from schema.wheels.canonical import repack
from schema.wheels.check import check
from tests.schema.wheels.forge import EPOCH, arm_object, expected, members, shared_object, write

ARMV6, ARMV7 = Platform.parse("raspbian12-armv6l-cp311"), Platform.parse("debian12-armv7l-cp311")
AARCH64 = Platform.parse("debian12-aarch64-cp311")
V6, V6T2, V6K, V7 = ({arm.CPU_ARCH: number} for number in (6, 8, 9, 10))
BOTH = "linux_armv6l.linux_armv7l"
EXTENSION = "demo/_c.cpython-311-arm-linux-gnueabihf.so"


def _made(folder: Path, data: bytes, tag: str, name: str = EXTENSION) -> Path:
    tags = f"cp311-cp311-{tag}"
    files = members(tags=tags, purelib=False) | {name: data}
    return repack(write(folder / "raw", files, filename=f"demo-1.0-{tags}.whl"), folder, epoch=EPOCH)


@pytest.mark.parametrize("attributes", [V6, V6K, {arm.CPU_ARCH: 7}, {}])
def test_what_was_compiled_for_armv6_is_for_armv7_too(attributes: dict[int, int], tmp_path: Path) -> None:
    wheel = _made(tmp_path, arm_object(attributes=attributes), BOTH)

    facts = check(wheel, expected(wheel, platform=ARMV6))

    assert {tag.platform for tag in facts.tags} == {"linux_armv6l", "linux_armv7l"}
    assert not facts.portable


@pytest.mark.parametrize(
    ("platform", "tag", "data", "reason"),
    [
        (ARMV6, BOTH, arm_object(attributes=V7), "made for a processor after ARMv6 (Tag_CPU_arch 10)"),
        (ARMV6, BOTH, arm_object(attributes=V6T2), "made for a processor after ARMv6 (Tag_CPU_arch 8)"),
        (ARMV6, BOTH, arm_object(attributes=V6 | {arm.ADVANCED_SIMD: 1}), "uses NEON, which ARMv6 lacks"),
        (ARMV6, BOTH, arm_object(flags=0x5000200), "is soft-float"),
        (ARMV6, BOTH, arm_object(flags=0x4000400), "is not EABI5"),
        (ARMV6, BOTH, arm_object(interpreter="/lib/ld-linux.so.3"), "the loader of soft-float systems"),
        (ARMV6, "linux_armv7l", arm_object(attributes=V6), "no tag of cp311-cp311-linux_armv7l is one that"),
        (ARMV6, "linux_armv8l", arm_object(attributes=V6), "is no platform tag of raspbian12-armv6l"),
        (ARMV6, "manylinux_2_36_armv6l", arm_object(attributes=V6), "is no platform tag of raspbian12-armv6l"),
        (ARMV7, "linux_armv8l", arm_object(attributes=V7), "linux_armv8l is no platform tag of debian12-armv7l"),
        (ARMV7, BOTH, arm_object(attributes=V7), "linux_armv6l is no platform tag of debian12-armv7l"),
        (ARMV7, "linux_armv7l", arm_object(flags=0x5000200), "is soft-float, but the platform is hard-float"),
        (ARMV7, "linux_armv7l", arm_object(flags=0x5000000), "is soft-float, but the platform is hard-float"),
        (ARMV7, "linux_armv7l", arm_object(interpreter="/lib/ld-linux.so.3"), "the loader of soft-float systems"),
        (ARMV7, "linux_armv7l", arm_object(machine=183), "is for machine 183 with 32 bits, not for armv7l"),
        (AARCH64, "linux_aarch64", arm_object(attributes=V7), "is for machine 40 with 32 bits, not for aarch64"),
        (AARCH64, "linux_armv7l", arm_object(attributes=V7), "is no platform tag of debian12-aarch64"),
    ],
)
def test_a_wheel_that_would_die_or_not_be_found_is_refused(
    platform: Platform, tag: str, data: bytes, reason: str, tmp_path: Path
) -> None:
    wheel = _made(tmp_path, data, tag)

    with pytest.raises(WheelRejectedError) as raised:
        check(wheel, expected(wheel, platform=platform))

    assert reason in str(raised.value)


def test_a_soft_float_file_that_says_how_it_passes_numbers_is_taken_at_its_word(tmp_path: Path) -> None:
    wheel = _made(tmp_path, arm_object(flags=0x5000000, attributes=V7 | {arm.VFP_ARGS: 1}), "linux_armv7l")

    check(wheel, expected(wheel, platform=ARMV7))


def test_a_file_of_this_machine_is_refused_in_a_wheel_for_arm(tmp_path: Path) -> None:
    wheel = _made(tmp_path, shared_object(tmp_path), "linux_armv7l")

    with pytest.raises(WheelRejectedError, match="not for armv7l"):
        check(wheel, expected(wheel, platform=ARMV7))
