"""Access logs: each line counts once, whatever happens to the log, and whatever stands in it."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from master import download_log
from master.download_log import Taken, take
from schema.db.models import Download
from schema.db.session import transaction
from schema.errors import UsageError
from tests import rows

WHEEL = "demo-1.0-py3-none-any.whl"
PLUS = "demo-1.0+local.1-py3-none-any.whl"
AGENT = "pip/26.3 " + json.dumps({"cpu": "x86_64", "python": "3.11.7"}).replace('"', r"\x22")


@pytest.fixture(autouse=True)
def wheels(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        for filename in (WHEEL, PLUS):
            rows.wheel(session, build, filename=filename)


def line(
    path: str = f"/files/{WHEEL}",
    *,
    at: str = "20/Nov/2026:12:00:00 +0000",
    status: int = 200,
    agent: str = AGENT,
    method: str = "GET",
) -> str:
    return f'192.0.2.7 - someone [{at}] "{method} {path} HTTP/1.1" {status} 890 "-" "{agent}"\n'


def counted(database: Engine) -> dict[tuple[date, str, str, str], int]:
    with transaction(database) as session:
        found = session.scalars(select(Download))
        return {(row.day, row.filename, row.client, row.python): row.count for row in found}


DAY = date(2026, 11, 20)


def test_a_line_is_a_download_and_nothing_of_whom_is_kept(database: Engine, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(line() + line() + line(agent="x"))

    assert take(database, log) == Taken(lines=3, downloads=3)
    assert counted(database) == {(DAY, WHEEL, "pip", "3.11"): 2, (DAY, WHEEL, "other", ""): 1}


@pytest.mark.parametrize(
    "other",
    [
        line(status=206), line(status=304), line(status=404), line(method="HEAD"), line("/files/x-1-py3-none-any.whl"),
        line(f"/files/{WHEEL}.metadata"), line("/simple/demo/"), line(f"/elsewhere/files/{WHEEL}"), "\n",
        "x" * 40_000 + "\n",
        line(at="99/Nov/2026:12:00:00 +0000"), line(at="20/Nov/9998:12:00:00 +0000"), line("/files/%00.whl"),
        line("/files/../files/" + WHEEL), "\0\xff\n", line(agent='" 200 1 "-" "pip/1').replace("/files/demo", "/x"),
    ],
)  # fmt: skip
def test_what_is_no_download_of_ours_is_passed_over(other: str, database: Engine, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(other + line(), encoding="latin-1")

    assert take(database, log) == Taken(lines=2, downloads=1)


@pytest.mark.parametrize("path", [f"/files/{PLUS}", f"/files/{PLUS.replace('+', '%2B')}", f"/files/{PLUS}?x=1"])
def test_a_name_counts_however_it_is_escaped(path: str, database: Engine, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(line(path))

    assert take(database, log).downloads == 1


def test_a_day_is_one_of_utc(database: Engine, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(line(at="20/Nov/2026:01:00:00 +0200"))

    take(database, log)

    assert {day for day, *_ in counted(database)} == {DAY - timedelta(days=1)}


def test_a_log_that_grows_is_gone_on_with(database: Engine, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(line() + line()[:30])
    first = take(database, log)
    with log.open("a") as opened:
        opened.write(line()[30:] + line())

    assert (first.lines, take(database, log).lines, take(database, log).lines) == (1, 2, 0)


def test_a_log_that_was_renamed_and_packed_meanwhile_is_the_same(database: Engine, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(line())
    take(database, log)
    (tmp_path / "access.log.1.gz").write_bytes(gzip.compress((line() + line()).encode()))
    log.write_text(line(at="21/Nov/2026:00:00:00 +0000"))

    assert take(database, tmp_path / "access.log.1.gz") == Taken(lines=1, downloads=1)
    assert take(database, log) == Taken(lines=1, downloads=1)
    assert sum(counted(database).values()) == 3


def test_a_long_log_is_taken_in_parts(database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_log, "_LINES_AT_ONCE", 3)
    log = tmp_path / "access.log"
    log.write_text("".join(line(at=f"20/Nov/2026:12:00:0{number} +0000") for number in range(7)))

    assert take(database, log) == Taken(lines=7, downloads=7)


def test_so_many_logs_are_remembered(database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_log, "_LOGS_REMEMBERED", 2)
    logs = []
    for number in range(3):
        log = tmp_path / f"{number}.log"
        log.write_text(line(at=f"20/Nov/2026:12:00:0{number} +0000"))
        logs.append(log)
    for log in logs:
        take(database, log)

    assert [take(database, log).lines for log in (logs[2], logs[1])] == [0, 0]


def test_an_empty_log_is_none(database: Engine, tmp_path: Path) -> None:
    (tmp_path / "access.log").touch()

    assert take(database, tmp_path / "access.log") == Taken(lines=0, downloads=0)


def test_a_broken_archive_is_refused(database: Engine, tmp_path: Path) -> None:
    log = tmp_path / "access.log.gz"
    log.write_bytes(gzip.compress((line() * 1000).encode())[:-20])

    with pytest.raises(UsageError, match="cannot be read"):
        take(database, log)


def test_logs_of_several_machines_that_are_read_at_once_each_count_once(database: Engine, tmp_path: Path) -> None:
    logs = [tmp_path / f"{number}.log" for number in range(12)]
    for number, log in enumerate(logs):
        log.write_text(line(agent=f"machine {number}") + line())
    take(database, logs[0])

    with ThreadPoolExecutor(max_workers=4) as machines:
        found = list(machines.map(partial(take, database), logs))
    again = [take(database, log) for log in logs]

    assert sum(taken.downloads for taken in found) == 2 * len(logs) - 2
    assert {taken.lines for taken in again} == {0}
