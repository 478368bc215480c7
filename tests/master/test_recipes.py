from __future__ import annotations

from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from master import recipes
from schema.errors import SettingsError
from schema.jobs import Recipe

DEMO = NormalizedName("demo")

WHOLE = """
why = "it links against a library of the distribution"
debian_packages = ["libffi-dev", "g++", "libstdc++-12-dev"]
build_constraints = ["cython<3"]

[environment]
SODIUM_INSTALL = "system"

[config_settings]
"setup-args" = "-Dblas=none"
"""


def write(folder: Path, text: str, name: str = "demo.toml") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_a_recipe_is_read_whole(tmp_path: Path) -> None:
    write(tmp_path, WHOLE)

    assert recipes.recipe_for(DEMO, [tmp_path]) == Recipe(
        debian_packages=("libffi-dev", "g++", "libstdc++-12-dev"),
        environment={"SODIUM_INSTALL": "system"},
        config_settings={"setup-args": "-Dblas=none"},
        build_constraints=("cython<3",),
    )


def test_a_project_without_a_recipe_gets_an_empty_one(tmp_path: Path) -> None:
    assert recipes.recipe_for(NormalizedName("nobody-knows-it"), [tmp_path]) == Recipe()


def test_the_operators_first_folder_wins(tmp_path: Path) -> None:
    write(tmp_path / "one", 'debian_packages = ["one-dev"]')
    write(tmp_path / "two", 'debian_packages = ["two-dev"]')

    assert recipes.recipe_for(DEMO, [tmp_path / "one", tmp_path / "two"]).debian_packages == ("one-dev",)


def test_an_operators_recipe_wins_over_a_shipped_one(tmp_path: Path) -> None:
    shipped = next(file for folder in recipes._shipped() for file in sorted(folder.glob("*.toml")))
    write(tmp_path, 'debian_packages = ["mine-dev"]', shipped.name)

    assert recipes.recipe_for(NormalizedName(shipped.stem), [tmp_path]).debian_packages == ("mine-dev",)


def test_every_shipped_recipe_can_be_read() -> None:
    recipes.check([])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("why =", ["not TOML"]),
        ("why = 1", ["why", "a text"]),
        ("packages = []", ["packages", "unknown key", "debian_packages"]),
        ('debian_packages = "libffi-dev"', ["debian_packages", "list"]),
        ('debian_packages = ["libffi-dev; rm -rf /"]', ["debian_packages", "rm -rf", "Debian package"]),
        ('debian_packages = ["-o"]', ["debian_packages", "'-o'"]),
        ('debian_packages = ["Upper"]', ["debian_packages", "'Upper'"]),
        ('environment = ["X=1"]', ["environment", "table"]),
        ("[environment]\nX = 1", ["environment.X", "1", "text"]),
        ('[environment]\nCFLAGS = "-O0"', ["environment.CFLAGS", "not allowed"]),
        ('[environment]\nLD_PRELOAD = "/tmp/x.so"', ["environment.LD_PRELOAD", "LD_"]),
        ('[environment]\nPATH = "/tmp"', ["environment.PATH"]),
        ('[environment]\nPYTHONPATH = "/tmp"', ["environment.PYTHONPATH"]),
        ('[environment]\n_PYTHON_HOST_PLATFORM = "linux-x"', ["environment._PYTHON_HOST_PLATFORM"]),
        ('[environment]\n"A B" = "x"', ["environment.A B"]),
        ('[environment]\nA = "\\u0000"', ["environment.A"]),
        ("[config_settings]\nx = true", ["config_settings.x", "text"]),
        ('build_constraints = ["cython <<3"]', ["build_constraints", "cython <<3", "cython<3"]),
        ('build_constraints = ["cython @ https://x.example/"]', ["build_constraints"]),
    ],
)
def test_a_faulty_recipe_names_file_key_and_what_is_allowed(tmp_path: Path, text: str, said: list[str]) -> None:
    file = write(tmp_path, text)

    with pytest.raises(SettingsError) as caught:
        recipes.recipe_for(DEMO, [tmp_path])

    assert all(part in str(caught.value) for part in [str(file), *said])


def test_a_check_finds_what_a_build_would_find_late(tmp_path: Path) -> None:
    write(tmp_path, "oops = 1", "other.toml")

    with pytest.raises(SettingsError, match=r"other\.toml: oops"):
        recipes.check([tmp_path])


def test_a_check_finds_recipes_that_nobody_would_read(tmp_path: Path) -> None:
    write(tmp_path, "", "PyNaCl.toml")

    with pytest.raises(SettingsError, match=r"name it pynacl\.toml"):
        recipes.check([tmp_path])


def test_a_check_finds_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no folder"):
        recipes.check([tmp_path / "nowhere"])
