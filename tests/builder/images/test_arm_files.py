"""What real compilers make for ARM, in wheels: each that is wrong for its tag is refused with the reason (A-13)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder import debian, emulation, sandbox
from builder.images import Image
from builder.log import Log
from builder.sandbox import Bind, Sandbox
from schema.errors import WheelRejectedError
from schema.jobs import Limits
from schema.platforms import Platform
from schema.wheels.canonical import repack
from schema.wheels.check import check
from tests.schema.wheels.forge import EPOCH, expected, members, write

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root has the kernel emulate"),
    pytest.mark.skipif(emulation.is_native("armv7l"), reason="the compilers here are cross compilers"),
]

SOURCE = """
#ifdef __ARM_NEON
#include <arm_neon.h>
float32x4_t twice(float32x4_t value) { return vaddq_f32(value, value); }
#endif
double half(double value) { return value / 2; }
"""
ARMV6 = "-march=armv6+fp -marm -mfloat-abi=hard -nostdlib"  # Debian's own start-up files are ARMv7
BOTH = "linux_armv6l.linux_armv7l"


Build = Callable[[Path, tuple[str, str, str], str], Path]


@pytest.fixture(scope="module")
def build(emulated_image: Callable[[str], Image], tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Makes a wheel that claims a platform tag, of SOURCE as a compiler of an architecture's image gives it."""

    def make(folder: Path, source: tuple[str, str, str], tag: str) -> Path:
        arch, compiler, flags = source
        image, out = emulated_image(arch), tmp_path_factory.mktemp(arch)
        log = Log(out / "log", limit_bytes=2**20)
        if compiler != "gcc":
            image = debian.with_packages(image, ["gcc-arm-linux-gnueabi"], log=log, cancelled=threading.Event())
        (out / "demo.c").write_text(SOURCE)
        finished = sandbox.run(
            Sandbox(root=image.root, binds=(Bind(source=out, target="/out", writable=True),)),
            ["sh", "-euc", f"{compiler} -shared -fPIC -O2 {flags} -o /out/demo.so /out/demo.c"],
            limits=Limits(),
            log=log,
            deadline=time.monotonic() + 120,
            cancelled=threading.Event(),
        )
        assert finished.exit_code == 0, log.tail()
        tags = f"cp311-cp311-{tag}"
        files = members(tags=tags, purelib=False) | {"demo/_c.so": (out / "demo.so").read_bytes()}
        return repack(write(folder / "raw", files, filename=f"demo-1.0-{tags}.whl"), folder, epoch=EPOCH)

    return make


@pytest.mark.parametrize(
    ("source", "tag", "platform"),
    [
        (("armv7l", "gcc", ""), "linux_armv7l", "debian12-armv7l-cp311"),
        (("armv7l", "gcc", "-mfpu=neon"), "linux_armv7l", "debian12-armv7l-cp311"),
        (("armv7l", "gcc", ARMV6), BOTH, "raspbian12-armv6l-cp311"),
        (("aarch64", "gcc", ""), "linux_aarch64", "debian12-aarch64-cp311"),
    ],
)
def test_what_is_true_is_taken(
    source: tuple[str, str, str], tag: str, platform: str, build: Build, tmp_path: Path
) -> None:
    wheel = build(tmp_path, source, tag)

    check(wheel, expected(wheel, platform=Platform.parse(platform)))


@pytest.mark.parametrize(
    ("source", "claim", "reason"),
    [
        (("armv7l", "gcc", ""), (BOTH, "raspbian12-armv6l-cp311"), "made for a processor after ARMv6"),
        (("armv7l", "gcc", "-mfpu=neon"), (BOTH, "raspbian12-armv6l-cp311"), "uses NEON, which ARMv6 lacks"),
        (("armv7l", "gcc", ARMV6.replace("armv6", "armv6t2")), (BOTH, "raspbian12-armv6l-cp311"), "after ARMv6"),
        (("armv7l", "arm-linux-gnueabi-gcc", "-nostdlib"), ("linux_armv7l", "debian12-armv7l-cp311"), "is soft-float"),
        (("armv7l", "arm-linux-gnueabi-gcc", "-nostdlib"), (BOTH, "raspbian12-armv6l-cp311"), "is soft-float"),
        (("armv7l", "gcc", ""), ("linux_armv8l", "debian12-armv7l-cp311"), "linux_armv8l is no platform tag"),
        (("armv7l", "gcc", ""), ("linux_aarch64", "debian12-aarch64-cp311"), "not for aarch64"),
        (("aarch64", "gcc", ""), ("linux_armv7l", "debian12-armv7l-cp311"), "not for armv7l"),
    ],
)
def test_what_is_untrue_is_refused(
    source: tuple[str, str, str], claim: tuple[str, str], reason: str, build: Build, tmp_path: Path
) -> None:
    wheel = build(tmp_path, source, claim[0])

    with pytest.raises(WheelRejectedError) as raised:
        check(wheel, expected(wheel, platform=Platform.parse(claim[1])))

    assert reason in str(raised.value)
