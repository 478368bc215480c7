from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from schema.attest import statement
from schema.errors import WireError
from schema.jobs import BuildJob, WheelFile
from schema.platforms import Platform
from schema.recipes import MOST_REMEDIES, Recipe, Rule, applicable, combined, remedies
from schema.states import Bundle, FailureClass
from tests import signing

TODAY = date(2026, 11, 27)
VERSION = Version("1.3.0")
PLATFORM = Platform.parse("debian12-x86_64-cp311")
KILLED = (FailureClass.MEMORY, "make check\nFAIL: pwhash_scrypt\n")

WHOLE: dict[str, Any] = {
    "id": "pynacl/system-libsodium",
    "why": "one of its tests asks for 128 TiB",
    "link": "https://notes.example/pynacl",
    "author": "ada",
    "expires": "2027-03-31",
    "versions": ">=1.2,<1.4",
    "platforms": ["debian12-*"],
    "after": ["memory", "build"],
    "log": "pwhash_scrypt",
    "debian_packages": ["libsodium-dev"],
    "environment": {"SODIUM_INSTALL": "system"},
    "config_settings": {"setup-args": "-Dtests=false"},
    "build_constraints": ["cython<3"],
    "jobs": 2,
    "memory": "large",
    "build_requirements": ["numpy"],
    "runtime_packages": ["gir1.2-glib-2.0"],
    "requirements_as_of_upload": True,
    "bundle": "when-missing",
    "test": "import nacl.secret\nnacl.secret.SecretBox(bytes(32))",
    "skip_tests": True,
}


def rule(name: str = "one", **terms: Any) -> Rule:
    return Rule.parse({"id": f"demo/{name}", "why": "it needs it", "environment": {"A": "b"}, **terms})


def names(found: tuple[Rule, ...]) -> list[str]:
    return [item.id.removeprefix("demo/") for item in found]


def from_the_start(*found: Rule, **changed: Any) -> list[str]:
    values: dict[str, Any] = {"version": VERSION, "platform": PLATFORM, "today": TODAY, **changed}
    return names(applicable(found, **values))


def test_a_rule_is_read_whole_and_survives_the_wire() -> None:
    found = Rule.parse(WHOLE)

    assert found.after == (FailureClass.MEMORY, FailureClass.BUILD)
    assert found.expires == date(2027, 3, 31)
    assert Rule.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_job_brings_its_remedies_and_what_its_recipe_was_made_of() -> None:
    found = Rule.parse(WHOLE)
    wire = {**signing.job().to_json(), "recipe": combined([rule()]).to_json(), "remedies": [found.to_json()]}

    job = BuildJob.from_json(json.loads(json.dumps(wire)))

    assert job.remedies == (found,)
    assert job.recipe.rules == ("demo/one",)


