from __future__ import annotations

import pytest

from schema import names
from schema.errors import UsageError

NAUGHTY = ["", " ", "-a", "a-", "a/b", "../a", "a b", "a\n", "é", "a;b", "$(id)", "a" * 10 + "\0"]


@pytest.mark.parametrize("text", NAUGHTY)
def test_what_is_no_project_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a project name"):
        names.project_name(text)


def test_a_project_name_is_normalised() -> None:
    assert names.project_name("PyNaCl._x") == "pynacl-x"


@pytest.mark.parametrize("text", [*NAUGHTY, "Upper", "dot.dot", "x" * 64])
def test_what_is_no_node_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a node name"):
        names.node_name(text)


@pytest.mark.parametrize("text", ["", "0" * 63, "G" * 64, "A" * 64, "0" * 64 + "\n"])
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="sha256"):
        names.sha256(text)


def test_a_requirement_by_url_cannot_be_asked_for() -> None:
    with pytest.raises(UsageError, match="by URL"):
        names.requirement("demo @ https://example.org/demo.tar.gz")


@pytest.mark.parametrize(
    ("text", "name", "version"), [("Flask", "flask", None), ("zope.interface==5.0rc1", "zope-interface", "5.0rc1")]
)
def test_a_release_is_a_name_with_or_without_a_version(text: str, name: str, version: str | None) -> None:
    found_name, found_version = names.release(text)

    assert (found_name, str(found_version) if found_version else None) == (name, version)


@pytest.mark.parametrize("text", ["", "-x", "a b", "flask==", "flask==one", "flask=1"])
def test_what_is_no_release_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        names.release(text)


def test_some_builds_are_one_by_its_number_or_those_of_a_release() -> None:
    assert names.some("12") == 12
    assert names.some("flask") == ("flask", None)


@pytest.mark.parametrize("text", ["0", str(2**63), "", "-1"])
def test_what_names_no_builds_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        names.some(text)
