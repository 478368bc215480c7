"""One measurement: ``wrk`` asks a server for the same thing for some seconds."""

from __future__ import annotations

import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from urllib.parse import urljoin

from bench.index.corpus import HEAVY, SIZED, SMALL, WHEEL_20_MB, WHEEL_100_KB
from bench.index.servers import Running

JSON = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"
_SCALE = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Something to ask for. project: its page, None: the root; file: one of its files instead."""

    name: str
    project: str | None = None
    file: str = ""
    suffix: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    again: bool = False
    connections: int = 16


_PIP = {"Accept": JSON, "Accept-Encoding": "gzip"}
_HTML = {"Accept": "text/html"}
CELLS = (
    Cell(name="small page, JSON.gz", project=SMALL, headers=_PIP),
    Cell(name="small page, HTML", project=SMALL, headers=_HTML),
    Cell(name="small page, 64 connections", project=SMALL, headers=_PIP, connections=64),
    Cell(name="heavy page, JSON.gz", project=HEAVY, headers=_PIP),
    Cell(name="heavy page, HTML", project=HEAVY, headers=_HTML),
    Cell(name="304, small page", project=SMALL, headers=_PIP, again=True),
    Cell(name="root, JSON.gz", headers=_PIP),
    Cell(name=".metadata", project=SMALL, file="project_0001-1.0-py3-none-any.whl", suffix=".metadata"),
    Cell(name="wheel of 100 kB", project=SIZED, file=WHEEL_100_KB),
    Cell(name="wheel of 20 MB", project=SIZED, file=WHEEL_20_MB),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """per_s: requests; processor_ms: of the server, for one request; bytes: of one body as it is sent."""

    per_s: float
    processor_ms: float
    p50_ms: float
    p99_ms: float
    bytes: int


def measure(server: Running, cell: Cell, *, seconds: int) -> Figures | None:
    """Ask for *seconds*; None where the server has no such thing."""
    url = _url(server, cell)
    if url is None:
        return None
    headers = dict(cell.headers)
    status, told, size = _once(url, headers)
    if cell.again:
        if not told.get("etag"):
            return None
        headers["If-None-Match"] = told["etag"]
        status, told, size = _once(url, headers)
    if status != (304 if cell.again else 200):
        return None
    before = server.processor_s
    said = _wrk(url, headers, seconds=seconds, connections=cell.connections)
    spent_s = server.processor_s - before
    requests = int(_find(r"(\d+) requests in", said))
    if "Non-2xx" in said or not requests:
        return None
    return Figures(
        per_s=float(_find(r"Requests/sec:\s+([\d.]+)", said)),
        processor_ms=spent_s / requests * 1000,
        p50_ms=_milliseconds("50%", said),
        p99_ms=_milliseconds("99%", said),
        bytes=size,
    )


def _url(server: Running, cell: Cell) -> str | None:
    if cell.project is None:
        return None if server.kind.root is None else server.url + server.kind.root
    page = server.url + server.kind.page.format(name=cell.project)
    if not cell.file:
        return page
    with urllib.request.urlopen(urllib.request.Request(page, headers=_HTML), timeout=60) as answer:  # noqa: S310
        links = re.findall(r'href="([^"#]*)', answer.read().decode())
    link = next((link for link in links if link.rpartition("/")[2] == cell.file), None)
    return None if link is None else urljoin(page, link) + cell.suffix


def _once(url: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], int]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=60) as answer:  # noqa: S310
            return answer.status, _lower(answer.headers), len(answer.read())
    except urllib.error.HTTPError as err:
        with err:
            return err.code, _lower(err.headers), 0


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _wrk(url: str, headers: Mapping[str, str], *, seconds: int, connections: int) -> str:
    named = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    load = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency", *named, url]
    return subprocess.run(load, check=True, capture_output=True, text=True).stdout


def _milliseconds(share: str, said: str) -> float:
    number, unit = re.search(rf"{share}\s+([\d.]+)(us|ms|s|m)\b", said).groups()  # type: ignore[union-attr]
    return float(number) * _SCALE[unit]


def _find(pattern: str, said: str) -> str:
    found = re.search(pattern, said)
    if found is None:
        raise RuntimeError(f"wrk said something else:\n{said}")
    return found[1]
