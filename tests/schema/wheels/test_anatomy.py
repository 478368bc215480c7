"""The anatomy of a wheel: what each part of it says, against compilers, auditwheel and forgers."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schema.errors import WheelRejectedError
from schema.names import sha256_of
from schema.platforms import this_machine
from schema.printable import printable
from schema.wheels import anatomy, grafted, machines
from schema.wheels.anatomy import Anatomy, CompiledFile, Kind, Place, Relro
from schema.wheels.examine import examine
from schema.wheels.symbols import Kept
from tests.schema.wheels.forge import LINUX, arm_object, members, metadata, shared_object, versioned_object, write
from tests.web.hostile import PAYLOADS

INFO = "demo-1.0.dist-info"
NATIVE = f"demo-1.0-cp311-cp311-{LINUX}.whl"
TRIPLE = machines.multiarch(this_machine())
EXTENSION = f"demo/_c.cpython-311-{TRIPLE}.so"
COPIES = "#include <string.h>\nvoid demo(char *t) { char b[64]; strcpy(b, t); t[0] = b[9]; }\n"
GUARDED = ["-O2", "-D_FORTIFY_SOURCE=2", "-fstack-protector-all", "-Wl,-z,relro", "-Wl,-z,now", "-s"]
SBOM_PATH = f"/usr/lib/{TRIPLE}/libffi.so.8.1.2"


def made(folder: Path, files: Mapping[str, bytes], *, filename: str = NATIVE, told: bytes = metadata()) -> Path:
    tags = "-".join(filename.removesuffix(".whl").split("-")[-3:])
    return write(folder, {**members(tags, purelib=False), f"{INFO}/METADATA": told, **files}, filename=filename)


def sbom(*components: object) -> bytes:
    return json.dumps({"bomFormat": "CycloneDX", "components": list(components)}).encode()


def component(path: str = SBOM_PATH, name: str = "libffi8", version: str = "3.4.4-1") -> dict[str, str]:
    """As auditwheel writes it: the file's path only as a digest."""
    purl = f"pkg:deb/debian/{name}@{version}"
    return {
        "type": "library",
        "bom-ref": f"{purl}#{hashlib.sha256(path.encode()).hexdigest()}",
        "name": name,
        "version": version,
        "purl": purl,
    }


def file(found: Anatomy, name: str) -> CompiledFile:
    return next(item for item in found.files if item.name == name)


def test_a_compiled_file_tells_what_it_needs_and_from_where(tmp_path: Path) -> None:
    library = shared_object(tmp_path / "lib", name="helper", flags=["-Wl,-soname,libhelper.so.1"])
    (tmp_path / "libhelper.so.1").write_bytes(library)
    flags = [
        *("-Wl,--no-as-needed", str(tmp_path / "libhelper.so.1"), "-l:libffi.so.8"),
        *("-Wl,-rpath,$ORIGIN/../demo.libs", "-Wl,--enable-new-dtags"),
    ]
    extension = shared_object(tmp_path / "ext", source=COPIES, flags=flags)

    found = examine(made(tmp_path / "wheel", {EXTENSION: extension, "demo.libs/libhelper.so.1": library}))

    told = file(found, EXTENSION)
    assert told.kind is Kind.EXTENSION
    assert told.size_bytes == len(extension)
    assert {item.name: item.place for item in told.libraries} == {
        "libhelper.so.1": Place.WHEEL,
        "libffi.so.8": Place.OUTSIDE,
        "libc.so.6": Place.POLICY,
    }
    [libc] = (item for item in told.libraries if item.name == "libc.so.6")
    assert libc.versions["GLIBC"].startswith("2.")
    assert told.versions == libc.versions
    assert (told.rpath, told.runpath) == ((), ("$ORIGIN/../demo.libs",))
    assert found.portability.outside == ("libffi.so.8",)
    assert file(found, "demo.libs/libhelper.so.1").kind is Kind.GRAFTED
    assert file(found, "demo.libs/libhelper.so.1").soname == "libhelper.so.1"


