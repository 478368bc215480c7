"""A file of downloads is checked to its end, and then counts in the score of what is still to be built."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from master import ranking
from master.ranking import Imported
from schema.db import scoring
from schema.db.models import Build, Project
from schema.db.session import transaction
from schema.errors import UsageError
from schema.states import BuildState
from tests import rows

Put = Callable[[Any], Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def written(content: Any) -> Path:
        file = tmp_path / "top"
        data = content if isinstance(content, (str, bytes)) else json.dumps(content)
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
        return file

    return written


@pytest.mark.parametrize(
    "content",
    [
        "name,downloads\nNumPy,7\nzope.interface,3\n",
        '"NumPy","7"\r\nzope.interface, 3\r\n',
        "\ufeffproject,download_count\nNumPy,7\nzope.interface,3",
        {"rows": [{"project": "NumPy", "download_count": 7}, {"download_count": 3, "project": "zope.interface"}]},
        [{"project": "NumPy", "download_count": 7}, {"download_count": 3, "project": "zope.interface", "more": 1}],
    ],
)
def test_csv_and_the_json_of_the_known_list_are_read(put: Put, content: Any) -> None:
    assert list(ranking.read(put(content))) == [("numpy", 7), ("zope-interface", 3)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,1\nb,2,3\n", "line 2: not of the form name,downloads"),
        ("a,1\n\nb,2\n", "line 2: not of the form"),
        ("a,1\nb,many\n", "line 2: 'many' is no number of downloads"),
        ("a,-1\n", "line 1: '-1' is no number"),
        ("a,1\nb,99999999999999999999\n", "line 2"),
        ("a,1\n../etc,2\n", "line 2: not a project name: '../etc'"),
        (f"{'a' * 300},2\n", "line 1: 'aaaa"),
        ('a,1\n"b,2\n', "line 2: unexpected end of data"),
        (b"a,1\n\xff\xfe,2\n", "not UTF-8 from byte 4 on"),
        ('{"rows": [\n{"project": ]}', "line 2: not JSON"),
        ("[" * 100_000, "not JSON"),
        ({"rows": 7}, "has no list of rows"),
        ({"rows": [{"project": "a", "download_count": 1}, {"name": "b"}]}, "row 2: has no project and download_count"),
        ({"rows": [{"project": "a", "download_count": True}]}, "row 1: 'True' is no number"),
        ({"rows": [{"project": None, "download_count": 1}]}, "row 1: 'None' is no project's name"),
        ({"rows": [{"project": "a", "download_count": 1.5}]}, "row 1: '1.5' is no number"),
    ],
)
def test_a_fault_is_told_with_its_place_and_nothing_is_changed(
    put: Put, database: Engine, content: Any, words: str
) -> None:
    with transaction(database) as session:
        rows.project(session, "a")

    with pytest.raises(UsageError) as caught:
        ranking.take(database, put(content))

    assert words in str(caught.value)
    with transaction(database) as session:
        assert session.scalars(select(Project.downloads)).one() == 0


def test_an_empty_file_is_no_ranking(put: Put, database: Engine) -> None:
    with pytest.raises(UsageError, match="names no project"):
        ranking.take(database, put("name,downloads\n"))


def test_open_builds_of_what_changed_get_their_new_score(put: Put, database: Engine) -> None:
    with transaction(database) as session:
        for name in ("popular", "known", "other"):
            rows.build(session, rows.project(session, name))
        done = rows.build(session, rows.project(session, "done"), state=BuildState.FAILED)
        same = session.scalars(select(Project).where(Project.name == "known")).one()
        same.downloads = 99
        session.flush()
        scoring.rescore(session, session.scalars(select(Build)).all())
        before = dict(session.execute(select(Build.id, Build.score)).all())
        done_id = done.id
    told: list[tuple[int, int]] = []

    file = put("popular,999\nknown,99\ndone,5\nnobody,3\n")
    found = ranking.take(database, file, tell=lambda *numbers: told.append(numbers))

    assert found == Imported(rows=4, unknown=1, changed=2, builds=1)
    assert told == [(4, 4)]
    with transaction(database) as session:
        after = dict(session.execute(select(Build.id, Build.score)).all())
        changed = [build_id for build_id in after if after[build_id] != before[build_id]]
        named = select(Project.name).join(Project.builds).where(Build.id.in_(changed))
        assert session.scalars(named).all() == ["popular"]
        assert after[changed[0]] - before[changed[0]] == pytest.approx(60.0)
        assert session.get_one(Build, done_id).project.downloads == 5


def test_many_rows_go_in_many_transactions_and_a_second_import_changes_nothing(put: Put, database: Engine) -> None:
    with transaction(database) as session:
        rows.project(session, "p-449")
    file = put("".join(f"p-{number},{number}\n" for number in range(450)))
    told: list[int] = []

    first = ranking.take(database, file, tell=lambda done, _: told.append(done))

    assert (first.changed, told) == (1, [200, 400, 450])
    assert ranking.take(database, file) == Imported(rows=450, unknown=449)
