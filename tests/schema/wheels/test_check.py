"""The check as a whole: one test for each rule, good and bad, on handmade wheels."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.tags import parse_tag
from packaging.utils import canonicalize_name
from packaging.version import Version

from schema.errors import WheelRejectedError
from schema.platforms import Platform
from schema.wheels.check import Expected, WheelFacts, check
from tests.schema.wheels import forge
from tests.schema.wheels.forge import HERE, LINUX, canonical, expected, members, shared_object, wheel_file, write

INFO = "demo-1.0.dist-info"
JOB = Expected(project=canonicalize_name("demo"), version=Version("1.0"), platform=HERE, build_number=0)
NATIVE = f"cp311-cp311-{LINUX}"


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real shared object that needs nothing but the C library."""
    return shared_object(tmp_path_factory.mktemp("so"))


def rules(path: Path, job: Expected = JOB) -> set[str]:
    """The rules that the error names, each of them with a sentence."""
    with pytest.raises(WheelRejectedError) as caught:
        check(path, job)
    named = set(re.findall(r"^(A-\d\d): .{10}", str(caught.value), re.MULTILINE))
    headline = str(caught.value).splitlines()[0]
    assert headline.startswith(("A-", "demo", "Demo", "evil"))
    assert all(rule in headline for rule in named)
    return named


def facts(path: Path, job: Expected | None = None) -> WheelFacts:
    return check(path, job or expected(path))


def changed(path: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """A sound wheel with one thing about its files changed; its RECORD is true."""
    files = members()
    change(files)
    return write(path, files)


def test_all_facts_of_a_pure_wheel_are_found_out(tmp_path: Path) -> None:
    told = forge.metadata("demo", "1.0", "Requires-Python: >=3.8", "Requires-Dist: Foo (>1); extra == 'x'")
    path = canonical(
        tmp_path, members(tags="py2.py3-none-any", METADATA=told), filename="demo-1.0-py2.py3-none-any.whl"
    )

    assert check(path, JOB) == WheelFacts(
        filename="demo-1.0-py2.py3-none-any.whl",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),  # type: ignore[arg-type]
        size_bytes=path.stat().st_size,
        project=canonicalize_name("demo"),
        version=Version("1.0"),
        build_number=0,
        tags=parse_tag("py2.py3-none-any"),
        requires_python=">=3.8",
        metadata=told,
        metadata_sha256=hashlib.sha256(told).hexdigest(),  # type: ignore[arg-type]
        requires_dist=('Foo>1; extra == "x"',),
        portable=True,
        extensions=(),
        needed=(),
        external=(),
    )


def test_all_facts_of_a_compiled_wheel_are_found_out(tmp_path: Path) -> None:
    source = "#include <zlib.h>\nextern int lonely(void);\nint demo(void) { return lonely(); }\n"
    stub = shared_object(tmp_path / "stub", name="liblonely", source="int lonely(void) { return 1; }\n")
    assert stub
    data = shared_object(
        tmp_path / "so",
        source=source.replace("#include <zlib.h>\n", ""),
        flags=[f"-L{tmp_path / 'stub'}", "-llonely", "-Wl,-soname,_c.so"],
    )
    name = "demo/_c.cpython-311-" + {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}[HERE.arch] + ".so"
    path = canonical(
        tmp_path, members(tags=NATIVE, purelib=False) | {name: data}, filename=f"demo-1.0-{NATIVE}.whl", build_number=2
    )

    found = facts(path)

    assert (found.filename, found.build_number) == (f"demo-1.0-2-{NATIVE}.whl", 2)
    assert (found.portable, found.extensions, found.needed) == (False, (name,), ("liblonely.so",))