def test_guards_are_told_and_so_is_their_absence(tmp_path: Path) -> None:
    bare = ["-O0", "-fno-stack-protector", "-Wl,-z,norelro", "-Wl,-z,lazy", "-Wl,-z,execstack", "-g"]
    files = {
        "demo/guarded.so": shared_object(tmp_path / "a", source=COPIES, flags=GUARDED),
        "demo/partial.so": shared_object(tmp_path / "b", source=COPIES, flags=["-Wl,-z,relro", "-Wl,-z,lazy"]),
        "demo/bare.so": shared_object(tmp_path / "c", source=COPIES, flags=bare),
    }

    found = examine(made(tmp_path, files))

    guarded, exposed = (file(found, f"demo/{name}.so") for name in ("guarded", "bare"))
    assert guarded.hardening == anatomy.Hardening(
        pie=None, relro=Relro.FULL, bind_now=True, executable_stack=False, stack_protector=True, fortified=True
    )
    assert exposed.hardening == anatomy.Hardening(
        pie=None, relro=Relro.NONE, bind_now=False, executable_stack=True, stack_protector=False, fortified=False
    )
    partial = file(found, "demo/partial.so").hardening
    assert partial is not None
    assert partial.relro is Relro.PARTIAL
    assert (guarded.kept, exposed.kept) == (Kept.NOTHING, Kept.DEBUG_INFO)


@pytest.mark.parametrize(("flag", "pie"), [("-pie", True), ("-no-pie", False)])
def test_of_a_program_it_is_told_whether_it_can_lie_anywhere(flag: str, pie: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a column of the table
    code = tmp_path / "main.c"
    code.write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", "-fPIE", flag, "-o", tmp_path / "main", code], check=True)

    found = examine(made(tmp_path, {"demo-1.0.data/scripts/tool": (tmp_path / "main").read_bytes()}))

    [program] = found.files
    assert program.kind is Kind.PROGRAM
    assert program.hardening is not None
    assert program.hardening.pie is pie


def test_object_files_device_code_and_malformed_files_are_named_as_such(tmp_path: Path) -> None:
    code = tmp_path / "part.c"
    code.write_text("int demo(void) { return 1; }\n")
    subprocess.run(["gcc", "-c", "-o", tmp_path / "part.o", code], check=True)
    files = {
        "demo/part.o": (tmp_path / "part.o").read_bytes(),
        "demo/kernel.cubin": arm_object(machine=190),
        "demo/broken.so": b"\x7fELF and no more",
    }

    found = examine(made(tmp_path, files))

    assert {item.name: item.kind for item in found.files} == {
        "demo/part.o": Kind.OBJECT,
        "demo/kernel.cubin": Kind.DEVICE,
        "demo/broken.so": Kind.MALFORMED,
    }
    assert file(found, "demo/broken.so").fault
    assert [item.hardening for item in found.files] == [None] * 3


def test_the_oldest_policy_is_the_one_that_auditwheel_finds(tmp_path: Path) -> None:
    source = (
        "#include <math.h>\n#include <pthread.h>\ndouble demo(double t) { pthread_self(); return exp(pow(t, t)); }\n"
    )
    wheel = made(tmp_path, {EXTENSION: shared_object(tmp_path / "so", source=source, flags=["-O0", "-lm"])})
    said = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", "--json", wheel], check=True, capture_output=True, text=True
    )
    judged = json.loads(said.stdout)

    found = examine(wheel).portability

    assert found.policy == judged["overall_tag"]
    assert found.policy.startswith("manylinux_2_")
    needed = {version for versions in judged["versioned_symbols"].values() for version in versions}
    assert f"GLIBC_{found.versions['GLIBC']}" in needed
    assert all(text.startswith("manylinux_2_") and "_c.cpython-311" in text for text in found.beyond)
    assert found.tags == (LINUX,)


def test_symbols_that_a_policy_forbids_count_against_it(tmp_path: Path) -> None:
    source = "extern void _tr_init(void *); void demo(void) { _tr_init(0); }\n"
    flags = ["-Wl,--no-as-needed", "-l:libz.so.1", "-Wl,--allow-shlib-undefined"]

    found = examine(made(tmp_path, {EXTENSION: shared_object(tmp_path / "so", source=source, flags=flags)}))

    assert found.portability.policy == ""
    assert any("takes _tr_init from libz.so.1" in text for text in found.portability.beyond)


