"""The configuration of an nginx before the front-end: it serves the rendered tree by itself."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from schema.errors import SettingsError
from schema.settings import Settings
from web import files, index
from web.accept import Form
from web.answer import SECURITY

_SAFE = re.compile(r"[^\s\"'\\$;{}]+( [^\s\"'\\$;{}]+)*")  # nothing that means something to nginx, quoted
# What lies below files/ never changes: it stays open, and once a second is looked for whether it is still there. Pages
# are looked at anew for each request, so that what was published is seen at once.
_OPEN_FILES = "open_file_cache max=10000 inactive=60s; open_file_cache_valid 1s;"
_LISTEN = re.compile(r"[A-Za-z0-9.:\[\]]+")


def config(
    settings: Settings,
    *,
    listen: str,
    certificate: Path | None = None,
    key: Path | None = None,
    log: Path | None = None,
) -> str:
    """A complete ``server``, to be included in nginx's ``http``.

    listen: a port, or an address with one; log: where it notes each wheel that it sends; None: nowhere
    Raise SettingsError for what cannot stand in such a file.
    """
    if not _LISTEN.fullmatch(listen):
        raise SettingsError(f"--listen {listen!r}: not a port, nor an address with one (127.0.0.1:8080, [::]:80)")
    paths = {"site": settings.site.absolute(), "certificate": certificate, "key": key, "log": log}
    for name, path in paths.items():
        if path is not None and not _SAFE.fullmatch(str(path)):
            raise SettingsError(f"{name}: {str(path)!r} has a character that means something to nginx; move it")
    host = urlsplit(settings.public_url).hostname or "_"
    template = Environment(  # noqa: S701 - a configuration, no HTML; what enters it was checked
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    ).get_template("nginx.conf.j2")
    return template.render(
        paths,
        listen=listen,
        server_name=host,
        upstream=f"{_address(settings.web.host)}:{settings.web.port}",
        view=re.sub(r"{\d+,\d+}", "+", index.VIEW),
        wheel=index.WHEEL,
        json=Form.JSON,
        html=Form.LEGACY,
        plain=index.PLAIN,
        sidecars=index.SIDECARS,
        open_files=_OPEN_FILES,
        page_headers=_headers(*index.PAGE_CACHING),
        file_headers=_headers(files.FOR_EVER, ""),
    )


def _address(host: str) -> str:
    """Where nginx, on the same machine, reaches what listens on *host*."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not listened on
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _headers(caching: str, vary: str) -> str:
    headers = {"Cache-Control": caching, **({"Vary": vary} if vary else {}), **dict(SECURITY)}
    return "\n        ".join(f'add_header {name} "{value}";' for name, value in headers.items())
