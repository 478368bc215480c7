"""User agents as real installers send them, and as nobody should."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schema.clients import UNKNOWN, Client, client

DEBIAN = {"name": "Debian GNU/Linux", "version": "12", "id": "bookworm", "libc": {"lib": "glibc", "version": "2.36"}}


def pip(**told: Any) -> str:
    return f"pip/26.3 {json.dumps({'cpu': 'x86_64', 'distro': DEBIAN, 'python': '3.11.7', **told})}"


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (pip(), Client("pip", "26.3", "3.11", "debian 12", "x86_64")),
        (pip().replace("pip/26.3", "pip/20.3.4"), Client("pip", "20.3", "3.11", "debian 12", "x86_64")),
        (pip().replace("pip/26.3", "uv/0.13.8"), Client("uv", "0.13", "3.11", "debian 12", "x86_64")),
        (pip(distro={"name": "Ubuntu", "version": "24.04"}), Client("pip", "26.3", "3.11", "ubuntu 24.04", "x86_64")),
        (pip(distro={"name": "Alpine Linux", "version": "3.20.1"}, cpu="aarch64").replace("3.11.7", "3.14.0rc1"),
         Client("pip", "26.3", "3.14", "alpine 3.20", "aarch64")),
        (pip(distro={"name": "Arch Linux"}, cpu="AMD64"), Client("pip", "26.3", "3.11", "arch", "x86_64")),
        (pip(distro=None, cpu=None, python=None), Client("pip", "26.3")),
        ("poetry/2.5.1 CPython/3.11.7 Linux/6.1.0", Client("poetry", "2.5", "3.11")),
        ("devpi-server/6.20.3 (py3.11; linux)", Client("devpi", "6.20")),
        ("python-requests/2.32", Client("requests", "2.32")),
        ("curl/8", Client("curl", "8")),
        ("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", Client("browser")),
    ],
)  # fmt: skip
def test_an_installer_is_known_by_what_it_says(agent: str, expected: Client) -> None:
    assert client(agent) == expected


@pytest.mark.parametrize(
    "agent",
    ["", "pip", "pip/", "pip/x", "evil/1.0", "\0", "pip\n/1", "é/1.0", "pip/26.3 " + "x" * 3000, "a" * 10_000],
)
def test_what_is_no_known_installer_is_other(agent: str) -> None:
    assert client(agent) == UNKNOWN == Client("other")


@pytest.mark.parametrize(
    "told",
    [
        "{", "[]", "{}" * 5, "null", '{"python":', "[" * 1500,
    ],
)  # fmt: skip
def test_broken_json_leaves_the_name(told: str) -> None:
    assert client(f"pip/26.3 {told}") == Client("pip", "26.3")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"python": "3.11; DROP TABLE"}, Client("pip", "26.3", "3.11", "debian 12", "x86_64")),
        ({"python": "1.2.3"}, Client("pip", "26.3", "other", "debian 12", "x86_64")),
        ({"python": float("nan")}, Client("pip", "26.3", "other", "debian 12", "x86_64")),
        ({"python": ["3.11"]}, Client("pip", "26.3", "other", "debian 12", "x86_64")),
        ({"cpu": "<script>"}, Client("pip", "26.3", "3.11", "debian 12", "other")),
        ({"cpu": {"a": 1}}, Client("pip", "26.3", "3.11", "debian 12", "other")),
        ({"distro": {"name": "My Private Host"}}, Client("pip", "26.3", "3.11", "other", "x86_64")),
        ({"distro": {"name": "Debian", "version": "my-host"}}, Client("pip", "26.3", "3.11", "debian", "x86_64")),
        ({"distro": {"name": ["x"], "version": {}}}, Client("pip", "26.3", "3.11", "other", "x86_64")),
        ({"distro": "Debian"}, Client("pip", "26.3", "3.11", "", "x86_64")),
    ],
)
def test_what_is_not_in_the_grammar_is_other(told: dict[str, Any], expected: Client) -> None:
    assert client(pip(**told)) == expected


def test_nothing_that_is_told_makes_a_long_text() -> None:
    found = client(
        pip(distro={"name": "Ubuntu", "version": "999.99999"}, python="3.99999").replace("26.3", "9999.99999")
    )

    assert all(len(text) <= 16 for text in found)