def test_a_library_from_outside_keeps_a_wheel_from_every_policy(tmp_path: Path) -> None:
    flags = ["-Wl,--no-as-needed", "-l:libffi.so.8"]

    found = examine(made(tmp_path, {EXTENSION: shared_object(tmp_path / "so", flags=flags)}))

    assert found.portability.policy == ""
    assert any("needs libffi.so.8" in text for text in found.portability.beyond)


def test_a_pure_wheel_has_no_policy_and_its_members_are_summed_up(tmp_path: Path) -> None:
    files = {"demo/a.py": b"x", "demo/b.PY": b"yy", "demo/LICENSE": b"zzz", "demo/.hidden": b""}
    path = write(tmp_path, {**members(), **files}, filename="demo-1.0-py3-none-any.whl")

    found = examine(path)

    assert (found.portability.tags, found.portability.policy, found.portability.arch) == (("any",), "", "")
    assert found.files == ()
    groups = {group.suffix: (group.files, group.size_bytes) for group in found.others}
    assert groups[".py"] == (3, len(b"VALUE = 1\n") + 3)
    assert groups["no suffix"] == (2, 3)
    assert groups[".dist-info"][0] == 3
    assert (found.filename, found.size_bytes) == (path.name, path.stat().st_size)
    assert found.sha256 == sha256_of(path)


def test_kinds_of_members_beyond_the_largest_are_told_together(tmp_path: Path) -> None:
    files = {f"demo/a.s{number:02}": b"x" * (100 - number) for number in range(40)}

    found = examine(write(tmp_path, {**members(), **files}))

    assert len(found.others) == 16
    assert found.others[-1].suffix == "others"
    assert sum(group.files for group in found.others) == found.members
    assert sum(group.size_bytes for group in found.others) == found.unpacked_bytes


def test_a_grafted_library_is_told_with_its_debian_package(tmp_path: Path) -> None:
    library = shared_object(tmp_path / "so")
    files = {
        "demo.libs/libffi-1a2b3c4d.so.8.1.2": library,
        "demo.libs/libother-1a2b3c4d.so.1": library,
        f"{INFO}/sboms/auditwheel.cdx.json": sbom(
            component() | {"licenses": [{"license": {"name": "Expat"}}, {"license": {"id": "GPL-2.0-or-later"}}]},
            component("/elsewhere/libx.so", "libx1", "2-1"),
        ),
    }

    found = examine(made(tmp_path, files))

    assert [(item.name, item.package, item.version, item.licenses) for item in found.grafted] == [
        ("libffi-1a2b3c4d.so.8.1.2", "libffi8", "3.4.4-1", ("Expat", "GPL-2.0-or-later")),
        ("libother-1a2b3c4d.so.1", "", "", ()),
    ]
    assert [(item.name, item.version) for item in found.packages] == [("libffi8", "3.4.4-1"), ("libx1", "2-1")]


@pytest.mark.skipif(not Path("/var/lib/dpkg/status").is_file(), reason="asks dpkg whose file a library is")
def test_the_sbom_that_auditwheel_writes_is_understood() -> None:
    library = next(Path(f"/usr/lib/{TRIPLE}").glob("libz.so.1.*"))

    packages = grafted.packages(
        json.dumps(import_module("auditwheel.sboms").create_sbom_for_wheel(NATIVE, [library])).encode()
    )

    owner = subprocess.run(["dpkg", "-S", library], check=False, capture_output=True, text=True).stdout
    if owner:  # images without a complete list of files give none
        found = grafted.package_of("libz-0123abcd." + library.name.partition(".")[2], packages, this_machine())
        assert found is not None
        assert found.name == owner.partition(":")[0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"components": 7}',
        b'{"components": [1, null, [], {"name": 3}]}',
        sbom({**component(), "name": ["x"]}),
        sbom({**component(), "version": "x" * 300}),
        sbom({**component(), "purl": "pkg:pypi/demo@1.0"}),
        sbom({**component(), "bom-ref": None}),
        sbom({**component(), "name": None, "licenses": 7}),
    ],
)
def test_an_sbom_that_is_none_tells_nothing(data: bytes, tmp_path: Path) -> None:
    found = examine(made(tmp_path, {f"{INFO}/sboms/auditwheel.cdx.json": data}))

    assert found.packages == ()


