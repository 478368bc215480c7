"""A-13, A-14, A-15: compiled files against the tags."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from typing import Any

import pytest
from packaging.tags import parse_tag

from schema.platforms import Platform
from schema.wheels import arm, elf, platform_tag, tag_findings
from schema.wheels.binaries import Binary, Compiled
from schema.wheels.elf import Elf
from tests.schema.wheels.forge import arm_object

X86 = Platform.parse("debian12-x86_64-cp311")
ARMV7 = Platform.parse("debian12-armv7l-cp311")
ARMV6 = Platform.parse("raspbian12-armv6l-cp311")
SOUND = Elf(bits=64, byte_order="<", machine=62, kind=elf.SHARED, flags=0, needed=("libc.so.6",))
CP311 = "demo/_c.cpython-311-x86_64-linux-gnu.so"


def found(
    tags: str, files: Mapping[str, Elf | bytes], *, platform: Platform = X86, is_pure: bool = False
) -> list[tuple[str, str]]:
    parsed = [
        Binary(name=name, elf=file if isinstance(file, Elf) else elf.read(io.BytesIO(file)))
        for name, file in files.items()
    ]
    compiled = Compiled(binaries=parsed, tags=parse_tag(tags), arch=platform.arch, release=platform.distribution)
    return [(finding.rule, finding.text) for finding in tag_findings.findings(compiled, is_pure=is_pure)]


def needing(versions: Mapping[str, str]) -> Elf:
    """A shared object that needs such a version of each library."""
    wanted = {library: frozenset({version}) for library, version in versions.items()}
    return dataclasses.replace(SOUND, needed=tuple(versions), versions=wanted)


def test_a_sound_extension_has_no_findings() -> None:
    assert found("cp311-cp311-linux_x86_64", {CP311: SOUND}) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"machine": 183}, "machine 183"),
        ({"bits": 32}, "32 bits"),
        ({"byte_order": ">"}, "not for x86_64"),
        ({"x86_isa": 0b111}, "needs x86-64-v3"),
        ({"needed": ("libc.musl-x86_64.so.1",)}, "musl"),
        ({"interpreter": "/lib/ld-musl-x86_64.so.1", "kind": elf.EXECUTABLE}, "musl"),
    ],
)
def test_a_file_for_another_machine_is_found(change: dict[str, object], text: str) -> None:
    (first, *_) = found("py3-none-linux_x86_64", {"demo/tool": dataclasses.replace(SOUND, **change)})  # type: ignore[arg-type]

    assert first[0] == "A-13"
    assert text in first[1]


def test_the_baseline_instruction_set_is_fine() -> None:
    assert found("py3-none-linux_x86_64", {"demo/x.so": dataclasses.replace(SOUND, x86_isa=1)}) == []


def test_one_fault_of_several_files_is_said_once_with_their_number() -> None:
    files = {f"demo/{name}.so": needing({"libc.so.6": "GLIBC_2.34"}) for name in "abc"}

    assert [text for _, text in found("py3-none-manylinux_2_17_x86_64", files)] == [
        "beyond manylinux_2_17_x86_64: 'demo/a.so' and 2 more: needs GLIBC_2.34 of libc.so.6"
    ]


def test_a_malformed_file_is_found_and_counts_as_compiled() -> None:
    compiled = Compiled(
        binaries=[Binary(name="demo/x.so", fault="no end")],
        tags=parse_tag("py3-none-linux_x86_64"),
        arch=X86.arch,
        release=X86.distribution,
    )

    (finding,) = tag_findings.findings(compiled, is_pure=False)

    assert str(finding) == "A-13: 'demo/x.so' is a malformed ELF file: no end"


def test_device_code_is_data() -> None:
    gpu = dataclasses.replace(SOUND, machine=190, kind=elf.EXECUTABLE)

    assert found("py3-none-any", {"demo/kernel.cubin": gpu}, is_pure=True) == []
    assert [rule for rule, _ in found("py3-none-linux_x86_64", {"demo/kernel.cubin": gpu})] == ["A-13"]


@pytest.mark.parametrize(
    ("file", "texts"),
    [
        (arm_object(), []),
        (arm_object(interpreter="/lib/ld-linux-armhf.so.3"), []),
        (arm_object(flags=0x5000000, attributes={arm.VFP_ARGS: 1}), []),
        (arm_object(flags=0x5000200), ["soft-float"]),
        (arm_object(flags=0x5000000), ["soft-float"]),
        (arm_object(flags=0x5000600), ["soft-float"]),
        (arm_object(flags=0x4000400), ["not EABI5"]),
        (arm_object(flags=0), ["not EABI5", "soft-float"]),
        (arm_object(interpreter="/lib/ld-linux.so.3"), ["loader of soft-float"]),
        (arm_object(needed=["ld-linux.so.3"]), ["loader of soft-float"]),
        (arm_object(machine=183), ["machine 183"]),
        (arm_object(attributes={arm.CPU_ARCH: 10, arm.ADVANCED_SIMD: 1}), []),
    ],
)
def test_armv7_wheels_are_hard_float_eabi5(file: bytes, texts: list[str]) -> None:
    got = found("cp311-cp311-linux_armv7l", {"demo/tool.so": file}, platform=ARMV7)

    assert [rule for rule, _ in got] == ["A-13"] * len(texts)
    assert all(text in said for text, (_, said) in zip(texts, got, strict=True))


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({arm.CPU_ARCH: 6}, None),
        ({arm.CPU_ARCH: 7}, None),
        ({arm.CPU_ARCH: 9}, None),
        ({arm.CPU_ARCH: 8}, "after ARMv6"),
        ({arm.CPU_ARCH: 10}, "after ARMv6"),
        ({arm.CPU_ARCH: 6, arm.ADVANCED_SIMD: 1}, "NEON"),
    ],
)
def test_armv6_wheels_have_nothing_of_armv7(attributes: dict[int, int], text: str | None) -> None:
    got = found("cp311-cp311-linux_armv6l", {"demo/x.so": arm_object(attributes=attributes)}, platform=ARMV6)

    assert [rule for rule, _ in got] == (["A-13"] if text else [])
    assert all(text in said for _, said in got if text)


def test_a_platform_wheel_without_a_compiled_file_is_a_reduced_build() -> None:
    ((rule, text),) = found("cp311-cp311-linux_x86_64", {})

    assert rule == "A-13"
    assert text.startswith("reduced build: tagged linux_x86_64, but no file in it is compiled")


def test_a_pure_wheel_without_compiled_files_has_no_findings() -> None:
    assert found("py2.py3-none-any", {}, is_pure=True) == []


@pytest.mark.parametrize(
    ("tags", "name", "is_pure"),
    [
        ("py3-none-any", "demo/lib.so", True),
        ("py3-none-any", "demo/lib.so", False),
        ("py3-none-linux_x86_64", "demo/lib.so", True),
        ("py3-none-linux_x86_64", "demo-1.0.data/purelib/lib.so", False),
        ("py3-none-any", "demo-1.0.data/scripts/tool", True),
    ],
)
def test_a_compiled_file_in_a_pure_wheel_is_found(tags: str, name: str, is_pure: bool) -> None:  # noqa: FBT001
    assert {rule for rule, _ in found(tags, {name: SOUND}, is_pure=is_pure)} == {"A-15"}


@pytest.mark.parametrize("folder", ["scripts", "platlib", "data"])
def test_a_program_among_the_scripts_makes_a_platform_wheel(folder: str) -> None:
    assert found("py3-none-linux_x86_64", {f"demo-1.0.data/{folder}/tool": SOUND}) == []


def test_an_abi_without_a_compiled_file_is_found() -> None:
    assert [rule for rule, _ in found("cp311-cp311-any", {})] == ["A-14"]


@pytest.mark.parametrize(
    ("tags", "name", "fits"),
    [
        ("cp311-cp311-linux_x86_64", "_c.cpython-311-x86_64-linux-gnu.so", True),
        ("cp311-cp311-linux_x86_64", "_c.cpython-311.so", True),
        ("cp311-cp311-linux_x86_64", "_c.abi3.so", True),
        ("cp311-cp311-linux_x86_64", "_c.so", True),
        ("cp311-cp311-linux_x86_64", "libfoo.so.1.2", True),
        ("cp311-cp311-linux_x86_64", "_c.cpython-310-x86_64-linux-gnu.so", False),
        ("cp311-cp311-linux_x86_64", "_c.cpython-311-aarch64-linux-gnu.so", False),
        ("cp311-cp311-linux_x86_64", "_c.cpython-311-x86_64-linux-musl.so", False),
        ("cp311-cp311-linux_x86_64", "_c.cpython-311d-x86_64-linux-gnu.so", False),
        ("cp311-cp311-linux_x86_64", "_c.pypy39-pp73-x86_64-linux-gnu.so", False),
        ("cp313-cp313-linux_x86_64", "_c.cpython-313t-x86_64-linux-gnu.so", False),
        ("cp313-cp313t-linux_x86_64", "_c.cpython-313t-x86_64-linux-gnu.so", True),
        ("cp313-cp313t-linux_x86_64", "_c.cpython-313-x86_64-linux-gnu.so", False),
        ("cp313-cp313t-linux_x86_64", "_c.abi3.so", False),
        ("cp39-abi3-linux_x86_64", "_c.abi3.so", True),
        ("cp39-abi3-linux_x86_64", "_c.cpython-311-x86_64-linux-gnu.so", False),
        ("cp39-abi3-linux_x86_64", "_c.abi3t.so", True),
        ("cp315-abi3.abi3t-linux_x86_64", "_c.abi3t.so", True),
        ("cp315-abi3.abi3t-linux_x86_64", "_c.abi3.so", False),
        ("py3-none-linux_x86_64", "libfoo.so", True),
        ("py3-none-linux_x86_64", "_c.abi3.so", False),
        ("py3-none-linux_x86_64", "_c.cpython-311-x86_64-linux-gnu.so", False),
        ("cp311-none-linux_x86_64", "_c.cpython-311-x86_64-linux-gnu.so", True),
        ("cp310.cp311-cp310.cp311-linux_x86_64", "_c.cpython-310-x86_64-linux-gnu.so", True),
    ],
)
def test_the_name_of_an_extension_fits_the_abi_tag(tags: str, name: str, fits: bool) -> None:  # noqa: FBT001
    assert [rule for rule, _ in found(tags, {f"demo/{name}": SOUND})] == ([] if fits else ["A-14"])


def test_a_program_is_no_extension() -> None:
    program = dataclasses.replace(SOUND, kind=elf.EXECUTABLE)

    assert [rule for rule, _ in found("cp311-cp311-linux_x86_64", {CP311: program})] == ["A-13"]


@pytest.mark.parametrize(
    ("tag", "file", "text"),
    [
        ("manylinux_2_17_x86_64", needing({"libc.so.6": "GLIBC_2.17"}), None),
        ("manylinux2014_x86_64", needing({"libc.so.6": "GLIBC_2.17"}), None),
        ("manylinux_2_17_x86_64", needing({"libc.so.6": "GLIBC_2.34"}), "needs GLIBC_2.34 of libc.so.6"),
        ("manylinux2014_x86_64", needing({"libc.so.6": "GLIBC_2.18"}), "needs GLIBC_2.18 of libc.so.6"),
        ("manylinux1_x86_64", needing({"libc.so.6": "GLIBC_2.6"}), "needs GLIBC_2.6 of libc.so.6"),
        ("manylinux2010_x86_64", needing({"libm.so.6": "GLIBC_2.17"}), "needs GLIBC_2.17 of libm.so.6"),
        ("manylinux_2_34_x86_64", needing({"libc.so.6": "GLIBC_2.34"}), None),
        ("manylinux_2_33_x86_64", needing({"libc.so.6": "GLIBC_2.33"}), "needs GLIBC_2.33"),
        ("manylinux_2_17_x86_64", needing({"libstdc++.so.6": "GLIBCXX_3.4.19"}), None),
        ("manylinux_2_17_x86_64", needing({"libstdc++.so.6": "GLIBCXX_3.4.29"}), "needs GLIBCXX_3.4.29"),
        ("manylinux_2_17_x86_64", needing({"libstdc++.so.6": "CXXABI_1.3.13"}), "needs CXXABI_1.3.13"),
        ("manylinux_2_17_x86_64", needing({"libgcc_s.so.1": "GCC_12.0.0"}), "needs GCC_12.0.0"),
        ("manylinux_2_17_x86_64", needing({"libc.so.6": "GLIBC_PRIVATE"}), "needs GLIBC_PRIVATE"),
        ("manylinux_2_17_x86_64", needing({"libpq.so.5": "RHPG_9.6"}), "needs libpq.so.5, which is neither"),
        ("manylinux_2_17_x86_64", needing({"libz.so.1": "ZLIB_1.2.9"}), "needs ZLIB_1.2.9"),
    ],
)
def test_a_manylinux_tag_promises_only_what_its_policy_allows(tag: str, file: Elf, text: str | None) -> None:
    got = found(f"cp311-cp311-{tag}", {CP311: file})

    assert [rule for rule, _ in got] == (["A-13"] if text else [])
    assert all(text in said for _, said in got if text)


def test_every_manylinux_tag_is_checked_and_a_fault_said_once() -> None:
    tags = "cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64"

    assert [text for _, text in found(tags, {CP311: needing({"libc.so.6": "GLIBC_2.34"})})] == [
        f"beyond manylinux2014_x86_64: '{CP311}': needs GLIBC_2.34 of libc.so.6"
    ]


def test_what_the_wheel_brings_along_is_not_asked_of_the_system() -> None:
    bundled = dataclasses.replace(SOUND, soname="libpq-9f.so.5")
    files = {CP311: needing({"libpq-9f.so.5": "GCC_99"}), "demo.libs/libpq-9f.so.5": bundled}

    assert found("cp311-cp311-manylinux_2_17_x86_64", files) == []


def test_the_loader_is_always_there() -> None:
    file = dataclasses.replace(
        needing({"libc.so.6": "GLIBC_2.5"}),
        needed=("ld-linux-x86-64.so.2",),
        versions={"ld-linux-x86-64.so.2": frozenset({"GLIBC_2.30"})},
    )

    assert found("cp311-cp311-manylinux_2_17_x86_64", {CP311: file}) == []


def test_a_linux_wheel_needs_no_newer_glibc_than_its_release_has() -> None:
    assert found("cp311-cp311-linux_x86_64", {CP311: needing({"libc.so.6": "GLIBC_2.36"})}) == []
    ((rule, text),) = found("cp311-cp311-linux_x86_64", {CP311: needing({"libc.so.6": "GLIBC_2.38"})})
    assert rule == "A-13"
    assert "needs GLIBC_2.38, but Debian 12 has 2.36" in text


def test_libraries_that_nobody_promises_are_listed_for_a_linux_wheel() -> None:
    compiled = Compiled(
        binaries=[
            Binary(name=CP311, elf=needing({"libpq.so.5": "RHPG_9.6", "libc.so.6": "GLIBC_2.5", "libown.so.1": "X"})),
            Binary(name="demo.libs/libown.so.1", elf=SOUND),
        ],
        tags=parse_tag("cp311-cp311-linux_x86_64"),
        arch=X86.arch,
        release=X86.distribution,
    )

    assert list(tag_findings.findings(compiled, is_pure=False)) == []
    assert compiled.external == ("libpq.so.5",)


def test_a_tag_without_any_policy_is_found() -> None:
    riscv = Platform.parse("debian13-riscv64-cp313")
    file = dataclasses.replace(SOUND, machine=243, flags=5)

    ((rule, text),) = found("cp313-cp313-manylinux_2_17_riscv64", {"demo/x.so": file}, platform=riscv)

    assert (rule, text) == ("A-13", "no policy says what manylinux_2_17_riscv64 may rely on")


@pytest.mark.parametrize(
    ("arch", "change"),
    [
        ("aarch64", {"machine": 183}),
        ("riscv64", {"machine": 243, "flags": 5}),
        ("ppc64le", {"machine": 21, "flags": 2}),
        ("s390x", {"machine": 22, "byte_order": ">"}),
        ("i686", {"machine": 3, "bits": 32}),
    ],
)
def test_each_architecture_takes_its_own_files(arch: str, change: dict[str, object]) -> None:
    platform = Platform.parse(f"debian12-{arch}-cp311")
    own = dataclasses.replace(SOUND, **change)  # type: ignore[arg-type]

    assert found(f"py3-none-linux_{arch}", {"demo/x.so": own}, platform=platform) == []
    assert [rule for rule, _ in found(f"py3-none-linux_{arch}", {"demo/x.so": SOUND}, platform=platform)] == ["A-13"]


def test_risc_v_and_power_files_of_another_abi_are_found() -> None:
    riscv, power = Platform.parse("debian13-riscv64-cp313"), Platform.parse("debian12-ppc64le-cp311")
    soft = dataclasses.replace(SOUND, machine=243, flags=1)
    old = dataclasses.replace(SOUND, machine=21, flags=1)

    assert [rule for rule, _ in found("py3-none-linux_riscv64", {"x.so": soft}, platform=riscv)] == ["A-13"]
    assert [rule for rule, _ in found("py3-none-linux_ppc64le", {"x.so": old}, platform=power)] == ["A-13"]


@pytest.mark.parametrize("arch", ["x86_64", "i686", "aarch64", "armv7l", "riscv64", "ppc64le", "s390x"])
def test_there_is_a_policy_for_the_newest_manylinux_of_each_architecture(arch: str) -> None:
    policy = platform_tag.newest_policy(arch)

    assert policy is not None
    assert "libc.so.6" in policy.libraries
    assert policy.glibc >= (2, 36)


def test_there_is_no_policy_for_armv6() -> None:
    assert platform_tag.newest_policy("armv6l") is None


def without_release(tags: str, files: Mapping[str, Elf], *, arch: str = "x86_64", **more: Any) -> list[str]:
    """As for a wheel of which nothing but its name is known."""
    parsed = [Binary(name=name, elf=file) for name, file in files.items()]
    compiled = Compiled(binaries=parsed, tags=parse_tag(tags), arch=arch, **more)
    return [finding.text for finding in tag_findings.findings(compiled, is_pure=False)]


def test_a_musllinux_wheel_may_rely_on_musl_and_zlib_only() -> None:
    name = "demo/_c.cpython-311-x86_64-linux-musl.so"
    musl = dataclasses.replace(SOUND, needed=("libc.musl-x86_64.so.1", "ld-musl-x86_64.so.1", "libz.so.1"))
    tags = "cp311-cp311-musllinux_1_2_x86_64"

    assert without_release(tags, {name: musl}) == []
    alone = dataclasses.replace(musl, needed=("libpq.so.5",))
    assert without_release(tags, {name: alone}) == [
        (
            f"beyond musllinux_1_2_x86_64: {name!r}: "
            "needs libpq.so.5, which is neither in the wheel nor on every such system"
        )
    ]
    assert "needs libc.so.6" in without_release(tags, {CP311: SOUND})[0]


def test_a_wheel_for_both_c_libraries_needs_neither() -> None:
    tags = "py3-none-manylinux_2_17_x86_64.musllinux_1_1_x86_64"
    linked = dataclasses.replace(SOUND, needed=("libc.musl-x86_64.so.1",))

    assert without_release(tags, {"demo/tool": dataclasses.replace(SOUND, needed=())}) == []
    assert without_release(tags, {"demo/tool": linked})[0] == "'demo/tool' is linked to musl's C library"


def test_where_no_release_is_named_a_linux_wheel_promises_no_c_library() -> None:
    musl = dataclasses.replace(SOUND, needed=("libc.musl-x86_64.so.1",))

    assert without_release("cp311-cp311-linux_x86_64", {CP311: needing({"libc.so.6": "GLIBC_2.99"})}) == []
    assert without_release("cp311-cp311-linux_x86_64", {"demo/_c.cpython-311-x86_64-linux-musl.so": musl}) == []


def test_extensions_of_interpreters_with_flags_in_their_abi_are_known() -> None:
    name = "demo/_c.cpython-37m-x86_64-linux-gnu.so"

    assert without_release("cp37-cp37m-manylinux_2_17_x86_64", {name: SOUND}) == []
    assert "does not fit the ABI tags cp37-cp37" in without_release("cp37-cp37-manylinux_2_17_x86_64", {name: SOUND})[0]


def test_how_pypy_names_extensions_is_not_held_against_its_wheels() -> None:
    name = "demo/_c.pypy311-pp73-x86_64-linux-gnu.so"

    assert without_release("pp311-pypy311_pp73-manylinux_2_17_x86_64", {name: SOUND}) == []
    assert without_release("cp311-cp311-manylinux_2_17_x86_64", {name: SOUND}) == [
        f"{name!r} is an extension of another interpreter"
    ]


def test_libraries_that_are_elsewhere_are_not_missed() -> None:
    file = dataclasses.replace(SOUND, needed=("libc.so.6", "libcuda.so.1"))
    tags = "cp311-cp311-manylinux_2_17_x86_64"

    assert "needs libcuda.so.1" in without_release(tags, {CP311: file})[0]
    assert without_release(tags, {CP311: file}, elsewhere=frozenset({"libcuda.so.1"})) == []


def test_how_files_stand_to_each_policy_is_told_from_the_oldest_on() -> None:
    file = needing({"libc.so.6": "GLIBC_2.28", "libexpat.so.1": "X", "libpq.so.5": "RHPG_9.6"})

    found = platform_tag.fits([file], "x86_64", frozenset())

    assert (found[0].tag, found[0].libraries, found[0].symbols) == (
        "manylinux_2_5_x86_64",
        ("libexpat.so.1", "libpq.so.5"),
        ("GLIBC_2.28",),
    )
    assert {fit.tag: fit.symbols for fit in found if fit.tag.endswith(("2_27_x86_64", "2_28_x86_64"))} == {
        "manylinux_2_27_x86_64": ("GLIBC_2.28",),
        "manylinux_2_28_x86_64": (),
    }
    assert found[-1].libraries == ("libpq.so.5",)
    assert platform_tag.newest_glibc([file, SOUND]) == (2, 28)
    assert platform_tag.newest_glibc([SOUND]) == ()
    assert platform_tag.fits([file], "armv6l", frozenset()) == ()


def test_each_finding_about_compiled_files_says_what_to_do() -> None:
    files = {
        "demo/_c.cpython-310-x86_64-linux-gnu.so": needing({"libc.so.6": "GLIBC_2.34", "libpq.so.5": "X"}),
        "demo/tool": dataclasses.replace(SOUND, machine=183),
    }
    parsed = [Binary(name=name, elf=file) for name, file in files.items()]
    for tags in ("cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-musllinux_1_1_x86_64", "py3-none-any"):
        compiled = Compiled(binaries=parsed, tags=parse_tag(tags), arch="x86_64")

        found = list(tag_findings.findings(compiled, is_pure=False))

        assert len(found) >= 2
        assert all(finding.advice for finding in found)
