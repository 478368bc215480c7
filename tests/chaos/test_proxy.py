from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Proxy, Way


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says everything back."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            while True:
                link, _ = server.accept()
                threading.Thread(target=answer, args=(link,), daemon=True).start()
        except OSError:
            return

    def answer(link: socket.socket) -> None:
        with link:
            try:
                while data := link.recv(100):
                    link.sendall(data)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    with Proxy(echo) as made:
        yield made


def _ask(link: socket.socket, data: bytes) -> bytes:
    link.sendall(data)
    return link.recv(100)


def _ends(link: socket.socket) -> bool:
    """Whether the connection is closed or reset instead of an answer."""
    try:
        return _ask(link, b"a message") == b""
    except ConnectionError:
        return True


def _connect(proxy: Proxy) -> socket.socket:
    link = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    assert _ask(link, b"hello") == b"hello"
    return link


def test_half_open_connections_stay_silent_while_new_ones_work(proxy: Proxy) -> None:
    with _connect(proxy) as old:
        proxy.half_open()
        old.settimeout(0.5)

        with pytest.raises(TimeoutError):
            _ask(old, b"anybody?")

        _connect(proxy).close()


def test_a_cut_ends_the_connection_in_the_middle_of_a_message(proxy: Proxy) -> None:
    with _connect(proxy) as link:
        proxy.cut(after_bytes=3)

        assert _ends(link)

        _connect(proxy).close()


def test_what_a_black_hole_took_arrives_when_it_ends(proxy: Proxy) -> None:
    with _connect(proxy) as link:
        proxy.silent = Way.BOTH
        link.sendall(b"late")
        proxy.mend()

        assert link.recv(100) == b"late"


def test_one_way_may_be_silent_while_the_other_works(echo: int) -> None:
    with Proxy(echo) as proxy, _connect(proxy) as link:
        proxy.silent = Way.BACK
        link.sendall(b"heard")
        link.settimeout(0.5)
        with pytest.raises(TimeoutError):
            link.recv(100)
        proxy.silent = Way.THERE

        assert link.recv(100) == b"heard"


def test_one_bit_of_a_message_arrives_wrong_and_the_next_message_is_whole(proxy: Proxy) -> None:
    with _connect(proxy) as link:
        proxy.damaged = 1

        assert _ask(link, b"abc") == b"acc"
        assert _ask(link, b"abc") == b"abc"


def test_nobody_gets_through_while_the_other_side_is_away(proxy: Proxy) -> None:
    proxy.away = True

    try:
        link = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    except ConnectionError:
        return  # reset while it was being made: nobody got through either
    with link:
        assert _ends(link)
