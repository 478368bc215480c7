"""How this node reaches the upstream index: proxies and certificates of its environment; credentials stay hidden."""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from builder.bubblewrap import Bind
from schema.errors import SettingsError
from schema.pip_settings import pip_settings

log = logging.getLogger(__name__)

_CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_CERTIFICATES_INSIDE = "/certificates.pem"
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@lru_cache(maxsize=1)
def certificates() -> Path | None:
    """The certificates to trust by the environment, or else by pip's settings; None for the system's own."""
    named = [Path(os.environ[name]) for name in _CERTIFICATES if os.environ.get(name)]
    try:
        named += filter(None, [pip_settings().ca])
    except SettingsError:  # pip's index is not ours to use; then its certificates are not either
        log.debug("pip on this machine names no certificates")
    return next((file for file in named if file.is_file()), None)


def proxy(url: str) -> str | None:
    """The proxy for *url*; None to connect directly."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def pip_environment(index_url: str, *, extra_index_url: str = "") -> dict[str, str]:
    """What pip inside a sandbox with network gets to see, and nothing of the machine's own settings.

    The URLs go by environment, not by argument: they may carry credentials, and arguments are logged. Where *index_url*
    is empty, pip asks the index that it asks by default.
    """
    environment = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_NO_COLOR": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_DEFAULT_TIMEOUT": "30",
    }
    if index_url:
        environment["PIP_INDEX_URL"] = index_url
    if extra_index_url:
        environment["PIP_EXTRA_INDEX_URL"] = extra_index_url
    if plain := [url for url in (index_url, extra_index_url) if _needs_trust(url)]:
        environment["PIP_TRUSTED_HOST"] = " ".join(urlsplit(url).netloc.rpartition("@")[2] for url in plain)
    if certificates() is not None:
        environment["PIP_CERT"] = _CERTIFICATES_INSIDE
    return environment | {key: value for key, value in os.environ.items() if key.lower() in _PROXIES}


def binds() -> tuple[Bind, ...]:
    """The certificates, where ``pip_environment`` says that they are."""
    file = certificates()
    return () if file is None else (Bind(source=file.resolve(), target=_CERTIFICATES_INSIDE),)


def index_url_of_this_machine() -> str:
    """The index that pip on this machine is set to use; raise SettingsError where it has none on http or https."""
    return pip_settings().index_url


def without_credentials(url: str) -> str:
    """*url* as it may stand in a log."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _needs_trust(url: str) -> bool:
    """Whether pip would refuse this index because it is neither https nor on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in _LOOPBACK