@pytest.mark.parametrize("listed", [7, {}, "Expat", [None, 1, [], {"license": "Expat"}, {"license": {"name": ["x"]}}]])
def test_licences_that_are_none_are_left_out(listed: object) -> None:
    [package] = grafted.packages(sbom({**component(), "licenses": listed}))

    assert package.licenses == ()


def test_a_made_up_digest_in_an_sbom_is_left_out() -> None:
    [package] = grafted.packages(sbom({**component(), "bom-ref": "pkg:deb/x#<script>"}))

    assert package.path_sha256 == ""


def test_licences_are_told_in_every_way_that_projects_give_them(tmp_path: Path) -> None:
    new = metadata(
        "demo", "1.0", "License-Expression: MIT OR BSD-3-Clause", "License-File: LICENSE", metadata_version="2.4"
    )
    old = metadata("demo", "1.0", "License: BSD", "Classifier: License :: OSI Approved :: BSD License")
    listed = {f"{INFO}/licenses/vendored/COPYING": b"text"}

    newer = examine(made(tmp_path / "new", listed, told=new)).licenses
    older = examine(made(tmp_path / "old", {}, told=old)).licenses

    assert newer == anatomy.Licenses(expression="MIT OR BSD-3-Clause", files=("LICENSE", "vendored/COPYING"))
    assert older == anatomy.Licenses(older=("BSD", "BSD License"))


def test_metadata_that_cannot_be_read_costs_the_licences_only(tmp_path: Path) -> None:
    found = examine(made(tmp_path, {}, told=b"\xff\xfe"))

    assert found.licenses == anatomy.Licenses()
    assert found.members > 0


def test_the_digest_may_be_told_instead_of_read(tmp_path: Path) -> None:
    path = made(tmp_path, {})

    assert examine(path, sha256=sha256_of(path)) == examine(path)


