"""The configuration of an nginx before the front-end: it serves the rendered tree by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from schema.errors import SettingsError
from schema.settings import Settings
from web import files, index
from web.accept import Form
from web.answer import SECURITY

_SAFE = re.compile(r"[^\s\"'\\$;{}]+( [^\s\"'\\$;{}]+)*")  # nothing that means something to nginx, quoted
# What lies below files/ never changes: it stays open, and once a second is looked for whether it is still there. Pages
# are looked at anew for each request, so that what was published is seen at once.
_OPEN_FILES = "open_file_cache max=10000 inactive=60s; open_file_cache_valid 1s;"
_ADDRESS = re.compile(r"[A-Za-z0-9.:\[\]]+")
_HSTS = "max-age=31536000"
_AWAY_HEADERS = {"Retry-After": "15", "Cache-Control": "no-cache"}
_AWAY = (
    "The farm's front-end does not answer just now; try again in a minute."
    " Installing goes on: pages and wheels that are there come without it.\\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the farm's settings do not say of its ``server``.

    listen: ports, or addresses with one, to serve the farm on; none: 80 where nothing is redirected
    redirect: those where plain HTTP is led to ``web.public_url``
    certificate, key: in PEM; with them the farm is served by TLS and HTTP/2, and browsers are told to come by TLS only
    acme: the folder that *redirect* answers ACME's challenges from (HTTP-01: RFC 8555, 8.3)
    log: where each wheel that nginx sends is noted; access_log: all else; both without addresses. None: as in ``http``
    requests_per_second: of one address in the long run, five times as many at once; None: as many as it likes
    """

    listen: tuple[str, ...] = ()
    redirect: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    acme: Path | None = None
    log: Path | None = None
    access_log: Path | None = None
    requests_per_second: int | None = None


def config(settings: Settings, wanted: Wanted) -> str:
    """What is to be included in nginx's ``http``: the farm's ``server``, the one that leads there, or both.

    Raise SettingsError for what does not fit together, or cannot stand in such a file.
    """
    values = {"site": settings.site, **asdict(wanted)}
    values["listen"] = wanted.listen or (() if wanted.redirect else ("80",))
    values["log"] = wanted.log if settings.web.downloads else None
    values |= {name: value.absolute() for name, value in values.items() if isinstance(value, Path)}
    values["upstream"] = f"{_reached(settings.web.host)}:{settings.web.port}"
    values["public_url"] = settings.public_url
    _check(values)
    common = dict(SECURITY) | ({"Strict-Transport-Security": _HSTS} if wanted.certificate else {})
    caching, vary = index.PAGE_CACHING
    return _template().render(
        values,
        name=urlsplit(settings.public_url).hostname or "_",
        view=re.sub(r"{\d+,\d+}", "+", index.VIEW),
        wheel=index.WHEEL,
        json=Form.JSON,
        html=Form.LEGACY,
        plain=index.PLAIN,
        sidecars=index.SIDECARS,
        open_files=_OPEN_FILES,
        hsts=_HSTS,
        page_headers={"Cache-Control": caching, "Vary": vary, **common},
        file_headers={"Cache-Control": files.FOR_EVER, **common},
        away_headers=_AWAY_HEADERS | common,
        away=_AWAY,
    )


def _check(values: Mapping[str, Any]) -> None:
    for option in ("listen", "redirect"):
        for address in values[option]:
            if not _ADDRESS.fullmatch(address):
                raise SettingsError(
                    f"--{option} {address!r}: not a port, nor an address with one (127.0.0.1:8080, [::]:80)"
                )
    for name, value in values.items():
        if isinstance(value, (str, Path)) and not _SAFE.fullmatch(str(value)):
            raise SettingsError(f"{name}: {str(value)!r} has a character that means something to nginx; change it")
    if (values["certificate"] is None) != (values["key"] is None):
        raise SettingsError("--certificate and --key belong together")
    if values["redirect"] and not values["public_url"].startswith("https://"):
        raise SettingsError("--redirect leads to web.public_url, which must begin with https:// then")
    if values["acme"] and not values["redirect"]:
        raise SettingsError("--acme: an ACME server asks by plain HTTP; add --redirect 80")


def _reached(host: str) -> str:
    """Where nginx, on the same machine, reaches what listens on *host*."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not listened on
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _template() -> Template:
    return Environment(  # noqa: S701 - a configuration, no HTML; what enters it was checked
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    ).get_template("nginx.conf.j2")