def test_a_pure_wheel_made_by_a_backend_passes_before_it_is_repacked(tmp_path: Path) -> None:
    assert facts(write(tmp_path, members())).filename == "demo-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    "tags",
    [
        "py3-none-any",
        "py2.py3-none-any",
        "cp311-none-any",
        "py38.py39.py310.py311.py312-none-any",
        NATIVE,
        f"cp39-abi3-{LINUX}",
        f"py3-none-{LINUX}",
        f"py2.py3-none-{LINUX}",
        f"cp311-cp311-manylinux2014_{HERE.arch}.manylinux_2_17_{HERE.arch}",
        f"cp311-cp311-manylinux_2_36_{HERE.arch}",
    ],
)
def test_a_wheel_that_is_usable_on_the_platform_passes(tags: str, extension: bytes, tmp_path: Path) -> None:
    native = not tags.endswith("any")
    files = members(tags=tags, purelib=not native) | ({"demo/lib.so": extension} if native else {})

    found = facts(canonical(tmp_path, files, filename=f"demo-1.0-{tags}.whl"))

    assert found.tags == parse_tag(tags)
    assert found.portable == (LINUX not in tags)


@pytest.mark.parametrize(
    ("tags", "rule"),
    [
        ("cp312-cp312-" + LINUX, "A-14"),
        ("cp312-abi3-" + LINUX, "A-14"),
        ("cp311.cp312-none-" + LINUX, "A-14"),
        ("pp310-pypy310_pp73-" + LINUX, "A-14"),
        ("cp311-cp311d-" + LINUX, "A-14"),
        ("py2-none-any", "A-13"),
        ("cp311-cp311-linux_sparc64", "A-13"),
        ("cp311-cp311-linux_armv8l", "A-13"),
        ("cp311-cp311-win_amd64", "A-13"),
        (f"cp311-cp311-manylinux_2_37_{HERE.arch}", "A-13"),
        (f"cp311-cp311-musllinux_1_2_{HERE.arch}", "A-13"),
        (f"cp311-cp311-{LINUX}.win_amd64", "A-13"),
        (f"cp311-cp311-manylinux_2_17_{HERE.arch}.musllinux_1_1_{HERE.arch}", "A-13"),
    ],
)
def test_a_wheel_for_elsewhere_is_refused(tags: str, rule: str, extension: bytes, tmp_path: Path) -> None:
    files = members(tags=tags, purelib=False) | {"demo/lib.so": extension}

    assert rule in rules(canonical(tmp_path, files, filename=f"demo-1.0-{tags}.whl"))


def test_musllinux_is_refused_with_its_reason(extension: bytes, tmp_path: Path) -> None:
    tags = f"cp311-cp311-musllinux_1_2_{HERE.arch}"
    path = canonical(
        tmp_path, members(tags=tags, purelib=False) | {"demo/lib.so": extension}, filename=f"demo-1.0-{tags}.whl"
    )

    with pytest.raises(WheelRejectedError, match="musl's C library"):
        check(path, JOB)


@pytest.mark.parametrize(
    "filename",
    [
        "Demo-1.0-py3-none-any.whl",
        "demo-1.00-py3-none-any.whl",
        "demo-1.0-py3.py2-none-any.whl",
        "demo-1.0-py3-none.whl",
        "demo.whl",
    ],
)
def test_a01_the_file_name_is_normalised(filename: str, tmp_path: Path) -> None:
    assert "A-01" in rules(write(tmp_path, members(), filename=filename))


def test_a01_a_name_that_stands_for_thousands_of_tags_is_refused_before_they_are_made(tmp_path: Path) -> None:
    many = ".".join(f"py{number}" for number in range(1001))

    assert rules(tmp_path / f"demo-1.0-{many}-none-any.whl") == {"A-01"}