@pytest.mark.parametrize("name", ["demo.whl", "demo-1.0.tar.gz", f"demo-1.0{'-a.b.c.d.e.f.g.h.i.j.k' * 3}.whl"])
def test_a_file_that_is_not_named_as_a_wheel_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(made(tmp_path / "sound", {}).read_bytes())

    with pytest.raises(WheelRejectedError, match="A-01"):
        examine(path)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / NATIVE
    path.write_bytes(b"no archive")

    with pytest.raises(WheelRejectedError, match="A-05"):
        examine(path)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in _texts(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("key", PAYLOADS)
def test_whatever_a_wheel_says_is_printable_and_bounded(key: str, tmp_path: Path) -> None:
    text = PAYLOADS[key]
    safe = "".join(char for char in text if char not in "/\\\n\r\0,")[:60]
    flags = [f"-Wl,-soname,{safe}"] if safe.isprintable() else []
    evil = {**component(), "name": text[:200], "version": text[:200]}
    told = metadata("demo", "1.0", f"License: {' '.join(text.split())}", metadata_version="2.4")
    name = f"demo/{safe if safe.isprintable() else 'x'}.so"
    files = {name: shared_object(tmp_path / "so", flags=flags), f"{INFO}/sboms/auditwheel.cdx.json": sbom(evil)}

    found = examine(made(tmp_path / "wheel", files, told=told))

    texts = _texts(found.to_json())
    assert all(printable(item) == item and "\n" not in item and len(item) <= 200 for item in texts)


def test_thousands_of_compiled_files_give_a_bounded_answer_that_says_so(tmp_path: Path) -> None:
    library = arm_object(needed=[f"lib{number}-{'x' * 150}.so.1" for number in range(60)])
    files = {f"demo.libs/{'d' * 100}/lib{number:04}.so": library for number in range(600)}

    found = examine(made(tmp_path, files, filename="demo-1.0-cp311-cp311-linux_armv7l.whl"))

    assert len(json.dumps(found.to_json())) <= anatomy.MOST_BYTES
    assert 0 < len(found.files) < 600
    assert len(found.files) + found.files_left_out == 600
    assert found.to_json()["format"] == anatomy.FORMAT


def test_of_too_many_compiled_files_no_policy_is_told(tmp_path: Path) -> None:
    files = {f"demo/{number}.so": b"\x7fELF" for number in range(5001)}

    found = examine(made(tmp_path, {**files, "demo/0.so": arm_object()}, filename="demo-1.0-py3-none-linux_armv7l.whl"))

    assert found.portability.policy == ""
    assert found.portability.beyond == ("1 compiled files more, which nobody looked at",)
    assert (len(found.files), found.files_left_out) == (500, 4501)


def test_symbol_versions_are_bounded_in_number_and_length(tmp_path: Path) -> None:
    needs = {f"lib{number:02}.so.1": f"{number:02}{'F' * 90}_{'9' * 90}" for number in range(30)}
    files = {"demo/x.so": versioned_object(needs=needs)}

    found = examine(made(tmp_path, files, filename="demo-1.0-py3-none-linux_x86_64.whl"))

    assert len(file(found, "demo/x.so").versions) == 8
    assert len(found.portability.versions) == 20
    assert all(len(text) <= 40 for pair in found.portability.versions.items() for text in pair)


def test_a_wheel_for_musl_has_no_manylinux_policy_and_its_c_library_is_promised(tmp_path: Path) -> None:
    files = {"demo/x.so": versioned_object(needs={"libc.musl-x86_64.so.1": "", "libffi.so.8": ""})}

    found = examine(made(tmp_path, files, filename="demo-1.0-cp311-cp311-musllinux_1_2_x86_64.whl"))

    assert (found.portability.arch, found.portability.policy) == ("x86_64", "")
    assert found.portability.beyond == ("'demo/x.so': is linked to musl's C library",)
    assert found.portability.outside == ("libffi.so.8",)
    places = {item.name: item.place for item in file(found, "demo/x.so").libraries}
    assert places == {"libc.musl-x86_64.so.1": Place.POLICY, "libffi.so.8": Place.OUTSIDE}


def test_a_machine_that_nobody_knows_has_no_policy(tmp_path: Path) -> None:
    files = {"demo.libs/libffi-1a2b3c4d.so.8.1.2": arm_object(), f"{INFO}/sboms/auditwheel.cdx.json": sbom(component())}

    found = examine(made(tmp_path, files, filename="demo-1.0-py3-none-linux_pdp11.whl"))

    assert (found.portability.arch, found.portability.policy) == ("", "")
    assert [item.package for item in found.grafted] == [""]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("sound")
    files = {
        EXTENSION: shared_object(folder / "so", source=COPIES, flags=GUARDED),
        "demo.libs/libffi-1a2b3c4d.so.8.1.2": arm_object(),
        f"{INFO}/sboms/auditwheel.cdx.json": sbom(component()),
    }
    return made(folder, files).read_bytes()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=6)), min_size=1, max_size=5),
)
def test_mutated_wheels_are_examined_or_refused(sound: bytes, changes: list[tuple[int, bytes]]) -> None:
    mutated = bytearray(sound)
    for offset, new in changes:
        at = offset % len(mutated)
        mutated[at : at + len(new)] = new
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NATIVE
        path.write_bytes(mutated)
        with suppress(WheelRejectedError):
            json.dumps(examine(path).to_json())


def test_the_reference_names_every_key_of_the_shape() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "anatomy.md").read_text()
    shapes = (
        *(Anatomy, anatomy.Portability, anatomy.Licenses, anatomy.GraftedLibrary, anatomy.MemberGroup),
        *(CompiledFile, anatomy.Library, anatomy.Hardening, grafted.Package),
    )

    for shape in shapes:
        for key in fields(shape):
            assert f"`{key.name}`" in page, key.name
    for closed in (Kind, Place, Relro, Kept):
        for item in closed:
            assert f"`{item}`" in page, item
    assert f"| `format` | {anatomy.FORMAT};" in page
