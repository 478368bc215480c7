"""``wheelfarm check-tags``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from schema.platforms import this_machine
from tests.schema.wheels import forge

Call = Callable[..., Any]

NAME = "demo/_c.cpython-311-x86_64-linux-gnu.so"
LIBC = {"libc.so.6": "GLIBC_2.17"}


def wheel(folder: Path, tags: str, files: Mapping[str, bytes] | None = None, *, said: str | None = None) -> Path:
    """A wheel with *tags* in its name, and *said*, or the same, in WHEEL."""
    inside = forge.members(said or tags, purelib=not files) | dict(files or {})
    return forge.write(folder, inside, filename=f"demo-1.0-{tags}.whl")


def compiled(folder: Path, platform: str, needs: Mapping[str, str] = LIBC, *, name: str = NAME) -> Path:
    return wheel(folder, f"cp311-cp311-{platform}", {name: forge.versioned_object(needs=needs)})


def faults(called: Any) -> list[tuple[str, str, str]]:
    return [(item["status"], item["text"], item["advice"]) for row in called.json["wheels"] for item in row["faults"]]


def test_where_every_tag_is_portable_and_true_only_the_number_is_told(wheelfarm: Call, tmp_path: Path) -> None:
    wheel(tmp_path, "py3-none-any")
    compiled(tmp_path, "manylinux_2_17_x86_64")
    musl = {"libc.musl-x86_64.so.1": ""}
    compiled(tmp_path, "musllinux_1_2_x86_64", musl, name="demo/_c.cpython-311-x86_64-linux-musl.so")
    wheel(tmp_path, "cp311-cp311-win_amd64")
    wheel(tmp_path, "cp311-cp311-macosx_11_0_arm64")
    (tmp_path / "demo-1.0.tar.gz").write_bytes(b"no wheel")

    called = wheelfarm("check-tags", tmp_path)

    assert (called.code, called.out, called.err) == (0, "5 wheels: 5 portable\n", "")


def test_each_wheel_that_is_not_fine_has_a_line_with_the_reason_and_what_to_do(wheelfarm: Call, tmp_path: Path) -> None:
    wheel(tmp_path, "py3-none-any")
    path = compiled(tmp_path, "linux_x86_64", {"libc.so.6": "GLIBC_2.34"})

    called = wheelfarm("check-tags", tmp_path)

    assert called.code == 1, called.err
    head, line, *rest = called.out.splitlines()
    assert head.split("  ")[0] == "WHEEL"
    assert line.split("  ") == [
        path.name,
        "not-portable",
        (
            "linux_x86_64 does not say which systems will do: it needs glibc 2.34, "
            "and keeps manylinux_2_34_x86_64 as it is"
        ),
        "`auditwheel repair` it: that tags it so",
    ]
    assert rest == [
        "",
        "Or a farm builds them from source: wheelfarm request demo==1.0",
        "2 wheels: 1 portable, 1 not-portable",
    ]


@pytest.mark.parametrize(
    ("platform", "needs", "text", "advice"),
    [
        (
            "linux_x86_64",
            {"libc.so.6": "GLIBC_2.28", "libpq.so.5": "RHPG_9.6"},
            "it needs glibc 2.28; it links libpq.so.5, outside every policy",
            "where libpq.so.5 is installed: manylinux_2_28_x86_64 at best",
        ),
        (
            "linux_x86_64",
            {"libc.so.6": "GLIBC_2.5", "libexpat.so.1": "", "libpq.so.5": ""},
            "links libpq.so.5, outside every policy; it links libexpat.so.1, outside manylinux_2_5_x86_64",
            "where libexpat.so.1, libpq.so.5 is installed: manylinux_2_5_x86_64 at best",
        ),
        (
            "linux_x86_64",
            {"libc.so.6": "GLIBC_2.99"},
            "it needs glibc 2.99; GLIBC_2.99 is newer than every policy",
            "build it on an older distribution, or in a manylinux image",
        ),
        ("linux_x86_64", {"libc.so.6": ""}, "no versioned symbol of glibc, and keeps manylinux_2_5_x86_64", "tags it"),
        ("linux_x86_64", {"libc.musl-x86_64.so.1": ""}, "linked to musl's C library", "on Alpine, for a musllinux tag"),
        ("freebsd_14_amd64", LIBC, "freebsd_14_amd64 is no portable tag", "allow the tag by naming it"),
        ("manylinux3000_x86_64", LIBC, "manylinux3000_x86_64 is no portable tag", "`wheel tags`"),
        ("manylinux_2_17_x86_64.linux_x86_64", LIBC, "linux_x86_64 does not say", "tags it so"),
    ],
)
def test_a_wheel_without_a_portable_tag_is_told_what_it_could_be(
    wheelfarm: Call, tmp_path: Path, *, platform: str, needs: dict[str, str], text: str, advice: str
) -> None:
    compiled(tmp_path, platform, needs)

    called = wheelfarm("check-tags", tmp_path, "--json")

    assert called.code == 1, called.err
    ((status, told, todo),) = faults(called)
    assert status == "not-portable"
    assert text in told
    assert advice in todo


def test_a_wheel_with_object_files_only_is_not_portable_either(wheelfarm: Call, tmp_path: Path) -> None:
    wheel(tmp_path, "py3-none-linux_x86_64", {"demo/crt.o": forge.versioned_object(needs={}, kind=1)})

    ((status, text, advice),) = faults(wheelfarm("check-tags", tmp_path, "--json"))

    assert (status, advice) == (
        "not-portable",
        "if that is as it should be, allow the tag by naming it after the folder",
    )
    assert text.endswith("nothing in it is a program or a library")
    assert wheelfarm("check-tags", tmp_path, "linux_x86_64").code == 0


def test_where_an_architecture_has_no_policy_allowing_its_tag_is_the_way(wheelfarm: Call, tmp_path: Path) -> None:
    wheel(tmp_path, "cp311-cp311-linux_armv6l", {"demo/_c.so": forge.arm_object(attributes={6: 6})})

    ((status, text, advice),) = faults(wheelfarm("check-tags", tmp_path, "--json"))

    assert (status, text.rpartition("; ")[2]) == ("not-portable", "no policy is for armv6l")
    assert advice == "allow it if all machines run one release: linux_armv6l"
    assert wheelfarm("check-tags", tmp_path, "linux_armv6l").code == 0


@pytest.mark.parametrize(
    ("tags", "files", "text", "advice"),
    [
        (
            "cp311-cp311-manylinux_2_17_x86_64",
            {NAME: {"libc.so.6": "GLIBC_2.34"}},
            f"A-13: beyond manylinux_2_17_x86_64: {NAME!r}: needs GLIBC_2.34 of libc.so.6",
            "build it where glibc is 2.17 or older, or tag it manylinux_2_34_x86_64, which it keeps",
        ),
        (
            "cp311-cp311-manylinux_2_17_x86_64",
            {NAME: {"libodbc.so.2": ""}},
            (
                f"A-13: beyond manylinux_2_17_x86_64: {NAME!r}: "
                "needs libodbc.so.2, which is neither in the wheel nor on every such system"
            ),
            "`auditwheel repair` it where that library is installed: it takes it into the wheel",
        ),
        ("cp311-cp311-manylinux_2_17_x86_64", {}, "A-13: reduced build: ", "tag it none-any"),
        ("cp311-cp311-linux_x86_64", {}, "A-13: reduced build: ", "tag it none-any"),
        ("py3-none-any", {"demo/tool": LIBC}, "A-15: tagged for any platform, but 'demo/tool' is compiled", "repair"),
        ("cp311-cp311-manylinux_2_17_aarch64", {"demo/_c.so": LIBC}, "not for aarch64", "build it on such a machine"),
        ("cp310-cp310-manylinux_2_17_x86_64", {NAME: LIBC}, "does not fit the ABI tags cp310-cp310", "interpreter"),
        ("cp311-cp311-musllinux_1_2_x86_64", {NAME: LIBC}, "beyond musllinux_1_2_x86_64", "on Alpine"),
        ("py3-none-manylinux_2_17_mips", {"demo/_c.so": LIBC}, "no policy says what manylinux_2_17_mips", "repair"),
    ],
)
def test_a_tag_that_promises_more_than_the_files_keep_is_untrue(
    wheelfarm: Call, tmp_path: Path, *, tags: str, files: dict[str, dict[str, str]], text: str, advice: str
) -> None:
    """A-13, A-14, A-15."""
    wheel(tmp_path, tags, {name: forge.versioned_object(needs=needs) for name, needs in files.items()})

    called = wheelfarm("check-tags", tmp_path, "--json")

    assert (called.code, called.json["summary"]) == (1, "1 wheel: 1 untrue"), called.err
    ((status, told, todo),) = faults(called)
    assert status == "untrue"
    assert text in told
    assert advice in todo


def test_the_tags_inside_are_those_of_the_name(wheelfarm: Call, tmp_path: Path) -> None:
    """A-03: a wheel that was only renamed."""
    file = {NAME: forge.versioned_object(needs=LIBC)}
    wheel(tmp_path, "cp311-cp311-manylinux_2_17_x86_64", file, said="cp311-cp311-linux_x86_64")

    ((status, text, advice),) = faults(wheelfarm("check-tags", tmp_path, "--json"))

    assert (status, text) == (
        "untrue",
        ("A-03: WHEEL's tags are cp311-cp311-linux_x86_64, the file name's are cp311-cp311-manylinux_2_17_x86_64"),
    )
    assert advice == "build it again, or give it back the name that it was built with"


def test_a_malformed_compiled_file_is_told(wheelfarm: Call, tmp_path: Path) -> None:
    wheel(tmp_path, "cp311-cp311-manylinux_2_17_x86_64", {NAME: b"\x7fELF and no more"})

    ((status, text, advice),) = faults(wheelfarm("check-tags", tmp_path, "--json"))

    assert (status, advice) == ("untrue", "get or build it again: the file is damaged")
    assert f"{NAME!r} is a malformed ELF file" in text


def test_files_that_cannot_be_read_as_wheels_are_told_and_the_others_still_checked(
    wheelfarm: Call, tmp_path: Path
) -> None:
    """A-01, A-02, A-03, A-05: hostile bytes end in a sentence."""
    whole = wheel(tmp_path, "py3-none-any")
    (tmp_path / "cut-1.0-py3-none-any.whl").write_bytes(whole.read_bytes()[:-40])
    (tmp_path / "empty-1.0-py3-none-any.whl").write_bytes(b"")
    (tmp_path / "folder-1.0-py3-none-any.whl").mkdir()
    (tmp_path / "link-1.0-py3-none-any.whl").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe-1.0-py3-none-any.whl")
    (tmp_path / "misnamed.whl").write_bytes(whole.read_bytes())
    forge.write(tmp_path, forge.members(WHEEL=None), filename="headless-1.0-py3-none-any.whl")
    forge.write(tmp_path, forge.members(WHEEL=b"\xff"), filename="mangled-1.0-py3-none-any.whl")
    forge.write(tmp_path, {"demo.py": b""}, filename="zip-1.0-py3-none-any.whl", info="demo")

    called = wheelfarm("check-tags", tmp_path, "--json")

    assert called.code == 1
    assert called.json["summary"] == "10 wheels: 1 portable, 9 unreadable"
    told = {row["file"].partition("-")[0]: row["faults"][0]["text"] for row in called.json["wheels"] if row["faults"]}
    assert told["misnamed.whl"].startswith("A-01: 'misnamed.whl' is not a wheel's file name")
    assert told["headless"] == "A-02: demo-1.0.dist-info/WHEEL is missing"
    assert told["mangled"] == "A-03: WHEEL is not UTF-8"
    assert told["zip"].startswith("A-02: the wheel has 0 .dist-info folders")
    assert told["cut"].startswith("A-05: ")
    assert told["empty"].startswith("A-05: ")
    assert {told[name] for name in ("folder", "link", "pipe")} == {"A-05: not a file, or a link that leads nowhere"}
    assert all(row["faults"][0]["advice"] for row in called.json["wheels"] if row["faults"])


def test_what_a_terminal_would_obey_is_shown_instead(wheelfarm: Call, tmp_path: Path) -> None:
    """T26."""
    (tmp_path / "\x1b[2Jdemo-1.0-py3-none-any.whl").write_bytes(b"")

    called = wheelfarm("check-tags", tmp_path)

    assert called.code == 1
    assert "\x1b" not in called.out
    assert "␛[2Jdemo-1.0-py3-none-any.whl" in called.out


@pytest.mark.parametrize("allowed", ["linux_x86_64", "linux_*", "debian12-x86_64", "debian1[23]-*"])
def test_an_allowed_tag_is_fine(wheelfarm: Call, tmp_path: Path, allowed: str) -> None:
    compiled(tmp_path, "linux_x86_64", {"libc.so.6": "GLIBC_2.36", "libpq.so.5": ""})

    called = wheelfarm("check-tags", tmp_path, "linux_armv7l", allowed)

    assert (called.code, called.out, called.err) == (0, "1 wheel: 1 allowed\n", "")
    assert wheelfarm("check-tags", tmp_path, "linux_armv7l").code == 1


def test_a_wheel_that_is_allowed_for_a_release_must_run_there(wheelfarm: Call, tmp_path: Path) -> None:
    """A-13."""
    compiled(tmp_path, "linux_x86_64", {"libc.so.6": "GLIBC_2.38"})

    called = wheelfarm("check-tags", tmp_path, "debian12-*", "--json")

    assert called.code == 1
    assert faults(called) == [
        ("untrue", f"A-13: {NAME!r}: needs GLIBC_2.38, but Debian 12 has 2.36", "build it on Debian 12 or older")
    ]
    assert wheelfarm("check-tags", tmp_path, "debian12-*", "debian13-x86_64").code == 0
    assert wheelfarm("check-tags", tmp_path, "debian12-*", "linux_x86_64").code == 0


def test_what_an_allowed_tag_says_of_the_files_is_still_checked(wheelfarm: Call, tmp_path: Path) -> None:
    wheel(tmp_path, "cp311-cp311-linux_aarch64", {"demo/_c.so": forge.versioned_object(needs=LIBC)})

    ((status, text, _),) = faults(wheelfarm("check-tags", tmp_path, "linux_*", "--json"))

    assert (status, "not for aarch64" in text) == ("untrue", True)


def test_a_pattern_of_portable_tags_is_told_to_allow_nothing_more(wheelfarm: Call, tmp_path: Path) -> None:
    wheel(tmp_path, "py3-none-any")

    called = wheelfarm("check-tags", tmp_path, "manylinux_2_3*_x86_64")

    assert (called.code, called.out) == (0, "1 wheel: 1 portable\n")
    assert called.err == "manylinux_2_3*_x86_64: portable in any case; it allows nothing more\n"


def test_a_library_that_something_else_brings_is_no_fault(wheelfarm: Call, tmp_path: Path) -> None:
    compiled(tmp_path, "manylinux_2_17_x86_64", {**LIBC, "libcuda.so.1": ""})

    assert wheelfarm("check-tags", tmp_path).code == 1
    assert wheelfarm("check-tags", tmp_path, "--exclude", "libcuda.so.*").code == 0


def test_json_tells_how_the_files_stand_to_each_policy(wheelfarm: Call, tmp_path: Path) -> None:
    path = compiled(tmp_path, "linux_x86_64", {"libc.so.6": "GLIBC_2.28", "libexpat.so.1": "", "libpq.so.5": ""})

    called = wheelfarm("check-tags", tmp_path, "--exclude", "libpq.so.5", "--json")

    (row,) = called.json["wheels"]
    policies = {item["tag"]: (item["libraries"], item["symbols"]) for item in row.pop("policies")}
    assert policies["manylinux_2_5_x86_64"] == (["libexpat.so.1"], ["GLIBC_2.28"])
    assert policies["manylinux_2_27_x86_64"] == ([], ["GLIBC_2.28"])
    assert policies["manylinux_2_28_x86_64"] == ([], [])
    assert [len(row.pop("faults"))] == [1]
    assert row == {
        "file": path.name,
        "status": "not-portable",
        "requirement": "demo==1.0",
        "platforms": ["linux_x86_64"],
        "glibc": "2.28",
        "keeps": "manylinux_2_28_x86_64",
        "after_repair": "manylinux_2_28_x86_64",
    }
    assert set(called.json) == {"summary", "wheels"}


def test_a_folder_without_wheels_is_an_error(wheelfarm: Call, tmp_path: Path) -> None:
    wheel(tmp_path / "inside", "py3-none-any")

    called = wheelfarm("check-tags", tmp_path)

    assert (called.code, called.out) == (2, "")
    assert called.err == (
        f"wheelfarm: {tmp_path}: no wheel is in it (is it the right folder? Folders inside it are not searched)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{folder}/nowhere"], "does not exist"),
        (["{folder}/demo-1.0-py3-none-any.whl"], "is a file"),
        ([], "Missing argument 'DIR'"),
        (["{folder}", "linux_arm7l"], "not a platform tag, nor a pattern of any: 'linux_arm7l' (it is none"),
        (["{folder}", "debian9-*"], "distributions: debian11, "),
        (["{folder}", "cp311-cp311-linux_armv7l"], "such as linux_armv7l"),
    ],
)
def test_bad_input_is_refused_with_what_to_try(
    wheelfarm: Call, tmp_path: Path, arguments: list[str], said: str
) -> None:
    wheel(tmp_path, "py3-none-any")

    called = wheelfarm("check-tags", *(text.format(folder=tmp_path) for text in arguments))

    assert (called.code, called.out) == (2, "")
    assert said in called.err


def test_no_farm_no_settings_and_no_network_are_needed(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "py3-none-any")
    (tmp_path / "farm.toml").write_text("this is not TOML")

    called = subprocess.run(
        [sys.executable, "-m", "master.cli", "check-tags", "wheels"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[3]), "HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )

    assert (called.returncode, called.stdout, called.stderr) == (0, "1 wheel: 1 portable\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["farm.toml", "wheels"]


@pytest.mark.slow
def test_real_wheels_of_many_kinds_keep_what_their_tags_promise(wheelfarm: Call, tmp_path: Path) -> None:
    fetch(tmp_path, "--python-version", "3.11", "--platform", "manylinux2014_x86_64", "click", "markupsafe", "cffi")
    fetch(tmp_path, "--python-version", "3.11", "--platform", "musllinux_1_2_x86_64", "markupsafe")
    fetch(tmp_path, "--python-version", "3.11", "--platform", "win_amd64", "markupsafe")
    fetch(tmp_path, "--python-version", "3.12", "--platform", "manylinux2014_aarch64", "markupsafe")
    fetch(tmp_path, *("--python-version", "3.7", "--abi", "cp37m", "--platform", "manylinux2014_x86_64", "cffi"))

    called = wheelfarm("check-tags", tmp_path)

    assert (called.code, called.out) == (0, "7 wheels: 7 portable\n"), called.err


@pytest.mark.slow
@pytest.mark.skipif(this_machine() != "x86_64", reason="auditwheel knows the policies of the machine that it runs on")
def test_the_policy_that_real_wheels_keep_is_the_one_that_auditwheel_finds(wheelfarm: Call, tmp_path: Path) -> None:
    projects = ["cffi", "cryptography", "lxml", "markupsafe", "psycopg2-binary", "pyyaml"]
    newest = ("--platform", "manylinux_2_34_x86_64", "--platform", "manylinux_2_28_x86_64")
    fetch(tmp_path, "--python-version", "3.11", *newest, "--platform", "manylinux2014_x86_64", *projects)

    rows = wheelfarm("check-tags", tmp_path, "--json").json["wheels"]

    theirs = {row["file"]: auditwheel(tmp_path / row["file"]) for row in rows}
    assert len(theirs) == len(projects)
    assert {row["file"]: row["keeps"] for row in rows} == theirs


def auditwheel(path: Path) -> str:
    """The platform tag that ``auditwheel show`` finds a wheel consistent with."""
    shown = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", path],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    ).stdout
    (tag,) = re.findall(r'following\s+platform\s+tag:\s+"(\w+)"', shown)
    return str(tag)


@pytest.mark.slow
def test_a_real_wheel_under_a_name_that_promises_more_is_told(wheelfarm: Call, tmp_path: Path) -> None:
    fetch(tmp_path, "--python-version", "3.11", "--platform", "manylinux2014_x86_64", "cffi")
    (path,) = tmp_path.glob("*.whl")
    stem = path.name.split("-cp311-")[0]
    path.rename(tmp_path / f"{stem}-cp311-cp311-manylinux1_x86_64.whl")

    told = [(status, text) for status, text, _ in faults(wheelfarm("check-tags", tmp_path, "--json"))]

    assert ("untrue", True) in [(status, text.startswith("A-03: WHEEL's tags are ")) for status, text in told]
    assert ("untrue", True) in [(status, "beyond manylinux1_x86_64: " in text) for status, text in told]


def fetch(folder: Path, *arguments: str) -> None:
    """Wheels from the index that pip is set to use; wheels only, so nothing of theirs is run."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--only-binary", ":all:", "--implementation", "cp", "--dest", str(folder), *arguments),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