def test_a01_the_project_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    job = dataclasses.replace(JOB, project=canonicalize_name("other"))

    assert rules(canonical(tmp_path, members()), job) == {"A-01"}


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files.pop(f"{INFO}/METADATA"),
        lambda files: files.pop(f"{INFO}/WHEEL"),
        lambda files: files.update({"other-1.0.dist-info/METADATA": b""}),
        lambda files: files.update({"DEMO-1.0.DIST-INFO/METADATA": b""}),
        lambda files: files.update({f"{INFO}/METADATA": forge.metadata("other")}),
        lambda files: files.update({f"{INFO}/METADATA": forge.metadata("demo", "2.0")}),
        lambda files: files.update({f"{INFO}/METADATA": forge.metadata("demo", "1.0.0")}),
        lambda files: files.update({"demo-2.0.data/scripts/x": b""}),
        lambda files: files.update({"Demo-1.0.data/scripts/x": b""}),
        lambda files: files.update({"demo-1.0.data/etc/x": b""}),
    ],
)
def test_a02_there_is_one_dist_info_of_that_project_and_version(
    change: Callable[[dict[str, bytes]], object], tmp_path: Path
) -> None:
    assert rules(changed(tmp_path, change)) == {"A-02"}


def test_a02_the_dist_info_is_named_as_the_file(tmp_path: Path) -> None:
    raw = write(tmp_path, members(info="Demo-1.0.dist-info"), info="Demo-1.0.dist-info")

    assert rules(raw) == {"A-02"}


def test_a02_a_wheel_without_record_is_refused(tmp_path: Path) -> None:
    entries = [forge.Entry(name=name.encode(), data=data) for name, data in members().items()]
    path = forge.Archive(entries=entries).write(tmp_path / "demo-1.0-py3-none-any.whl")

    assert rules(path) == {"A-02"}


@pytest.mark.parametrize(
    "wheel",
    [
        wheel_file("py2-none-any"),
        wheel_file("py3-none-any", "py2-none-any"),
        wheel_file(),
        wheel_file("py3-none"),
        wheel_file("py3-none-any", extra="Build: 1\n"),
        wheel_file("py3-none-any").replace(b"1.0", b"2.0"),
        wheel_file("py3-none-any").replace(b"Wheel-Version: 1.0\n", b""),
        wheel_file("py3-none-any") + b"Wheel-Version: 1.0\n",
        wheel_file("py3-none-any").replace(b"true", b"maybe"),
        wheel_file("py3-none-any") + b"Root-Is-Purelib: false\n",
        wheel_file("py3-none-any") + b"no field\n",
        wheel_file("py3-none-any") + b"\nTag: py2-none-any\n",
        wheel_file("py3-none-any") + b"Name: \xff\n",
        wheel_file(".".join(f"py{number}" for number in range(2000)) + "-none-any"),
        wheel_file(*["py3-none-any"] * 2000),
        b"",
    ],
)
def test_a03_wheel_says_what_the_file_name_says(wheel: bytes, tmp_path: Path) -> None:
    assert rules(write(tmp_path, members(WHEEL=wheel))) == {"A-03"}


def test_a03_a_build_line_equals_the_build_tag_or_is_absent(tmp_path: Path) -> None:
    job = dataclasses.replace(JOB, build_number=1)
    named = "demo-1.0-1-py3-none-any.whl"

    assert check(write(tmp_path / "a", members(), filename=named), job).build_number == 1
    same = members(WHEEL=wheel_file("py3-none-any", extra="Build: 1\n"))
    assert check(write(tmp_path / "b", same, filename=named), job).build_number == 1
    other = members(WHEEL=wheel_file("py3-none-any", extra="Build: 2\n"))
    assert rules(write(tmp_path / "c", other, filename=named), job) == {"A-03"}


@pytest.mark.parametrize(
    "listing",
    [
        b"",
        b"not,a,record,at,all\n",
        forge.record(members() | {"demo/more.py": b""}, f"{INFO}/RECORD"),
        forge.record({**members(), "demo/__init__.py": b"other"}, f"{INFO}/RECORD"),
        forge.record(dict(list(members().items())[1:]), f"{INFO}/RECORD"),
        forge.record(members(), f"{INFO}/RECORD").replace(b"sha256=", b"md5="),
    ],
)
def test_a04_record_is_true(listing: bytes, tmp_path: Path) -> None:
    assert rules(write(tmp_path, members(), listing=listing)) == {"A-04"}


