"""Files of an untrusted root: each name leads to where it leads inside, never out."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import bubblewrap, rootfs, sandbox
from builder.log import Log
from builder.rootfs import Root
from builder.sandbox import Sandbox
from schema.errors import NodeError
from schema.jobs import Limits
from tests.builder.sandbox.conftest import NOBODY

_NO_SUCH_CALL = 1_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """With an ``/etc/passwd`` of its own, beside a secret."""
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "root"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/passwd").write_text("inside")
    return folder


@pytest.fixture(params=["the kernel resolves names", "the kernel cannot"])
def opened(request: pytest.FixtureRequest, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Root]:
    if request.param == "the kernel cannot":
        monkeypatch.setattr(rootfs, "_SYS_OPENAT2", _NO_SUCH_CALL)
    with Root(root) as found:
        yield found


@contextlib.contextmanager
def _mounted(kind: str, folder: Path) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    subprocess.run(["mount", "-t", kind, kind, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../../etc/passwd", "etc/passwd", "../etc/../etc/passwd"])
def test_a_link_leads_to_the_file_of_the_root(target: str, root: Path, opened: Root) -> None:
    (root / "link").symlink_to(target)

    assert opened.read("link", most_bytes=100) == b"inside"


def test_a_link_to_a_folder_leads_into_the_root(root: Path, opened: Root) -> None:
    (root / "link").symlink_to("/etc")

    assert opened.names("link") == ["passwd"]
    assert opened.read("link/passwd", most_bytes=100) == b"inside"


@pytest.mark.parametrize("name", ["../secret", "/../secret", "etc/../../secret", "up/secret", "absolute"])
def test_no_name_leads_out(name: str, root: Path, opened: Root, tmp_path: Path) -> None:
    (root / "up").symlink_to("..")
    (root / "absolute").symlink_to(tmp_path / "secret")

    with pytest.raises(FileNotFoundError):
        opened.open(name)
    assert opened.names(name) == []


@pytest.mark.parametrize("name", ["/proc/self/root/etc/passwd", "loop", "fifo", "etc", "nowhere"])
def test_what_is_no_regular_file_is_an_error_at_once(name: str, root: Path, opened: Root) -> None:
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")

    assert not opened.holds(name)
    with pytest.raises(OSError, match=r".+"):
        opened.read(name, most_bytes=100)


def test_a_link_can_be_forbidden_on_the_way(root: Path, opened: Root) -> None:
    (root / "link").symlink_to("etc")

    assert opened.holds("link/passwd")
    assert not opened.holds("link/passwd", links=False)
    assert opened.holds("etc/passwd", links=False)


def test_a_link_may_come_in_the_middle_and_lead_up_as_far_as_the_root(root: Path, opened: Root) -> None:
    (root / "etc/up").symlink_to("../../..")
    (root / "etc/there").symlink_to("up/etc")

    assert opened.read("etc/there/./passwd", most_bytes=100) == b"inside"
    assert opened.names("etc/up") == ["etc"]
    assert opened.names("") == ["etc"]


def test_what_another_file_system_holds_is_not_the_roots(root: Path, opened: Root) -> None:
    (root / "proc").mkdir()
    with _mounted("proc", root / "proc"):
        assert opened.names("proc") == []
        with pytest.raises(OSError, match=r".+"):
            opened.open("proc/uptime")


def test_no_more_is_read_than_wanted(opened: Root) -> None:
    with pytest.raises(OSError, match="larger than 5 bytes"):
        opened.read("etc/passwd", most_bytes=5)


@pytest.mark.parametrize("name", ["usr", "var", "opt", "lib", "lib64", "bin"])
def test_a_link_in_the_place_of_a_folder_never_shows_the_build_what_lies_out_here(name: str, root: Path) -> None:
    (root / name).symlink_to("/")

    given = list(bubblewrap.options(root, (), {}, cwd="/", network=False))

    sources = [given[at + 1] for at, word in enumerate(given) if word in {"--ro-bind", "--bind"}]
    assert sources == [str(root / "etc")]
    assert given[given.index(f"/{name}") - 2 :][:2] == ["--symlink", "/"]


def test_a_root_whose_folders_are_links_to_this_machines_runs_nothing_of_it(reachable: Path, log: Log) -> None:
    for name in ("usr", "bin", "lib", "lib64"):
        (reachable / name).symlink_to(f"/{name}")

    with pytest.raises(NodeError, match="execvp"):
        sandbox.run(
            Sandbox(root=reachable, uid=NOBODY if os.geteuid() == 0 else None),
            ["/usr/bin/python3", "-c", "print(1)"],
            limits=Limits(),
            log=log,
            deadline=time.monotonic() + 30,
            cancelled=threading.Event(),
        )
