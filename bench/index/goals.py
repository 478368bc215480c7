"""The goals G1 to G9 for the index, and whether a run met them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.index import freshness, servers
from bench.index.freshness import Freshness
from bench.index.growth import Grown
from bench.index.load import Figures

Medians = Mapping[tuple[str, str], Figures]
Verdict = tuple[str, float, str, float]  # what, the figure, "<=" or ">=", the goal

_SMALL, _HEAVY, _NOT_CHANGED, _ROOT, _METADATA = (
    *("small page, JSON.gz", "heavy page, JSON.gz", "304, small page", "root, JSON.gz", ".metadata"),
)
_KB100, _MB20 = "wheel of 100 kB", "wheel of 20 MB"


def show(medians: Medians, fresh: Freshness, grown: Sequence[Grown]) -> int:
    """Print each goal with its figure; 1 if one was missed."""
    print("\ngoals (cpu x and requests/s are those of nginx by hand in the same run)")
    missed = 0
    for what, figure, sign, goal in (*_shipped(medians), *_built_in(medians), *_peers(medians), *_rest(fresh, grown)):
        met = figure <= goal if sign == "<=" else figure >= goal
        missed += not met
        print(f"  {'met   ' if met else 'MISSED'} {what:<66} {figure:>9.2f} {sign} {goal:g}")
    return min(missed, 1)


def _shipped(medians: Medians) -> Iterator[Verdict]:
    name = servers.SHIPPED.name
    for cell in (_SMALL, _HEAVY, _NOT_CHANGED, _METADATA, _ROOT):
        yield f"G1 nginx with our configuration, {cell}: cpu x", _cpu(medians, name, cell), "<=", 1.2
        yield f"G1 nginx with our configuration, {cell}: requests/s", _rate(medians, name, cell), ">=", 0.9
    for cell in (_KB100, _MB20):
        yield f"G4 nginx with our configuration, {cell}: cpu x", _cpu(medians, name, cell), "<=", 1.1


def _built_in(medians: Medians) -> Iterator[Verdict]:
    name = servers.OURS.name
    for cell in (_SMALL, _HEAVY, _NOT_CHANGED, _METADATA):
        yield f"G2 built-in, {cell}: cpu x (issue: 2.5)", _cpu(medians, name, cell), "<=", 2.5
        yield f"G2 built-in, {cell}: requests/s (issue: 0.75)", _rate(medians, name, cell), ">=", 0.75
    yield "G2 built-in, 64 connections: cpu x", _cpu(medians, name, "small page, 64 connections"), "<=", 4
    ours, anchor = medians[name, _HEAVY], medians[servers.BY_HAND.name, _HEAVY]
    yield "G3 built-in, heavy page: p99 over nginx's", ours.p99_ms / anchor.p99_ms, "<=", 3
    yield "G4 built-in, wheel of 100 kB: cpu x", _cpu(medians, name, _KB100), "<=", 4
    yield "G4 built-in, wheel of 20 MB: cpu x", _cpu(medians, name, _MB20), "<=", 1.6


def _peers(medians: Medians) -> Iterator[Verdict]:
    """The best of the dynamic peers, whatever form it answers in."""
    name = servers.OURS.name
    for cell in (_SMALL, _HEAVY, _ROOT):
        peers = [medians[kind.name, cell] for kind in servers.PEERS if (kind.name, cell) in medians]
        most, least = max(item.per_s for item in peers), min(item.processor_ms for item in peers)
        yield f"built-in over the best peer, {cell}: requests/s", medians[name, cell].per_s / most, ">=", 5
        goal = 100 if cell == _HEAVY else 5
        yield f"G3 best peer over built-in, {cell}: cpu", least / medians[name, cell].processor_ms, ">=", goal


def _rest(fresh: Freshness, grown: Sequence[Grown]) -> Iterator[Verdict]:
    by = {(item.name, item.files): item for item in grown}
    sizes = sorted({item.files for item in grown})
    least, most = by[servers.OURS.name, sizes[0]], by[servers.OURS.name, sizes[-1]]
    start = by["simpleindex", sizes[-1]].first_answer_s
    yield "G6 start at most simpleindex's and 0.6 s: seconds over that", most.first_answer_s - start, "<=", 0.6
    yield "G6 start, largest over smallest", most.first_answer_s / least.first_answer_s, "<=", 1.1
    yield "G6 memory (what processes share, once), MiB", most.memory_mib, "<=", 110
    yield "G6 memory, largest over smallest", most.memory_mib / least.memory_mib, "<=", 1.15
    yield "G7 small page, largest over smallest", most.small_ms / least.small_ms, "<=", 1.1
    for name, each in fresh.seen_s.items():
        p50, p99 = freshness.shares(each)
        yield f"G9 published, then seen through {name}: p50 s", p50, "<=", 0.2
        yield f"G9 published, then seen through {name}: p99 s", p99, "<=", 1
    yield "G9 rendering a page of 2,000 files: cpu ms", fresh.heavy_processor_s * 1000, "<=", 60


def _cpu(medians: Medians, name: str, cell: str) -> float:
    return medians[name, cell].processor_ms / medians[servers.BY_HAND.name, cell].processor_ms


def _rate(medians: Medians, name: str, cell: str) -> float:
    return medians[name, cell].per_s / medians[servers.BY_HAND.name, cell].per_s