def test_a05_an_unsound_archive_is_refused_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, members())
    path.write_bytes(path.read_bytes() + b"trailing")

    assert rules(path) == {"A-05"}


def test_a05_a_file_that_is_not_what_its_checksum_says_is_refused(tmp_path: Path) -> None:
    entries = [forge.Entry(name=name.encode(), data=data) for name, data in members().items()]
    entries[0].crc = 1
    path = forge.Archive(entries=entries).write(tmp_path / "demo-1.0-py3-none-any.whl")

    assert rules(path) == {"A-05"}


@pytest.mark.parametrize(
    "told", [b"", forge.metadata("demo", "1.0", "Requires-Python: x"), forge.metadata(metadata_version="9.9")]
)
def test_a06_metadata_is_valid(told: bytes, tmp_path: Path) -> None:
    assert rules(write(tmp_path, members(METADATA=told))) == {"A-06"}


def test_a08_each_licence_file_is_there(tmp_path: Path) -> None:
    told = forge.metadata("demo", "1.0", "License-File: LICENSE", metadata_version="2.4")
    files = members(METADATA=told)

    assert rules(write(tmp_path / "a", files)) == {"A-08"}
    assert facts(write(tmp_path / "b", files | {f"{INFO}/licenses/LICENSE": b"MIT"})).metadata == told


@pytest.mark.parametrize(
    ("name", "data", "fine"),
    [
        ("bom.cdx.json", json.dumps({"bomFormat": "CycloneDX"}).encode(), True),
        ("a.spdx.json", json.dumps({"spdxVersion": "SPDX-2.3"}).encode(), True),
        ("b.json", json.dumps({"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"}).encode(), True),
        ("c.xml", b'<bom xmlns="http://cyclonedx.org/schema/bom/1.6"/>', True),
        ("d.spdx", b"SPDXVersion: SPDX-2.3\n", True),
        ("e.json", b"{}", False),
        ("f.json", b"[1]", False),
        ("g.json", b"no json", False),
        ("h.json", b"[" * 100_000, False),
        ("i.json", b"1" * 5000, False),
        ("evil.py", b"print()", False),
        ("empty", b"", False),
    ],
)
def test_a09_only_sboms_lie_among_the_sboms(name: str, data: bytes, fine: bool, tmp_path: Path) -> None:  # noqa: FBT001
    path = write(tmp_path, members() | {f"{INFO}/sboms/{name}": data})

    if fine:
        facts(path)
    else:
        assert rules(path) == {"A-09"}


def test_a09_there_are_not_more_sboms_than_anybody_would_look_at(tmp_path: Path) -> None:
    document = json.dumps({"bomFormat": "CycloneDX"}).encode()

    assert rules(write(tmp_path, members() | {f"{INFO}/sboms/{number}.json": document for number in range(33)})) == {
        "A-09"
    }


