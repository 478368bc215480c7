from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from packaging.utils import NormalizedName
from packaging.version import Version

from schema import recipe_files
from schema.errors import SettingsError
from schema.platforms import Platform
from schema.recipes import MOST_REMEDIES, Rule, applicable, combined
from schema.states import FailureClass

DEMO = NormalizedName("demo")
TODAY = date(2026, 11, 27)

WHOLE = """
[[rule]]
id = "libffi"
why = "it links against a library of the distribution"
link = "https://notes.example/demo"
expires = 2027-03-31
platforms = ["debian12-*"]
debian_packages = ["libffi-dev", "g++", "libstdc++-12-dev"]
build_constraints = ["cython<3"]

[rule.environment]
SODIUM_INSTALL = "system"

[rule.config_settings]
"setup-args" = "-Dblas=none"

[[rule]]
id = "one-job"
why = "its compiler takes 2 GiB"
after = ["memory"]
jobs = 1
"""


def a_rule(id_: str, package: str = "libffi-dev", **terms: str) -> str:
    return "\n".join(
        [
            f'[[rule]]\nid = "{id_}"\nwhy = "it needs it"\ndebian_packages = ["{package}"]',
            *(f"{key} = {value}" for key, value in terms.items()),
            "",
        ]
    )


def write(folder: Path, text: str, name: str = "demo.toml") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def packages(*folders: Path) -> dict[str, tuple[str, ...]]:
    return {rule.id: rule.debian_packages for rule in recipe_files.rules_for(DEMO, folders)}


def test_a_file_is_read_whole_and_in_order(tmp_path: Path) -> None:
    write(tmp_path, WHOLE)

    assert recipe_files.rules_for(DEMO, [tmp_path]) == (
        Rule(
            id="demo/libffi",
            why="it links against a library of the distribution",
            link="https://notes.example/demo",
            expires=date(2027, 3, 31),
            platforms=("debian12-*",),
            debian_packages=("libffi-dev", "g++", "libstdc++-12-dev"),
            environment={"SODIUM_INSTALL": "system"},
            config_settings={"setup-args": "-Dblas=none"},
            build_constraints=("cython<3",),
        ),
        Rule(id="demo/one-job", why="its compiler takes 2 GiB", after=(FailureClass.MEMORY,), jobs=1),
    )


def test_nothing_is_known_of_a_project_without_a_file(tmp_path: Path) -> None:
    assert recipe_files.rules_for(NormalizedName("nobody-knows-it"), [tmp_path]) == ()


def test_a_rule_of_the_operators_first_folder_takes_the_place_of_those_with_its_id(tmp_path: Path) -> None:
    write(tmp_path / "one", a_rule("a", "one-dev") + a_rule("c", "one-dev"))
    write(tmp_path / "two", a_rule("a", "two-dev") + a_rule("b", "two-dev"))

    found = packages(tmp_path / "one", tmp_path / "two")

    assert list(found.items()) == [("demo/a", ("one-dev",)), ("demo/b", ("two-dev",)), ("demo/c", ("one-dev",))]


def test_an_operators_rule_wins_over_a_shipped_one_and_leaves_the_others(tmp_path: Path) -> None:
    name = NormalizedName("pynacl")
    shipped = [rule.id for rule in recipe_files.rules_for(name)]
    write(tmp_path, a_rule("two-jobs", "mine-dev"), "pynacl.toml")

    found = recipe_files.rules_for(name, [tmp_path])

    assert [rule.id for rule in found] == shipped
    assert found[0].debian_packages == ("mine-dev",)


def test_an_operators_value_wins_where_two_rules_hold(tmp_path: Path) -> None:
    write(tmp_path / "two", a_rule("theirs", jobs="4"))
    write(tmp_path / "one", a_rule("ours", jobs="1"))

    assert combined(recipe_files.rules_for(DEMO, [tmp_path / "one", tmp_path / "two"])).jobs == 1


def test_a_rule_can_be_switched_off(tmp_path: Path) -> None:
    write(tmp_path / "one", '[[rule]]\nid = "a"\noff = true\n')
    write(tmp_path / "two", a_rule("a") + a_rule("b"))

    assert list(packages(tmp_path / "one", tmp_path / "two")) == ["demo/b"]


