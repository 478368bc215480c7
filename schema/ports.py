"""Whether a port can be listened on, asked before anything is started that would need it."""

from __future__ import annotations

import socket

from schema.errors import SettingsError


def refuse_taken(host: str, port: int) -> None:
    """Raise SettingsError if the front-end cannot listen there; granian itself would share a port that is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as err:
        raise SettingsError(
            f"web.port: cannot listen on {host} port {port}: {err.strerror}",
            advice="choose another with web.host and web.port in farm.toml, or stop the program that has it",
        ) from err
