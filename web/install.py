"""The exact lines that make an installer use this farm."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from schema.platforms import Platform

_USER_AGENT = 1000
# As browsers write them, the longer words first: an x86_64 browser may say "i686 on x86_64".
_ARCHITECTURES = (
    ("aarch64", "aarch64"),
    ("arm64", "aarch64"),
    ("armv8l", "armv7l"),
    ("armv7l", "armv7l"),
    ("armv6l", "armv6l"),
    ("x86_64", "x86_64"),
    ("amd64", "x86_64"),
    ("i686", "i686"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A part of the index. name: ``debian12-x86_64``; "" is the one with portable wheels only."""

    name: str
    title: str
    platforms: tuple[Platform, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to use the farm. text: what to type, or to write into *file* ("" for the command line)."""

    key: str
    title: str
    text: str
    file: str = ""
    note: str = ""


def views(platforms: Sequence[Platform]) -> list[View]:
    """One view for each distribution and architecture, then the portable one."""
    names = dict.fromkeys(platform.view for platform in platforms)
    of_distributions = [_view([item for item in platforms if item.view == name]) for name in names]
    return [*of_distributions, View(name="", title="Any Linux (portable wheels only)")]


def fitting(views: Sequence[View], user_agent: str) -> View | None:
    """The first view for the machine that a browser says it runs on; None where it says none that there is a view for.

    A browser tells the processor, and hardly ever the distribution: a person must look at the choice.
    """
    told = user_agent[:_USER_AGENT].lower()
    if "linux" not in told or "android" in told:
        return None
    arch = next((arch for word, arch in _ARCHITECTURES if word in told), "")
    named = [view for view in views for place in view.platforms[:1] if place.arch == arch]
    return next((view for view in named if view.platforms[0].distribution.identity[0] in told), next(iter(named), None))


def index(base_url: str, view: View) -> str:
    """The address of that part of the index."""
    return f"{base_url}/{view.name}/simple/" if view.name else f"{base_url}/simple/"


def ways(base_url: str, view: View, *, name: str = "NAME") -> list[Way]:
    """How pip, uv, poetry and pdm install the project *name* from *view* of the farm at *base_url*."""
    url = index(base_url, view)
    trusted = _host_to_trust(base_url)
    constraint = f"{base_url}/constraints/{view.platforms[0]}.txt" if view.platforms else ""
    return [
        Way(
            key="pip",
            title="pip",
            text=f"pip install --extra-index-url {url}{f' --trusted-host {trusted}' if trusted else ''} {name}",
            note="pip takes the farm's wheel where the version is the same as upstream's.",
        ),
        Way(
            key="pip-conf",
            title="pip.conf",
            file="/etc/pip.conf for everybody, ~/.config/pip/pip.conf for you",
            text=_pip_conf(url, trusted=trusted, constraint=constraint),
            note=_about_constraint(constraint),
        ),
        Way(
            key="uv",
            title="uv",
            text=f"uv pip install --index-strategy unsafe-best-match --extra-index-url {url} {name}",
            note=(
                "Without unsafe-best-match uv takes every version from the first index that has the project,"
                " and would not see upstream's newer releases."
            ),
        ),
        Way(
            key="uv-toml",
            title="uv.toml",
            file="~/.config/uv/uv.toml, or [tool.uv] in pyproject.toml",
            text=f'index-strategy = "unsafe-best-match"\n\n[[index]]\nname = "farm"\nurl = "{url}"',
            note="Indexes named here come before the default one; at equal versions the farm's wheel is taken.",
        ),
        Way(
            key="poetry",
            title="poetry",
            file="pyproject.toml",
            text=_poetry(url),
            note="At equal versions poetry takes the first source, so the farm stands before PyPI.",
        ),
        Way(
            key="pdm",
            title="pdm",
            file="pyproject.toml",
            text=f'[[tool.pdm.source]]\nname = "farm"\nurl = "{url}"\nverify_ssl = {"false" if trusted else "true"}',
            note="PyPI stays a source beside it; pdm takes the best version of all of them.",
        ),
    ]


def _view(platforms: Sequence[Platform]) -> View:
    first = platforms[0]
    return View(name=first.view, title=f"{first.distribution.title}, {first.arch}", platforms=tuple(platforms))


def _pip_conf(url: str, *, trusted: str, constraint: str) -> str:
    lines = ["[global]", f"extra-index-url = {url}"]
    if trusted:
        lines.append(f"trusted-host = {trusted}")
    if constraint:
        lines += ["", "# [install]", f"# constraint = {constraint}"]
    return "\n".join(lines)


def _about_constraint(constraint: str) -> str:
    if not constraint:
        return ""
    return "The constraint, once its # are removed, keeps pip from versions that have no wheel here yet."


def _poetry(url: str) -> str:
    farm = f'[[tool.poetry.source]]\nname = "farm"\nurl = "{url}"\npriority = "primary"'
    return f'{farm}\n\n[[tool.poetry.source]]\nname = "PyPI"\npriority = "primary"'


def _host_to_trust(base_url: str) -> str:
    """The host that pip must be told to trust: one that is reached without TLS, and is not this machine."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if parts.scheme != "http" or host == "localhost":
        return ""
    try:
        return "" if ipaddress.ip_address(host).is_loopback else host
    except ValueError:
        return host