def test_a_job_with_too_many_remedies_is_refused() -> None:
    many = [Rule.parse(WHOLE).to_json()] * (MOST_REMEDIES + 1)

    with pytest.raises(WireError, match="at most 20"):
        BuildJob.from_json({**signing.job().to_json(), "remedies": many})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"id": "pynacl"}, "id: must be"),
        ({"id": "pynacl/Upper"}, "id: must be"),
        ({"id": "../pynacl/x"}, "id: must be"),
        ({"id": None}, "id: is missing"),
        ({"why": ""}, "why: is missing"),
        ({"why": 1}, "why: must be a text"),
        ({"why": "two\nlines"}, "why: must be a text of one line"),
        ({"why": "\x1b[31mred"}, "why: must be a text of one line"),
        ({"why": "x" * 1001}, "why: must be a text of one line, at most 1000"),
        ({"link": "http://notes.example/"}, "link: "),
        ({"link": "javascript:alert(1)"}, "link: "),
        ({"link": "https://"}, "link: "),
        ({"link": "https://ada:secret@notes.example/"}, "link: "),
        ({"expires": "soon"}, "expires: 'soon' is not a day"),
        ({"expires": datetime(2027, 1, 1)}, "expires: "),  # noqa: DTZ001 - as TOML gives one
        ({"versions": "1.3"}, "versions: '1.3' is not a range"),
        ({"platforms": "debian12-*"}, "platforms: must be a list"),
        ({"platforms": ["a b"]}, "platforms: 'a b' is not a platform"),
        ({"after": ["bad-weather"]}, "after: 'bad-weather' is not a class of failure; there are"),
        ({"after": "memory"}, "after: must be a list"),
        ({"log": "x" * 201}, "log: must be a text of one line, at most 200"),
        ({"log": "two\nlines"}, "log: must be a text of one line"),
        ({"debian_packages": "libffi-dev"}, "debian_packages: must be a list"),
        ({"debian_packages": ["libffi-dev; rm -rf /"]}, "debian_packages: 'libffi-dev; rm -rf /' is not the name of a"),
        ({"debian_packages": ["-o"]}, "debian_packages: '-o' is not"),
        ({"debian_packages": ["libc6-"]}, "debian_packages: 'libc6-' is not"),
        ({"debian_packages": ["Upper"]}, "debian_packages: 'Upper' is not"),
        ({"debian_packages": [1]}, "debian_packages: '1' is not"),
        ({"debian_packages": ["aa"] * 101}, "debian_packages: must be a list of at most 100"),
        ({"environment": ["X=1"]}, "environment: must be a table"),
        ({"environment": {"X": 1}}, "environment: X: must be a text"),
        ({"environment": {"A B": "x"}}, "environment: 'A B' is not a variable"),
        ({"environment": {"A": "\0"}}, "environment: A: must be a text"),
        ({"environment": {"A": "x" * 4097}}, "environment: A: must be a text"),
        ({"environment": {"CFLAGS": "-O0"}}, "environment: 'CFLAGS' is not a variable that a recipe may set"),
        ({"environment": {"LD_PRELOAD": "/opt/x.so"}}, "environment: 'LD_PRELOAD'"),
        ({"environment": {"PATH": "/opt"}}, "environment: 'PATH'"),
        ({"environment": {"PYTHONPATH": "/opt"}}, "environment: 'PYTHONPATH'"),
        ({"environment": {"_PYTHON_HOST_PLATFORM": "x"}}, "environment: '_PYTHON_HOST_PLATFORM'"),
        ({"config_settings": {"x": True}}, "config_settings: x: must be a text"),
        ({"config_settings": {"": "x"}}, "config_settings: '' is not the name"),
        ({"build_constraints": ["cython <<3"]}, "build_constraints: 'cython <<3' is not a requirement"),
        ({"build_constraints": ["cython @ https://x.example/"]}, "build_constraints: "),
        ({"jobs": 0}, "jobs: must be a whole number from 1 to 64"),
        ({"jobs": 65}, "jobs: must be a whole number from 1 to 64"),
        ({"jobs": True}, "jobs: must be a whole number from 1 to 64"),
        ({"memory": "enormous"}, "memory: 'enormous' is not a size; there are small, medium"),
        ({"memory": 3}, "memory: '3' is not a size"),
        ({"bundle": "sometimes"}, "bundle: 'sometimes' is not one of always, never, when-missing"),
        ({"bundle": ["never"]}, "bundle: \"['never']\" is not one of always, never, when-missing"),
        ({"test": ["python", "-m", "nacl"]}, "test: must be Python, at most 4000 characters"),
        ({"test": " \n"}, "test: must be Python"),
        ({"test": "x" * 4001}, "test: must be Python"),
        ({"test": "import nacl \u202e"}, "test: must be Python"),
        ({"test": "import nacl\0"}, "test: must be Python"),
        ({"skip_tests": "yes"}, "skip_tests: must be true or false"),
        ({"build_instead": "the one before"}, "build_instead: 'the one before' is not a version"),
    ],
)
def test_a_faulty_key_is_named_with_what_is_allowed(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        Rule.parse({**WHOLE, **changed})


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"environment": {}}, "id: the rule does nothing"),
        ({"environment": {}, "do_not_build": False}, "id: the rule does nothing"),
        ({"log": "killed"}, "log: there is no log before the first attempt"),
        ({"do_not_build": True}, "do_not_build: contradicts environment"),
        ({"use_upstream_wheel": True, "jobs": 1}, "use_upstream_wheel: contradicts environment, jobs"),
        (
            {"environment": {}, "use_upstream_wheel": True, "do_not_build": True},
            "do_not_build: contradicts use_upstream",
        ),
        ({"environment": {}, "do_not_build": True, "after": ["build"]}, "do_not_build: is decided before"),
        ({"environment": {}, "use_upstream_wheel": True, "after": ["build"]}, "use_upstream_wheel: is decided before"),
        ({"environment": {}, "debian_packages": ["gcc"], "skip_tests": True}, "skip_tests: is only a note"),
        ({"environment": {}, "build_instead": "1.1"}, "build_instead: say after which failures"),
        ({"build_instead": "1.1", "after": ["build"]}, "build_instead: environment would be for the other version"),
        (
            {"environment": {}, "build_instead": "1.1", "versions": "<2", "after": ["build"]},
            "build_instead: 1.1 is itself among the versions <2",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(terms: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        rule(**terms)


def test_a_hostile_rule_off_the_wire_is_a_wire_error() -> None:
    with pytest.raises(WireError, match="environment"):
        Rule.from_json({**WHOLE, "environment": {"LD_PRELOAD": "/opt/x.so"}})


def test_a_hostile_recipe_off_the_wire_is_a_wire_error() -> None:
    for bad in ({"debian_packages": ["-oDir::Etc=/tmp"]}, {"environment": {"PATH": "/opt"}}, {"rules": ["../x"]}):
        with pytest.raises(WireError):
            Recipe.from_json(bad)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(key=st.sampled_from(sorted(WHOLE)), value=_JSON)
def test_whatever_a_rule_off_the_wire_holds_it_is_a_rule_or_a_wire_error(key: str, value: Any) -> None:
    with suppress(WireError):
        Rule.from_json({**WHOLE, key: value})


@pytest.mark.parametrize(
    ("terms", "holds"),
    [
        ({}, True),
        ({"versions": ">=1.2,<1.4"}, True),
        ({"versions": "<1.3"}, False),
        ({"platforms": ["debian12-*"]}, True),
        ({"platforms": ["*-x86_64-*"]}, True),
        ({"platforms": ["*-aarch64-*", "debian13-*"]}, False),
        ({"platforms": ["debian12-x86_64-cp311"]}, True),
        ({"expires": "2026-11-27"}, True),
        ({"expires": "2026-11-26"}, False),
        ({"after": ["memory"]}, False),
    ],
)
def test_a_rule_holds_for_its_versions_platforms_and_until_it_expires(terms: dict[str, Any], *, holds: bool) -> None:
    assert (from_the_start(rule(**terms)) == ["one"]) is holds


def test_a_rule_for_a_range_holds_for_its_pre_releases_too() -> None:
    assert from_the_start(rule(versions=">=2.0a1"), version=Version("2.0b1")) == ["one"]


@pytest.mark.parametrize(
    ("terms", "holds"),
    [
        ({"after": ["memory"]}, True),
        ({"after": ["memory"], "log": "pwhash_scrypt"}, True),
        ({"after": ["memory"], "log": "pwhash_argon"}, False),
        ({"after": ["memory"], "log": ".*"}, False),
        ({"after": ["build"]}, False),
        ({"after": ["memory"], "expires": "2026-11-26"}, False),
    ],
)
def test_a_rule_holds_after_the_failures_that_it_names(terms: dict[str, Any], *, holds: bool) -> None:
    assert (from_the_start(rule(**terms), failures=[KILLED]) == ["one"]) is holds


def test_class_and_log_must_be_of_the_same_failure() -> None:
    apart = [(FailureClass.MEMORY, "killed"), (FailureClass.BUILD, "FAIL: pwhash_scrypt")]

    assert from_the_start(rule(after=["memory"], log="pwhash_scrypt"), failures=apart) == []


def test_after_a_failure_what_held_from_the_start_still_holds_and_the_order_stays() -> None:
    found = (rule("b", after=["memory"]), rule("a"), rule("c", after=["memory", "build"]))

    assert from_the_start(*found, failures=[KILLED]) == ["b", "a", "c"]


def test_the_version_that_is_built_instead_is_not_replaced_by_itself() -> None:
    instead = rule(after=["memory"], build_instead="1.1.2", environment={})

    assert from_the_start(instead, failures=[KILLED], version=Version("1.1.2")) == []


def test_what_may_help_after_a_failure_is_told_in_order_and_bounded() -> None:
    found = [rule("start"), *(rule(f"r{number}", after=["build"]) for number in range(MOST_REMEDIES + 5))]

    told = remedies(found, version=VERSION, platform=PLATFORM, today=TODAY)

    assert names(told) == [f"r{number}" for number in range(MOST_REMEDIES)]


def test_what_may_help_is_only_what_fits_the_build() -> None:
    found = [rule("other", after=["build"], versions="<1"), rule("old", after=["build"], expires="2020-01-01")]

    assert remedies(found, version=VERSION, platform=PLATFORM, today=TODAY) == ()


def test_rules_add_up_to_one_recipe() -> None:
    first = rule(
        "one",
        environment={"A": "first", "B": "first"},
        debian_packages=["libffi-dev", "libpq-dev"],
        build_constraints=["cython<3"],
        config_settings={"x": "1"},
        jobs=4,
        memory="huge",
        bundle="never",
        test="import one",
        skip_tests=True,
    )
    second = rule(
        "two",
        environment={"A": "second"},
        debian_packages=["libpq-dev", "libssl-dev"],
        build_constraints=["setuptools<60"],
        jobs=1,
        memory="large",
        bundle="always",
        test="import two",
        build_requirements=["numpy"],
        requirements_as_of_upload=True,
        after=["build"],
    )

    assert combined([first, second]) == Recipe(
        debian_packages=("libffi-dev", "libpq-dev", "libssl-dev"),
        environment={"A": "second", "B": "first"},
        config_settings={"x": "1"},
        build_constraints=("cython<3", "setuptools<60"),
        build_requirements=("numpy",),
        requirements_as_of_upload=True,
        jobs=1,
        memory="huge",
        bundle=Bundle.ALWAYS,
        test="import two",
        skip_tests=True,
        rules=("demo/one", "demo/two"),
    )


def test_a_recipe_takes_a_remedy_on_top() -> None:
    recipe = combined([rule("one", environment={"A": "first"})])

    assert combined([recipe, rule("two", environment={"A": "second"})]) == Recipe(
        environment={"A": "second"}, rules=("demo/one", "demo/two")
    )


def test_no_rules_make_an_empty_recipe() -> None:
    assert combined([]) == Recipe()


def test_the_signed_statement_names_the_rules_that_were_applied() -> None:
    job = replace(signing.job(), recipe=combined([rule(bundle="never")]))

    signed = statement.provenance(
        job=job,
        farm=signing.FARM,
        node=signing.NODE,
        wheel=WheelFile(filename=signing.WHEEL, sha256=signing.sha256(signing.BYTES), size_bytes=len(signing.BYTES)),
        started_at=datetime(2026, 11, 27, tzinfo=UTC),
        finished_at=datetime(2026, 11, 27, tzinfo=UTC),
        materials=signing.MATERIALS,
        environment={},
        log_sha256=signing.sha256(b"log"),
        isolation="none",
    )

    recipe = signed["predicate"]["buildDefinition"]["externalParameters"]["recipe"]
    assert (recipe["rules"], recipe["bundle"]) == (["demo/one"], "never")
