"""What a server costs as the farm grows: start, memory, a small page, the list of projects; one request at a time."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import urllib3

from bench.index import corpus, servers
from bench.index.corpus import SMALL
from bench.index.load import JSON
from bench.index.servers import Running

_KINDS = (servers.OURS, *(kind for kind in servers.PEERS if kind.name in {"simpleindex", "pypiserver"}))
_TURNS = 3
_REQUESTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """A server at one size; medians of several starts. memory_mib: after all that was asked."""

    name: str
    files: int
    first_answer_s: float
    memory_mib: float
    small_ms: float
    root_ms: float


def measure(folder: Path, *, most: int) -> list[Grown]:
    """At a hundredth of *most* wheels, a tenth, and all."""
    found = []
    for files in (most // 100, most // 10, most):
        made = corpus.make(folder / str(files) / "corpus", files=files)
        turns: dict[str, list[Grown]] = {}
        for _ in range(_TURNS):
            for kind in (servers.BY_HAND, *_KINDS):
                with servers.started(kind, made, folder / "servers", upstream="") as server:
                    turns.setdefault(kind.name, []).append(_asked(server, files))
        found += [_middle(each) for each in turns.values()]
        made.database.dispose()
        shutil.rmtree(folder / str(files))
    return found


def show(found: Sequence[Grown]) -> None:
    """Print the table."""
    heads = ("files", "start s", "MiB", "small ms", "root ms")
    print(f"\n{'growth':<26}", *(f"{head:>10}" for head in heads))
    for item in sorted(found, key=lambda item: (item.name, item.files)):
        figures = f"{item.first_answer_s:>10.2f} {item.memory_mib:>10.0f} {item.small_ms:>10.2f} {item.root_ms:>10.2f}"
        print(f"  {item.name:<24} {item.files:>10,} {figures}")


def _asked(server: Running, files: int) -> Grown:
    with urllib3.PoolManager() as pool:
        small = _milliseconds(pool, server.url + server.kind.page.format(name=SMALL), _REQUESTS)
        root = server.kind.root
        of_root = _milliseconds(pool, server.url + root, _REQUESTS // 10) if root else float("nan")
    return Grown(
        name=server.kind.name,
        files=files,
        first_answer_s=server.first_answer_s,
        memory_mib=server.memory_mib,
        small_ms=small,
        root_ms=of_root,
    )


def _milliseconds(pool: urllib3.PoolManager, url: str, times: int) -> float:
    each = []
    for _ in range(times):
        began = time.perf_counter()
        answer = pool.request("GET", url, headers={"Accept": JSON, "Accept-Encoding": "gzip"}, decode_content=False)
        each.append(time.perf_counter() - began)
        if answer.status != 200:  # noqa: PLR2004
            raise RuntimeError(f"{url}: {answer.status}")
    return statistics.median(each) * 1000


def _middle(each: Sequence[Grown]) -> Grown:
    def middle(name: str) -> float:
        return float(statistics.median(getattr(item, name) for item in each))

    return Grown(
        name=each[0].name,
        files=each[0].files,
        first_answer_s=middle("first_answer_s"),
        memory_mib=middle("memory_mib"),
        small_ms=middle("small_ms"),
        root_ms=middle("root_ms"),
    )
