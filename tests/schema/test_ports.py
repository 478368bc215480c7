from __future__ import annotations

import socket

import pytest

from schema import ports
from schema.errors import SettingsError


def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(SettingsError, match=rf"web\.port: .* 127\.0\.0\.1 port {port}: Address already in use"):
            ports.refuse_taken("127.0.0.1", port)

    ports.refuse_taken("127.0.0.1", port)


def test_a_host_that_is_not_this_machine_s_is_named() -> None:
    with pytest.raises(SettingsError, match=r"192\.0\.2\.1 port 8181"):
        ports.refuse_taken("192.0.2.1", 8181)
