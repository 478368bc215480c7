"""A lock in the two formats that installers read: pip's requirements file with hashes, and PEP 751."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from packaging.pylock import Pylock
from packaging.utils import NormalizedName
from packaging.version import Version

from master import lock_file, lock_text
from master.lock import Lock
from master.lock_text import Indexes
from master.solve import Pin
from schema.names import Sha256
from schema.platforms import Platform
from schema.simple.read import File
from schema.toml_file import read

HERE = Platform.parse("debian12-x86_64-cp311")
INDEXES = Indexes(farm="http://farm.example/debian12-x86_64/simple/", upstream="https://index.example/simple/")
OPTIONS = "--index-url https://index.example/simple/\n--extra-index-url http://farm.example/debian12-x86_64/simple/\n"


def pin(name: str, *extras: str, own: bool) -> Pin:
    filename = f"{name}-1.0-py3-none-any.whl"
    return Pin(
        name=NormalizedName(name),
        extras=frozenset(extras),
        own=own,
        wheel=File(
            filename=filename,
            kind="wheel",
            version=Version("1.0"),
            url=f"https://files.example/{filename}",
            sha256=Sha256("ab" * 32),
            size_bytes=12,
            uploaded_at=datetime(2026, 11, 20, 10, 30, tzinfo=UTC),
        ),
    )


def lock(*pins: Pin, platform: Platform = HERE) -> Lock:
    return Lock(platform=platform, pins=pins, notes=())


def test_a_requirements_file_pins_version_and_digest_and_names_both_indexes() -> None:
    assert lock_text.requirements(lock(pin("app", "x", "a", own=True), pin("lib", own=False)), INDEXES) == (
        "# 2 wheels for debian12-x86_64-cp311, chosen by wheelfarm lock.\n"
        "# pip install -r FILE\n"
        "# uv pip install --index-strategy unsafe-best-match -r FILE\n"
        f"{OPTIONS}"
        "--only-binary :all:\n"
        "app[a,x]==1.0 \\\n"
        f"    --hash=sha256:{'ab' * 32}\n"
        "lib==1.0 \\\n"
        f"    --hash=sha256:{'ab' * 32}\n"
    )


@pytest.mark.parametrize(("own", "url"), [(True, INDEXES.farm), (False, INDEXES.upstream)])
def test_an_index_that_nothing_comes_from_is_not_named(own: bool, url: str) -> None:  # noqa: FBT001 - a parameter
    text = lock_text.requirements(lock(pin("app", own=own)), INDEXES)

    assert [line for line in text.splitlines() if "-url" in line] == [f"--index-url {url}"]
    assert "# uv pip install -r FILE\n" in text


def test_an_empty_lock_is_a_file_all_the_same() -> None:
    assert lock_text.requirements(lock(), INDEXES).splitlines()[-1] == "--only-binary :all:"


def test_a_lock_file_is_valid_and_has_url_size_time_and_digest_of_each_wheel(tmp_path: Path) -> None:
    file = tmp_path / "pylock.toml"
    file.write_text(lock_text.pylock(lock(pin("app", own=True), pin("lib", own=False)), INDEXES))

    found = Pylock.from_dict(read(file))

    found.validate()
    assert [package.index for package in found.packages] == [INDEXES.farm, INDEXES.upstream]
    (wheel,) = found.packages[0].wheels or ()
    assert (wheel.url, wheel.size, dict(wheel.hashes)) == (
        "https://files.example/app-1.0-py3-none-any.whl",
        12,
        {"sha256": "ab" * 32},
    )
    assert wheel.upload_time == datetime(2026, 11, 20, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", ["debian12-x86_64-cp311", "debian12-armv7l-cp311", "debian12-i686-cp311"])
def test_a_lock_file_is_meant_for_its_platform_and_no_other(tmp_path: Path, name: str) -> None:
    platform = Platform.parse(name)
    others = [Platform.parse(other) for other in ("debian12-riscv64-cp311", "debian13-x86_64-cp313")]
    file = tmp_path / "pylock.toml"
    file.write_text(lock_text.pylock(lock(pin("app", own=True), platform=platform), INDEXES))

    found = lock_file.read(file, platforms=[platform, *others])

    assert [(str(item), takers) for item, takers in found.pins] == [("app==1.0", (platform,))]
    assert len(found.notes) == 2


def test_a_32_bit_python_on_a_64_bit_kernel_may_use_the_lock_file() -> None:
    platform = Platform.parse("debian12-armv7l-cp311")
    tables = tomllib.loads(lock_text.pylock(lock(platform=platform), INDEXES))
    (environment,) = Pylock.from_dict(tables).environments or ()
    marker = dict(platform.marker_environment)

    fits = {machine: environment.evaluate(marker | {"platform_machine": machine}) for machine in
            ("armv7l", "armv8l", "aarch64", "x86_64")}  # fmt: skip

    assert fits == {"armv7l": True, "armv8l": True, "aarch64": True, "x86_64": False}
