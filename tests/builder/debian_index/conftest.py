"""A small Debian archive on loopback, and an image whose package sources name it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from builder.images import Image
from schema.names import Sha256

CONTENTS = """\
usr/bin/krb5-config                                     libdevel/libkrb5-dev
usr/include/lber.h                                      libdevel/libldap-dev
usr/include/pypy3.9/Python.h                            python/pypy3-dev
usr/include/python3.10/Python.h                         python/libpython3.10-dev
usr/include/python3.11/Python.h                         libdevel/libpython3.11-dev
usr/include/tool/old.h                                  libdevel/libgone-dev
usr/lib/x86_64-linux-gnu/libcurl.so                     libdevel/libcurl4-gnutls-dev,libdevel/libcurl4-openssl-dev
usr/lib/x86_64-linux-gnu/pkgconfig/libsystemd.pc        libdevel/libsystemd-dev
"""
PACKAGES = "\n".join(
    f"Package: {name}\nVersion: {version}\n{more}"
    for name, version, more in (
        ("libkrb5-dev", "1.20.1-2", ""),
        ("libldap-dev", "2.5.13-5", ""),
        ("libldap2-dev", "2.5.13-5", "Depends: libldap-dev\n"),
        ("libsasl2-dev", "2.1.28-10", ""),
        ("libpython3.11-dev", "3.11.2-6", ""),
        ("libpython3.10-dev", "3.10.1-1", ""),
        ("pypy3-dev", "7.3.11", ""),
        ("libcurl4-gnutls-dev", "7.88.1-10", "Provides: libcurl-dev, libcurl4-dev (= 7.88.1)\n"),
        ("libcurl4-openssl-dev", "7.88.1-10", "Provides: libcurl-dev, libcurl4-dev\n"),
        ("libsystemd-dev", "252-1", ""),
        ("zlib1g-dev", "1:1.2.13", "Provides: libz-dev\n"),
    )
)
SOURCES = """\
Package: python-ldap
Binary: python3-ldap
Version: 3.4.3-2
Build-Depends: debhelper-compat (= 13), libldap2-dev, libsasl2-dev, python3-all-dev, slapd <!nocheck>

Package: pycurl
Binary: python3-pycurl
Version: 7.45.2-3
Build-Depends: libcurl-ssl-dev | libcurl-dev, libz-dev, libgone-dev, libcurl4-openssl-dev, graphviz,
 libldap3-dev | libldap-dev
"""
INDEXES = {"contents": CONTENTS, "sources": SOURCES, "packages": PACKAGES}


class Archive:
    """What lies below *folder*, as a suite of one component; without signatures, so the sources trust it as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.answers = threading.Event()
        self.answers.set()
        handler = partial(_Handler, self, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def publish(self, *, suite: str = "bookworm", **indexes: str) -> None:
        """Let the suite have these of ``contents``, ``sources`` and ``packages``, and no others.

        contents_of_all: the files of all components, as Ubuntu has them
        """
        paths = {
            "contents": "main/Contents-amd64",
            "contents_of_all": "Contents-amd64",
            "sources": "main/source/Sources",
            "packages": "main/binary-amd64/Packages",
        }
        folder = self.folder / "dists" / suite
        # Without any sum apt would take it for an archive that has none.
        sums = [f" {hashlib.sha256(b'').hexdigest()} 0 main/nothing\n"]
        for kind, path in paths.items():
            (folder / path).unlink(missing_ok=True)
            if (text := indexes.get(kind)) is not None:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text)
                sums.append(f" {hashlib.sha256(text.encode()).hexdigest()} {len(text.encode())} {path}\n")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Release").write_text(
            f"Suite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\n"
            f"Date: Sat, 10 Jun 2023 08:53:33 UTC\nSHA256:\n{''.join(sums)}"
        )

    def close(self) -> None:
        """From now on nothing listens there."""
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, archive: Archive, *arguments: object, **more: object) -> None:
        self._archive = archive
        super().__init__(*arguments, **more)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._archive.asked.append(self.path)
        self._archive.answers.wait(30)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """An archive that has all that an index is made of."""
    (tmp_path / "archive").mkdir()
    made = Archive(tmp_path / "archive")
    made.publish(**INDEXES)
    yield made
    made.close()


@pytest.fixture
def small_image(archive: Archive, tmp_path: Path) -> Image:
    """An image with nothing in it but what apt looks at."""
    folder = tmp_path / "images/debian12-x86_64"
    (folder / "apt/sources.list.d").mkdir(parents=True)
    (folder / "apt/sources.list.d/image.sources").write_text(
        f"Types: deb\nURIs: {archive.url}\nSuites: bookworm\nComponents: main\nTrusted: yes\n"
    )
    (folder / "root/var/lib/dpkg").mkdir(parents=True)
    (folder / "root/var/lib/dpkg/status").touch()
    return Image(
        name="debian12-x86_64",
        folder=folder,
        digest=Sha256("0" * 64),
        packages={"libpython3.11-dev": "3.11.2-6"},
        python="3.11.2",
    )
