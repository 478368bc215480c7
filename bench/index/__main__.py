"""How fast the index answers: ``make bench-index [FILES=20000] [ROUNDS_OF_ALL=3] [SECONDS_EACH=2]``.

All servers run at once and are asked in turn, round after round: what the machine does beside it hurts each alike. The
steadiest figure is the processor time of a request over that of nginx for the same, which ``cpu x`` is.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.index import corpus, freshness, goals, growth, servers
from bench.index.load import CELLS, Cell, Figures, measure

Found = Mapping[tuple[str, str], Sequence[Figures]]


def main(files: int, rounds: int, seconds: int) -> int:
    """Print all tables and which goals were met; 1 where one was not."""
    with tempfile.TemporaryDirectory(prefix="wf-bench-index-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        print(f"making {files:,} wheels", file=sys.stderr)
        made = corpus.make(folder / "corpus", files=files)
        kinds = (servers.SHIPPED, servers.OURS, *servers.PEERS)
        with servers.all_of(made, kinds, folder / "servers") as running:
            found = _rounds(running, rounds, seconds)
        names = [kind.name for kind in (servers.BY_HAND, *kinds)]
        medians = {key: _median(each) for key, each in found.items()}
        for cell in CELLS:
            _show(cell, names, medians)
        fresh = freshness.measure(made, folder / "fresh")
        freshness.show(fresh)
        grown = growth.measure(folder / "growth", most=files * 10)
        growth.show(grown)
        return goals.show(medians, fresh, grown)


def _rounds(running: Sequence[servers.Running], rounds: int, seconds: int) -> Found:
    found: defaultdict[tuple[str, str], list[Figures]] = defaultdict(list)
    for number in range(1, rounds + 1):
        for cell in CELLS:
            print(f"round {number} of {rounds}: {cell.name}", file=sys.stderr)
            for server in random.sample(running, len(running)):
                if figures := measure(server, cell, seconds=seconds):
                    found[server.kind.name, cell.name].append(figures)
    return found


def _median(each: Sequence[Figures]) -> Figures:
    def middle(name: str) -> float:
        return float(statistics.median(getattr(figures, name) for figures in each))

    return Figures(
        per_s=middle("per_s"),
        processor_ms=middle("processor_ms"),
        p50_ms=middle("p50_ms"),
        p99_ms=middle("p99_ms"),
        bytes=each[0].bytes,
    )


def _show(cell: Cell, names: Sequence[str], medians: Mapping[tuple[str, str], Figures]) -> None:
    measure_of_all = medians[servers.BY_HAND.name, cell.name]
    heads = ("requests/s", "of nginx", "cpu ms", "cpu x", "p50 ms", "p99 ms", "bytes")
    print(f"\n{cell.name:<26}", *(f"{head:>10}" for head in heads))
    for name in names:
        print(f"  {name:<24}", *_cells(medians.get((name, cell.name)), measure_of_all))


def _cells(figures: Figures | None, of: Figures) -> Iterator[str]:
    if figures is None:
        yield f"{'-':>10}"
        return
    yield f"{figures.per_s:>10,.1f}"
    yield f"{figures.per_s / of.per_s:>10.4f}"
    yield f"{figures.processor_ms:>10.3f}"
    yield f"{figures.processor_ms / of.processor_ms:>10.2f}"
    yield f"{figures.p50_ms:>10.2f}"
    yield f"{figures.p99_ms:>10.2f}"
    yield f"{figures.bytes:>10,}"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