def test_every_shipped_recipe_can_be_read() -> None:
    recipe_files.check([])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rule =", ["not TOML"]),
        ("rules = []", ["rules", "unknown key", "rule"]),
        ('rule = "x"', ["rule: must be tables", "[[rule]]"]),
        ("rule = [1]", ["rule: must be tables"]),
        ('why = "x"\ndebian_packages = ["libffi-dev"]', ["why: stands outside a rule", "[[rule]]", 'id = "needs"']),
        ('[environment]\nA = "b"', ["environment: stands outside a rule", "[rule.environment]"]),
        ('[[rule]]\nwhy = "x"', ["rule 1: id", "must be a text"]),
        ("[[rule]]\nid = 3", ["rule 3: id", "must be a text"]),
        ('[[rule]]\nid = "a/b"', ["rule a/b: id"]),
        ('[[rule]]\nid = "A"\nwhy = "x"\njobs = 1', ["rule A: id: must be"]),
        ('[[rule]]\nid = "a"\njobs = 1', ["rule a: why: is missing"]),
        (a_rule("a", packages="[]"), ["rule a: packages", "unknown key", "debian_packages"]),
        (a_rule("a", "Upper"), ["rule a: debian_packages: 'Upper' is not the name of a Debian package"]),
        (a_rule("a", after='["rain"]'), ["rule a: after: 'rain' is not a class of failure"]),
        (a_rule("a", expires="2027-01-01T00:00:00Z"), ["rule a: expires"]),
        (a_rule("a", do_not_build="true"), ["rule a: do_not_build: contradicts debian_packages"]),
        (a_rule("a") + a_rule("a"), ["rule 2: id: 'a' is the id of an earlier rule"]),
        ('[[rule]]\nid = "a"\noff = false', ["rule a: off: must be true"]),
        ('[[rule]]\nid = "a"\noff = true\njobs = 1', ["rule a: jobs", "unknown key", "id, off"]),
        ("".join(a_rule(f"a{number}") for number in range(101)), ["101 rules", "at most 100"]),
    ],
)
def test_a_faulty_file_is_told_with_rule_key_and_what_is_allowed(tmp_path: Path, text: str, said: list[str]) -> None:
    file = write(tmp_path, text)

    with pytest.raises(SettingsError) as caught:
        recipe_files.rules_for(DEMO, [tmp_path])

    assert all(part in str(caught.value) for part in [str(file), *said])


def test_more_remedies_than_a_job_can_carry_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "".join(a_rule(f"a{number}", after='["build"]') for number in range(MOST_REMEDIES + 1)))

    with pytest.raises(SettingsError, match=r"demo: more than 20 rules"):
        recipe_files.check([tmp_path])


def test_a_check_finds_what_a_build_would_find_late(tmp_path: Path) -> None:
    write(tmp_path, "oops = 1", "other.toml")

    with pytest.raises(SettingsError, match=r"other\.toml: oops"):
        recipe_files.check([tmp_path])


def test_a_check_finds_recipes_that_nobody_would_read(tmp_path: Path) -> None:
    write(tmp_path, "", "PyNaCl.toml")

    with pytest.raises(SettingsError, match=r"name it pynacl\.toml"):
        recipe_files.check([tmp_path])


def test_a_check_finds_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no folder"):
        recipe_files.check([tmp_path / "nowhere"])


def shipped(name: str, version: str, *failures: tuple[FailureClass, str]) -> list[str]:
    found = applicable(
        recipe_files.rules_for(NormalizedName(name)),
        version=Version(version),
        platform=Platform.parse("debian12-aarch64-cp311"),
        failures=failures,
        today=TODAY,
    )
    return [rule.id for rule in found]


def test_pynacl_takes_debians_libsodium_and_then_an_older_version_once_that_test_was_killed() -> None:
    killed = (FailureClass.MEMORY, 'line 107: 15532 Killed  "$@" > $log_file 2>&1\nFAIL: pwhash_scrypt\n')

    assert shipped("pynacl", "1.3.0") == ["pynacl/two-jobs"]
    assert shipped("pynacl", "1.3.0", killed) == [
        "pynacl/two-jobs",
        "pynacl/system-libsodium",
        "pynacl/before-that-test",
    ]
    assert shipped("pynacl", "1.5.0", killed) == ["pynacl/two-jobs"]


def test_pyyaml_is_built_with_cython_2_once_it_failed_with_cython_3() -> None:
    failed = (FailureClass.BUILD, "AttributeError: 'build_ext' object has no attribute 'cython_sources'")

    assert shipped("pyyaml", "5.4.1", failed) == ["pyyaml/libyaml", "pyyaml/cython-2"]
    assert shipped("pyyaml", "6.0.3", failed) == ["pyyaml/libyaml"]
