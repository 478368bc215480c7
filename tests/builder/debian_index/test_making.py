"""An index is there whole or not at all, is made anew when it is old, and nobody waits for it in vain."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from builder import apt, images
from builder.debian_index import asking, making
from builder.images import Image
from schema.errors import ImageError, JobError, LimitExceededError
from schema.missing import Missing, MissingKind
from schema.states import FailureClass
from tests.builder.debian_index.conftest import CONTENTS, INDEXES, Archive

LBER = Missing(kind=MissingKind.HEADER, name="lber.h")


def quiet(_step: str, _done: float | None) -> None:
    """Tell nobody."""


def what_is_left(image: Image) -> list[str]:
    return sorted(entry.name for entry in image.folder.iterdir() if not entry.name.endswith(".lock"))


def grow_old(index: Path, days: int) -> None:
    with contextlib.closing(sqlite3.connect(index)) as database:
        made_at = datetime.now(UTC) - timedelta(days=days)
        database.execute("UPDATE about SET value = ? WHERE key = 'made_at'", (made_at.isoformat(),))
        database.commit()
    os.utime(index, (made_at.timestamp(), made_at.timestamp()))


def test_what_the_archive_lists_can_be_asked(small_image: Image) -> None:
    index = making.make(small_image, progress=quiet)

    assert asking.lookup(index, LBER)[0].package == "libldap-dev"
    assert asking.build_depends(index, "python-ldap") == ("libldap2-dev", "libsasl2-dev")
    assert what_is_left(small_image) == ["apt", "debian-index-2.sqlite", "root"]
    assert making.about(index)["files"] == "7"


def test_one_list_of_the_files_of_all_components_does_too(small_image: Image, archive: Archive) -> None:
    files = CONTENTS.replace("libdevel/", "universe/libdevel/")
    archive.publish(contents_of_all=files, sources=INDEXES["sources"], packages=INDEXES["packages"])

    index = making.make(small_image, progress=quiet)

    assert asking.lookup(index, LBER)[0].package == "libldap-dev"


def test_updates_alone_make_no_index(small_image: Image, archive: Archive) -> None:
    archive.publish(suite="bookworm-updates", **INDEXES)
    archive.publish()
    sources = small_image.folder / "apt/sources.list.d/image.sources"
    sources.write_text(sources.read_text().replace("Suites: bookworm", "Suites: bookworm bookworm-updates"))

    with pytest.raises(ImageError, match="gave no Contents"):
        making.make(small_image, progress=quiet)

    archive.publish(**INDEXES)
    assert making.about(making.make(small_image, progress=quiet))["files"] == "7"


def test_an_index_is_made_once_and_anew_when_it_is_old(small_image: Image, archive: Archive) -> None:
    index = making.make(small_image, progress=quiet)
    archive.publish(**INDEXES | {"contents": CONTENTS.replace("libldap-dev", "libldap2-dev")})
    archive.asked.clear()

    making.make(small_image, progress=quiet)
    assert archive.asked == []

    grow_old(index, days=8)
    making.make(small_image, progress=quiet)
    assert asking.lookup(index, LBER)[0].package == "libldap2-dev"


@pytest.mark.parametrize(
    ("has", "said"),
    [
        (["sources", "packages"], "gave no Contents of bookworm"),
        (["contents", "packages"], "gave no Sources of bookworm"),
        (["contents", "sources"], "gave no Packages of bookworm"),
        ([], "gave no Contents and no Sources and no Packages of bookworm"),
    ],
)
def test_an_archive_without_the_lists_is_said_to_have_none(
    small_image: Image, archive: Archive, has: list[str], said: str
) -> None:
    archive.publish(**{name: INDEXES[name] for name in has})

    with pytest.raises(ImageError, match=said) as raised:
        making.make(small_image, progress=quiet)

    assert f"{small_image.folder}/apt/sources.list.d" in str(raised.value)
    assert what_is_left(small_image) == ["apt", "root"]


@pytest.mark.parametrize(("has_suite", "said"), [(False, "does not have a Release file"), (True, "is not signed")])
def test_an_archive_without_the_suite_or_without_a_signature_is_refused(
    small_image: Image, archive: Archive, *, has_suite: bool, said: str
) -> None:
    sources = small_image.folder / "apt/sources.list.d/image.sources"
    sources.write_text(sources.read_text().replace("Trusted: yes\n", ""))
    if not has_suite:
        shutil.rmtree(archive.folder / "dists")

    with pytest.raises(ImageError, match=said):
        making.make(small_image, progress=quiet)

    assert what_is_left(small_image) == ["apt", "root"]


@pytest.mark.slow  # apt tries four times, and takes its time between
def test_a_server_that_does_not_answer_is_named(small_image: Image, archive: Archive) -> None:
    archive.close()

    with pytest.raises(
        ImageError, match=r"gave no Contents and no Sources and no Packages of bookworm: .*Connection refused"
    ):
        making.make(small_image, progress=quiet)

    assert what_is_left(small_image) == ["apt", "root"]


@pytest.mark.slow  # as above
def test_a_package_is_not_called_unknown_where_the_archive_does_not_answer(
    small_image: Image, archive: Archive, cancelled: threading.Event
) -> None:
    archive.close()

    with pytest.raises(ImageError, match=r"lists could not be fetched: .*Connection refused"):
        apt.fetch(small_image.folder / "apt", small_image.root, ("amd64",), ["libldap-dev"], cancelled=cancelled)


def test_a_package_that_the_archive_does_not_have_is_called_unknown(
    small_image: Image, cancelled: threading.Event
) -> None:
    with pytest.raises(JobError, match="no package libnowhere-dev"):
        apt.fetch(small_image.folder / "apt", small_image.root, ("amd64",), ["libnowhere-dev"], cancelled=cancelled)


def test_an_old_index_serves_where_no_new_one_can_be_made_and_is_not_tried_by_each_build(
    small_image: Image, archive: Archive
) -> None:
    index = making.make(small_image, progress=quiet)
    grow_old(index, days=30)
    archive.publish()
    told: list[str] = []

    found = making.make(small_image, progress=lambda step, _done: told.append(step))

    day = (datetime.now(UTC) - timedelta(days=30)).date()
    assert found == index
    assert told[-1].startswith(f"going on with the index of {day}: the image's package sources gave no Contents")
    assert asking.lookup(index, LBER)[0].package == "libldap-dev"
    assert what_is_left(small_image) == ["apt", "debian-index-2.sqlite", "root"]

    archive.asked.clear()
    assert making.make(small_image, progress=quiet) == index
    assert archive.asked == []
    # Who asks for a new one by hand is not put off.
    making.make(small_image, progress=quiet, fresh=timedelta(0))
    assert archive.asked != []


@pytest.mark.parametrize("broken", [b"", b"no database at all", b"SQLite format 3\0" + b"\xff" * 200])
def test_a_broken_index_is_made_anew(small_image: Image, broken: bytes) -> None:
    (small_image.folder / "debian-index-2.sqlite").write_bytes(broken)

    index = making.make(small_image, progress=quiet)

    assert asking.lookup(index, LBER)[0].package == "libldap-dev"


def test_a_cancelled_build_does_not_wait_for_the_archive(
    small_image: Image, archive: Archive, cancelled: threading.Event
) -> None:
    archive.answers.clear()
    threading.Timer(0.5, cancelled.set).start()
    started = time.monotonic()

    with pytest.raises(LimitExceededError) as raised:
        making.make(small_image, progress=quiet, cancelled=cancelled)

    assert raised.value.failure_class is FailureClass.CANCELLED
    assert time.monotonic() - started < 5
    assert archive.asked != []
    assert what_is_left(small_image) == ["apt", "root"]


def test_a_cancelled_build_does_not_wait_for_another_that_makes_the_index(
    small_image: Image, archive: Archive, cancelled: threading.Event
) -> None:
    threading.Timer(0.3, cancelled.set).start()
    started = time.monotonic()

    with images.locked(small_image.folder, "debian-index"), pytest.raises(LimitExceededError) as raised:
        making.make(small_image, progress=quiet, cancelled=cancelled)

    assert raised.value.failure_class is FailureClass.CANCELLED
    assert time.monotonic() - started < 5
    assert archive.asked == []


@pytest.mark.parametrize(
    "step", ["reading the lists of files", "reading the list of sources", "reading the list of packages"]
)
def test_a_cancelled_build_reads_no_further(small_image: Image, cancelled: threading.Event, step: str) -> None:
    def stop(told: str, _done: float | None) -> None:
        if told == step:
            cancelled.set()

    with pytest.raises(LimitExceededError):
        making.make(small_image, progress=stop, cancelled=cancelled)

    assert what_is_left(small_image) == ["apt", "root"]


def test_a_cancelled_build_has_the_index_that_is_there(small_image: Image, cancelled: threading.Event) -> None:
    index = making.make(small_image, progress=quiet)
    cancelled.set()

    assert making.make(small_image, progress=quiet, cancelled=cancelled) == index
