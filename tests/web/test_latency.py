"""How fast the index answers is counted by each process, and told for all."""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

from schema.db import migrate
from schema.db.session import engine
from schema.settings import load
from tests.web.server import Server, settings_file, started
from web.latency import Latency

_COUNT = """
import sys, time
from pathlib import Path
from web.latency import Latency
latency = Latency(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    latency.observe('page', 0.0004)
print("counted", flush=True)
sys.stdin.read()
"""


def _samples(latency: Latency) -> dict[tuple[str, str, str], float]:
    return {
        (item.name.removeprefix("wheelfarm_index_duration_seconds_"), item.labels["kind"], item.labels.get("le", "")): (
            item.value
        )
        for item in latency.family().samples
    }


def _pages(latency: Latency) -> float:
    return _samples(latency).get(("count", "page", ""), 0)


def _process(folder: Path, answers: int) -> subprocess.Popen[str]:
    """Another process that counts, and then lives until its input ends."""
    argv = [sys.executable, "-c", _COUNT, str(folder), str(answers)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    return process


def _end(processes: Sequence[subprocess.Popen[str]], *, kill: bool = False) -> None:
    for process in processes:
        if kill:
            process.kill()
        process.communicate(timeout=20)


def test_an_answer_counts_in_each_group_that_it_fits_into(tmp_path: Path) -> None:
    latency = Latency(tmp_path / "latency")
    latency.observe("file", 0.001)
    latency.observe("file", 0.0011)
    latency.observe("file", 60.0)

    found = _samples(latency)

    assert {kind for _, kind, _ in found} == {"file"}
    assert found["bucket", "file", "0.0005"] == 0
    assert found["bucket", "file", "0.001"] == 1
    assert found["bucket", "file", "5.0"] == 2
    assert found["bucket", "file", "+Inf"] == found["count", "file", ""] == 3
    assert found["sum", "file", ""] == pytest.approx(60.0021)


def test_who_never_counted_opens_nothing_and_tells_nothing(tmp_path: Path) -> None:
    assert _samples(Latency(tmp_path / "latency")) == {}
    assert list(tmp_path.iterdir()) == []


def test_the_processes_sums_are_told_by_each_and_outlive_them(tmp_path: Path) -> None:
    latency = Latency(tmp_path)
    processes = [_process(tmp_path, 100), _process(tmp_path, 20)]
    latency.observe("page", 0.1)
    assert _pages(latency) == 121
    assert len(list(tmp_path.iterdir())) == 3

    _end(processes, kill=True)
    assert _pages(latency) == 121

    _end([_process(tmp_path, 7)])  # takes over from one that is gone
    assert _pages(latency) == 128
    assert len(list(tmp_path.iterdir())) == 3


def test_threads_count_together(tmp_path: Path) -> None:
    latency = Latency(tmp_path)

    def count() -> None:
        for _ in range(2000):
            latency.observe("page", 0.001)

    threads = [Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 15_900 <= _pages(latency) <= 16_000
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"short", b"\0" * 10_000], ids=["empty", "short", "long"])
def test_a_file_of_another_release_begins_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0.counts").write_bytes(content)
    latency = Latency(tmp_path)

    assert _pages(latency) == 0
    latency.observe("page", 0.1)
    assert _pages(latency) == 1


def test_where_nothing_can_be_written_answers_go_on_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "latency").write_text("a file, where a folder should be")
    latency = Latency(tmp_path / "latency")

    latency.observe("page", 0.1)
    latency.observe("page", 0.1)

    assert _samples(latency) == {}
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert said[0].startswith(f"{tmp_path / 'latency'}: how fast this process answers is not told: ")


@pytest.mark.slow
def test_one_scrape_of_the_real_server_tells_what_all_of_its_workers_answered(tmp_path: Path) -> None:
    file = settings_file(tmp_path)
    file.write_text(file.read_text() + '[web]\nmetrics = "local"\n')
    database = engine(load(file).database_url)
    migrate.upgrade(database)
    database.dispose()

    with started(file, "--workers", "2") as server:
        for _ in range(40):
            assert _get(server, "/simple/nothing/")[0] == 404
        told = {_get(server, "/metrics") for _ in range(10)}
    with started(file) as server:
        later = _get(server, "/metrics")

    line = b'\nwheelfarm_index_duration_seconds_count{kind="missing"} 40.0\n'
    assert all(line in text for _, text in (*told, later))


def _get(server: Server, path: str) -> tuple[int, bytes]:
    """By a connection of its own, so by any of the workers."""
    with closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
