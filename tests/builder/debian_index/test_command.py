"""``wheelfarm-node packages`` tells people what the index knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder import images, toolbox
from builder.cli import farm_node
from builder.images import Image
from schema import door
from tests.builder.debian_index.conftest import Archive

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def node(small_image: Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call ``wheelfarm-node packages`` on a machine that has the small image: exit code, stdout, stderr."""
    for name in toolbox.records(small_image.platform):
        (small_image.tools / name).mkdir(parents=True)
    images.write(small_image)
    (small_image.folder / "bare").mkdir()
    images.write(replace(small_image, folder=small_image.folder / "bare"))
    settings = tmp_path / "farm.toml"
    settings.write_text(
        f'[farm]\nhome = "{tmp_path}/home"\nplatforms = ["debian12-x86_64-cp311"]\n'
        f'[images]\nfolder = "{small_image.folder.parent}"\n'
    )

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            door.run(farm_node, name="wheelfarm-node", arguments=["--settings", str(settings), "packages", *arguments])
        said = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, said.out, said.err

    return call


def test_each_missing_thing_is_answered_with_package_version_file_and_reason(node: Call) -> None:
    code, out, err = node("--header", "lber.h", "--program", "krb5-config", "--pkg-config", "libsystemd")

    assert code == 0
    assert [line.split()[:5] for line in out.splitlines()] == [
        ["ASKED", "PACKAGE", "VERSION", "BY", "WHY"],
        ["header", "lber.h", "libldap-dev", "2.5.13-5", "usr/include/lber.h"],
        ["program", "krb5-config", "libkrb5-dev", "1.20.1-2", "usr/bin/krb5-config"],
        ["pkg-config", "libsystemd", "libsystemd-dev", "252-1", "usr/lib/x86_64-linux-gnu/pkgconfig/libsystemd.pc"],
    ]
    assert "100% done" in err
    assert "Debian 12 (bookworm) for amd64, as its lists were on 20" in err
    assert 'for a recipe: debian_packages = ["libkrb5-dev", "libldap-dev", "libsystemd-dev"]' in err


@pytest.mark.parametrize(
    ("word", "meaning", "package"),
    [
        ("lber.h", "the header lber.h", "libldap-dev"),
        ("krb5-config", "the program krb5-config", "libkrb5-dev"),
        ("libsystemd.pc", "the pkg-config module libsystemd", "libsystemd-dev"),
        ("libcurl.so.4", "the library curl", "libcurl4-gnutls-dev"),
        ("systemd", "a library or program of that name", "libsystemd-dev"),
    ],
)
def test_a_word_is_taken_for_what_it_looks_like_and_that_is_said(
    node: Call, word: str, meaning: str, package: str
) -> None:
    code, out, err = node(word)

    assert (code, f"{word}: taken for {meaning}\n" in err) == (0, True)
    assert package in out


def test_what_debian_builds_a_project_with_is_told_with_what_is_left_out_and_why(node: Call) -> None:
    code, out, err = node("--project", "PyCurl")

    assert code == 0
    assert "libcurl-ssl-dev | libcurl-dev" in out
    assert "neither a library nor a tool that builds call" in out
    assert 'debian_packages = ["libcurl4-openssl-dev", "libldap-dev", "zlib1g-dev"]' in err


def test_the_answer_is_no_where_nothing_brings_one_of_them(node: Call) -> None:
    code, out, _ = node("--header", "lber.h", "--header", "nowhere.h", "--project", "nothing")

    assert code == 1
    assert "libldap-dev" in out
    assert "no package of bookworm ships it" in out
    assert "bookworm does not have it, or builds it with nothing" in out


def test_the_same_in_json(node: Call) -> None:
    code, out, _ = node("--header", "Python.h", "--header", "lber.h", "--project", "python-ldap", "--json")

    told = json.loads(out)
    assert code == 0
    assert (told["index"]["suite"], told["index"]["architecture"]) == ("bookworm", "amd64")
    python, lber = told["missing"]
    assert (python["kind"], python["name"], python["candidates"][0]["package"]) == (
        "header",
        "Python.h",
        "libpython3.11-dev",
    )
    assert set(lber["candidates"][0]) == {"package", "version", "path", "rank", "why"}
    assert told["projects"][0]["version"] == "3.4.3"
    assert [need["asked"] for need in told["projects"][0]["needs"] if need["package"]] == [
        "libldap2-dev",
        "libsasl2-dev",
    ]
    # What the image has already is in no recipe.
    assert told["debian_packages"] == ["libldap-dev", "libldap2-dev", "libsasl2-dev"]


def test_the_lists_are_fetched_once_and_again_where_a_person_asks_for_it(node: Call, archive: Archive) -> None:
    node("lber.h")
    archive.asked.clear()

    node("lber.h")
    assert archive.asked == []

    node("lber.h", "--refresh")
    assert archive.asked != []


def test_an_archive_that_has_no_lists_is_said_with_where_to_look(node: Call, archive: Archive) -> None:
    archive.publish()

    code, out, err = node("lber.h")

    assert (code, out) == (1, "")
    assert "no index of what Debian 12 packages: the image's package sources gave no Contents" in err
    assert "look at the package sources in" in err


@pytest.mark.parametrize("arguments", [["a;b"], ["--header", "longintrepr.h"], ["--project", "not a name"], []])
def test_what_cannot_be_asked_is_said_before_anything_is_fetched(
    node: Call, archive: Archive, arguments: list[str]
) -> None:
    code, out, err = node(*arguments)

    assert (code, out) == (2, "")
    assert "wheelfarm-node: " in err
    assert archive.asked == []
