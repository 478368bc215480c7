"""What changes while people look on, sent to them as server-sent events.

A stream holds a thread of the server for as long as somebody listens. So there are at most so many in a process, each
ends after a time (a browser opens the next by itself), and what is sent is read and rendered once for all of them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from threading import Lock
from typing import Final

MOST_STREAMS: Final = 32
RETRY_S: Final = 15

_PAUSE_S = 2.0
_SILENT_S = 15.0  # a comment goes out after so long, or nobody would notice that the client has gone
_LONGEST_S = 600.0

Fragments = Mapping[str, str]  # event → what stands in its place on the page


class Live:
    """The streams of this process. most: at once; pause_s: between two looks at the farm; longest_s: of one stream."""

    def __init__(self, *, most: int = MOST_STREAMS, pause_s: float = _PAUSE_S, longest_s: float = _LONGEST_S) -> None:
        self._most, self._pause_s, self._longest_s = most, pause_s, longest_s
        self._open = 0
        self._lock = Lock()
        self._listeners: Counter[str] = Counter()
        self._rendered: dict[str, tuple[float, Fragments]] = {}
        self._rendering: dict[str, Lock] = {}

    @property
    def open(self) -> int:
        """Streams that somebody listens to, as far as is known."""
        return self._open

    def stream(self, topic: str, render: Callable[[], Fragments]) -> Iterator[bytes] | None:
        """Events of *topic* for one listener; None where there are as many as there may be.

        render: what there is to tell of the topic now; called by one stream for all
        """
        with self._lock:
            if self._open >= self._most:
                return None
            self._open += 1
            self._listeners[topic] += 1
        return _Stream(self._events(topic, render), partial(self._left, topic))

    def _events(self, topic: str, render: Callable[[], Fragments]) -> Iterator[bytes]:
        told: dict[str, str] = {}
        began = spoke = time.monotonic()
        yield f"retry: {RETRY_S * 1000}\n\n".encode()
        while time.monotonic() - began < self._longest_s:
            news = {name: text for name, text in self._now(topic, render).items() if told.get(name) != text}
            if news:
                told.update(news)
                yield b"".join(_event(name, text) for name, text in news.items())
                spoke = time.monotonic()
            elif time.monotonic() - spoke >= _SILENT_S:
                yield b": still here\n\n"
                spoke = time.monotonic()
            time.sleep(self._pause_s)

    def _now(self, topic: str, render: Callable[[], Fragments]) -> Fragments:
        with self._lock:
            rendering = self._rendering.setdefault(topic, Lock())
        with rendering:
            at, fragments = self._rendered.get(topic, (0.0, {}))
            if time.monotonic() - at >= self._pause_s or not fragments:
                fragments = render()
                with self._lock:
                    if topic in self._listeners:  # else the last of them has left meanwhile
                        self._rendered[topic] = time.monotonic(), fragments
        return fragments

    def _left(self, topic: str) -> None:
        with self._lock:
            self._open -= 1
            self._listeners[topic] -= 1
            if not self._listeners[topic]:  # there is a topic for each build: what nobody listens to is forgotten
                for kept in (self._listeners, self._rendered, self._rendering):
                    kept.pop(topic, None)


class _Stream:
    """An iterator that says once when it has ended, even where it never began: WSGI servers close what they drop."""

    def __init__(self, events: Iterator[bytes], left: Callable[[], None]) -> None:
        self._events, self._leave = events, left
        self._has_left = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._events)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it."""
        if not self._has_left:
            self._has_left = True
            self._leave()


def _event(name: str, text: str) -> bytes:
    """As the standard has it: each line of the data begins anew, so that no text can end the event."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"event: {name}\n{lines}\n".encode("utf-8", "replace")
