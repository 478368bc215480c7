"""A-06, A-07, A-08: METADATA."""

from __future__ import annotations

import time

import pytest

from schema.wheels import metadata
from tests.schema.wheels import forge


def faults(data: bytes) -> list[str]:
    told, found = metadata.read(data)
    assert (told is None) == bool(found)
    assert {finding.rule for finding in found} <= {"A-06"}
    return [finding.text for finding in found]


@pytest.mark.parametrize("version", metadata.VERSIONS)
def test_every_version_from_1_0_to_2_6_is_read(version: str) -> None:
    told, found = metadata.read(forge.metadata(metadata_version=version))

    assert (found, told and told.metadata_version) == ([], version)


def test_what_decides_an_installation_is_read() -> None:
    told, _ = metadata.read(
        forge.metadata(
            "Zope.Interface",
            "1.0-Beta2",
            "Requires-Python: >=3.8,\n        !=3.9.*",
            "Requires-Dist: foo (>=1.0) ; extra == 'x'",
            "Requires-Dist: Bar",
        )
    )

    assert told is not None
    assert (told.name, str(told.version)) == ("zope-interface", "1.0b2")
    assert told.requires_python == ">=3.8, !=3.9.*"
    assert told.requires_dist == ('foo>=1.0; extra == "x"', "Bar")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "Metadata-Version is ''"),
        (forge.metadata(metadata_version="3.0"), "Metadata-Version is '3.0'"),
        (forge.metadata(""), "Name is ''"),
        (forge.metadata("../evil"), "Name is '../evil'"),
        (forge.metadata("démo"), "Name is"),
        (forge.metadata("demo", "latest"), "Version is 'latest'"),
        (forge.metadata("demo", ""), "Version is ''"),
        (forge.metadata("demo", "1" * 5000), "Version is '111"),
        (forge.metadata("demo", "1.0", "Name: other"), "name: there twice"),
        (forge.metadata("demo", "1.0", "Version: 2.0"), "version: there twice"),
        (forge.metadata("demo", "1.0", "Requires-Python: >=3", "Requires-Python: >=4"), "requires-python: there twice"),
        (forge.metadata("demo", "1.0", "Requires-Python: three"), "Requires-Python is 'three'"),
        (forge.metadata("demo", "1.0", "Requires-Dist: foo bar"), "Requires-Dist is 'foo bar'"),
        (forge.metadata("demo", "1.0", "Requires-Dist: a; " + "(" * 5000), "Requires-Dist is 'a; ((("),
        (forge.metadata("demo", "1.0", "Requires-Dist: foo @ https://evil.example/foo.whl"), "names a URL"),
        (forge.metadata("demo", "1.0", "Summary: caf") + b"\xe9", "is not UTF-8"),
        (b"Metadata-Version: 2.1\nName: demo\noops\nVersion: 1.0\n", "Version is ''"),
        (bytes(metadata.MAX_BYTES + 1), "at most"),
    ],
)
def test_a_field_that_decides_an_installation_must_be_right(data: bytes, text: str) -> None:
    assert any(text in fault for fault in faults(data)), faults(data)


def test_all_faults_are_told_at_once() -> None:
    assert len(faults(forge.metadata("-", "x", "Requires-Dist: !", metadata_version="9"))) == 4


@pytest.mark.parametrize(
    "line",
    ["License-File: LICENSE", "Description-Content-Type: text/weird", "X-Own-Field: 1", "Home-page: a", "Home-page: b"],
)
def test_what_no_installer_minds_is_no_finding(line: str) -> None:
    assert faults(forge.metadata("demo", "1.0", line, "Home-page: c", "Provides-Extra: _x_")) == []


def test_what_a_validator_would_say_is_a_note() -> None:
    told, _ = metadata.read(forge.metadata("demo", "1.0", "Description-Content-Type: text/weird"))

    assert told is not None
    assert any("text/weird" in note for note in told.notes)


@pytest.mark.parametrize(
    "data",
    [
        b"".join(b"f%d: x\n" % number for number in range(200_000)),
        b"Classifier: x\n" * 280_000,
        b"Name: x\n" + b" folded\n" * 400_000,
    ],
)
def test_a_header_made_to_take_hours_is_refused_at_once(data: bytes) -> None:
    begun = time.monotonic()

    assert faults(data)
    assert time.monotonic() - begun < 3


def test_a_licence_file_must_be_there_from_metadata_2_4_on() -> None:
    lines = ("License-File: LICENSE", "License-File: vendor/NOTICE")
    names = ["d.dist-info/METADATA", "d.dist-info/licenses/LICENSE"]
    new, _ = metadata.read(forge.metadata("demo", "1.0", *lines, metadata_version="2.4"))
    old, _ = metadata.read(forge.metadata("demo", "1.0", *lines, metadata_version="2.3"))
    assert new is not None
    assert old is not None

    (found,) = metadata.license_findings(new, "d.dist-info", names)

    assert str(found) == "A-08: License-File 'vendor/NOTICE' is not in d.dist-info/licenses/"
    assert list(metadata.license_findings(new, "d.dist-info", [*names, "d.dist-info/licenses/vendor/NOTICE"])) == []
    assert list(metadata.license_findings(old, "d.dist-info", names)) == []


def test_a_field_that_the_sdist_does_not_call_dynamic_must_stay_as_it_was() -> None:
    sdist = forge.metadata(
        "demo", "1.0", "Dynamic: Requires-Dist", "Requires-Python: >=3", "Classifier: a", metadata_version="2.2"
    )
    wheel = forge.metadata(
        "demo", "1.0", "Requires-Dist: foo", "Requires-Python: >=3.8", "Classifier: a", metadata_version="2.2"
    )

    assert metadata.differences(sdist, wheel) == (
        "requires-python differs from the sdist's, which does not call it dynamic",
    )
    assert metadata.differences(sdist, sdist) == ()


def test_an_sdist_of_older_metadata_promises_nothing() -> None:
    assert metadata.differences(forge.metadata(), forge.metadata("demo", "1.0", "Summary: new")) == ()


def test_a_dynamic_field_of_several_values_may_only_grow_from_2_6_on() -> None:
    sdist = forge.metadata("demo", "1.0", "Dynamic: Requires-Dist", "Requires-Dist: foo", metadata_version="2.6")
    grown = forge.metadata("demo", "1.0", "Requires-Dist: foo", "Requires-Dist: bar", metadata_version="2.6")
    changed = forge.metadata("demo", "1.0", "Requires-Dist: bar", metadata_version="2.6")

    assert metadata.differences(sdist, grown) == ()
    assert metadata.differences(sdist, changed) == (
        "requires-dist lacks values of the sdist's, to which it may only add",
    )


def test_metadata_that_cannot_be_compared_is_a_difference_too() -> None:
    assert metadata.differences(b"Name: a\nName: b\n", forge.metadata())[0].startswith("cannot be compared")