@pytest.mark.parametrize("name", ["RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "installer", "direct_url.json"])
def test_a10_what_only_installers_or_signers_write_is_not_there(name: str, tmp_path: Path) -> None:
    assert rules(write(tmp_path, members() | {f"{INFO}/{name}": b""})) == {"A-10"}


@pytest.mark.parametrize("filename", ["demo-1.0-1-py3-none-any.whl", "demo-1.0-0-py3-none-any.whl"])
def test_a11_the_build_tag_is_the_build_number(filename: str, tmp_path: Path) -> None:
    assert rules(write(tmp_path, members(), filename=filename)) <= {"A-11", "A-01"}
    job = dataclasses.replace(JOB, build_number=1)
    assert rules(canonical(tmp_path / "none", members()), job) == {"A-11"}


@pytest.mark.parametrize("version", ["1.0+farm.1", "1.0.post1", "1.0.dev1", "9.9"])
def test_a12_no_version_is_invented(version: str, tmp_path: Path) -> None:
    info = f"demo-{version}.dist-info"
    files = members(info=info, METADATA=forge.metadata("demo", version))
    path = write(tmp_path, files, info=info, filename=f"demo-{version}-py3-none-any.whl")

    assert rules(path) == {"A-12"}


def test_a12_the_same_version_in_another_spelling_is_taken_and_noted(tmp_path: Path) -> None:
    files = members(info="demo-1.0.0.dist-info", METADATA=forge.metadata("demo", "1.0.0"))
    path = write(tmp_path, files, info="demo-1.0.0.dist-info", filename="demo-1.0.0-py3-none-any.whl")

    assert "the project calls its version 1.0.0, the index 1.0" in check(path, JOB).notes


def test_a13_a_platform_wheel_without_compiled_files_is_a_reduced_build(tmp_path: Path) -> None:
    path = canonical(tmp_path, members(tags=NATIVE, purelib=False), filename=f"demo-1.0-{NATIVE}.whl")

    with pytest.raises(WheelRejectedError, match="A-13: reduced build"):
        check(path, JOB)


def test_a13_a_malformed_compiled_file_is_refused(tmp_path: Path, extension: bytes) -> None:
    files = members(tags=NATIVE, purelib=False) | {"demo/lib.so": extension[:200]}

    assert rules(canonical(tmp_path, files, filename=f"demo-1.0-{NATIVE}.whl")) == {"A-13"}


def test_a13_a_compiled_file_for_another_machine_is_refused(tmp_path: Path) -> None:
    files = members(tags=NATIVE, purelib=False) | {"demo/lib.so": forge.arm_object()}

    assert rules(canonical(tmp_path, files, filename=f"demo-1.0-{NATIVE}.whl")) == {"A-13"}


def test_a13_a_real_file_that_needs_a_newer_glibc_than_its_tag_is_refused(tmp_path: Path) -> None:
    source = "#include <pthread.h>\nint demo(void) { return pthread_detach(0) + pthread_kill(0, 0); }\n"
    tags = f"cp311-cp311-manylinux_2_17_{HERE.arch}"
    files = members(tags=tags, purelib=False) | {
        "demo/lib.so": shared_object(tmp_path / "so", source="#include <signal.h>\n" + source)
    }

    path = canonical(tmp_path, files, filename=f"demo-1.0-{tags}.whl")

    with pytest.raises(WheelRejectedError, match=r"A-13: beyond manylinux_2_17_\w+: 'demo/lib.so': needs GLIBC_2.34"):
        check(path, JOB)


def test_a14_an_extension_for_another_interpreter_is_refused(tmp_path: Path, extension: bytes) -> None:
    files = members(tags=NATIVE, purelib=False) | {"demo/_c.cpython-310.so": extension}

    assert rules(canonical(tmp_path, files, filename=f"demo-1.0-{NATIVE}.whl")) == {"A-14"}


@pytest.mark.parametrize("name", ["demo/lib.so", "demo/no-suffix", "demo-1.0.data/scripts/tool", "demo/data.bin"])
def test_a15_a_pure_wheel_with_a_compiled_file_is_refused(name: str, tmp_path: Path, extension: bytes) -> None:
    assert rules(write(tmp_path, members() | {name: extension})) == {"A-15"}


@pytest.mark.parametrize(
    "files",
    [
        {"demo/a.pyc": b""},
        {"demo/__pycache__/a.cpython-311.pyc": b""},
        {"demo-1.0.data/scripts/sub/run": b""},
        {"demo-1.0.data/scripts/python3": b""},
        {"demo-1.0.data/scripts/pip": b""},
        {f"{INFO}/entry_points.txt": b"[console_scripts]\n../evil = demo:main\n"},
        {f"{INFO}/entry_points.txt": b"[gui_scripts]\n/usr/bin/evil = demo:main\n"},
        {f"{INFO}/entry_points.txt": b"[console_scripts]\na\\b = demo:main\n"},
        {f"{INFO}/entry_points.txt": b"[console_scripts]\n.. = demo:main\n"},
        {f"{INFO}/entry_points.txt": b"  [console_scripts]\n  python3.11 = demo:main\n"},
        {f"{INFO}/entry_points.txt": b"[console_scripts]\npip3 = demo:main\n"},
        {f"{INFO}/entry_points.txt": b"[console_scripts]\ne\x1b[31m = demo:main\n"},
        {f"{INFO}/entry_points.txt": b"\xff\n"},
    ],
)
def test_a16_no_bytecode_and_no_script_outside_its_folder_or_over_an_interpreter(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    assert rules(write(tmp_path, members() | files)) == {"A-16"}


def test_a16_ordinary_entry_points_are_fine(tmp_path: Path) -> None:
    text = b"# comment\n[console_scripts]\ndemo-run = demo:main\nDemo.2 = demo:main [x]\n\n[other.group]\na/b = demo\n"

    facts(write(tmp_path, members() | {f"{INFO}/entry_points.txt": text}))


def test_all_findings_are_told_at_once(tmp_path: Path) -> None:
    files = members(METADATA=forge.metadata(metadata_version="9"), WHEEL=b"") | {
        f"{INFO}/INSTALLER": b"",
        f"{INFO}/sboms/x": b"",
        "demo/a.pyc": b"",
        "demo/lib.so": b"\x7fELF",
    }
    path = write(tmp_path, files, filename="demo-2.0-7-py3-none-any.whl", listing=b"lies,,\n")

    assert rules(path) == {"A-02", "A-03", "A-04", "A-06", "A-09", "A-10", "A-11", "A-12", "A-13", "A-15", "A-16"}


def test_many_findings_of_one_rule_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, members() | {f"demo/{number}.pyc": b"" for number in range(50)})

    with pytest.raises(WheelRejectedError) as caught:
        check(path, JOB)

    assert str(caught.value).count("A-16: 'demo/") == 3
    assert "A-16: and 47 more like these" in str(caught.value)


def test_names_in_the_message_cannot_steer_a_terminal(tmp_path: Path) -> None:
    path = write(tmp_path, members(METADATA=forge.metadata("\x1b[31mevil")))

    with pytest.raises(WheelRejectedError) as caught:
        check(path, JOB)

    assert "\x1b" not in str(caught.value)


def test_what_runs_at_each_start_of_python_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path, members() | {"demo.pth": b"import demo\n", "demo/model.pth": b"weights"})

    assert facts(path).notes == ("'demo.pth': runs whenever Python starts (T12)",)


def test_an_absolute_search_path_is_noted(tmp_path: Path) -> None:
    data = shared_object(tmp_path / "so", flags=["-Wl,-rpath,/tmp/build/lib:$ORIGIN"])
    files = members(tags=NATIVE, purelib=False) | {"demo/lib.so": data}

    path = canonical(tmp_path, files, filename=f"demo-1.0-{NATIVE}.whl")

    assert facts(path).notes == ("'demo/lib.so': looks for libraries in '/tmp/build/lib'",)


def test_a_file_that_cannot_be_read_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check(tmp_path / "demo-1.0-py3-none-any.whl", JOB)


def test_a_wheel_for_another_platform_of_the_farm_is_refused_there(tmp_path: Path, extension: bytes) -> None:
    files = members(tags=NATIVE, purelib=False) | {"demo/lib.so": extension}
    path = canonical(tmp_path, files, filename=f"demo-1.0-{NATIVE}.whl")

    facts(path)
    assert "A-13" in rules(path, dataclasses.replace(JOB, platform=Platform.parse("debian12-riscv64-cp311")))
    assert "A-14" in rules(path, dataclasses.replace(JOB, platform=Platform.parse(f"debian13-{HERE.arch}-cp313")))
