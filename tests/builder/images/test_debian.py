"""A recipe's Debian packages are added to an image without touching it, or the machine."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from builder import apt, debian, images, process, sandbox
from builder.debian import Bound
from builder.images import Image
from builder.log import Log
from builder.sandbox import Bind, Sandbox
from schema.errors import JobError, LimitExceededError, PackagesError
from schema.jobs import Limits
from schema.states import FailureClass

PACKAGES = ("libpq-dev", "libcurl4-openssl-dev", "libssl-dev", "libffi-dev", "libyaml-dev", "libsodium-dev")
# What builds ask for: each library's header, and linking with it.
LIBRARIES = {
    "pq": ("libpq-fe.h", "PQlibVersion"),
    "curl": ("curl/curl.h", "curl_version"),
    "ssl": ("openssl/ssl.h", "SSL_CTX_new"),
    "ffi": ("ffi.h", "ffi_call"),
    "yaml": ("yaml.h", "yaml_get_version"),
    "sodium": ("sodium.h", "sodium_init"),
}


@pytest.fixture
def derived(image: Image, log: Log, cancelled: threading.Event) -> Image:
    return debian.with_packages(image, PACKAGES, log=log, cancelled=cancelled)


def _run(image: Image, log: Log, script: str, *binds: Bind) -> int:
    return sandbox.run(
        Sandbox(root=image.root, binds=binds),
        ["sh", "-euc", script],
        limits=Limits(),
        log=log,
        deadline=time.monotonic() + 60,
        cancelled=threading.Event(),
    ).exit_code


def test_config_programs_say_where_their_libraries_are(derived: Image, tmp_path: Path) -> None:
    log = Log(tmp_path / "said", limit_bytes=10**6)

    exit_code = _run(
        derived,
        log,
        "pg_config --version; pg_config --includedir; curl-config --libs; pkg-config --libs libffi libsodium",
    )

    assert exit_code == 0, log.tail()
    version, include, curl, packages = log.tail().splitlines()
    assert version.startswith("PostgreSQL 15")
    assert include == "/usr/include/postgresql"
    assert curl == "-lcurl"
    assert packages.split() == ["-lffi", "-lsodium"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_programs_compile_link_and_load_with_what_was_added(derived: Image, tmp_path: Path, library: str) -> None:
    header, function = LIBRARIES[library]
    log = Log(tmp_path / "said", limit_bytes=10**6)
    source = f"#include <stdio.h>\n#include <{header}>\nint main(void) {{ return (void *){function} == 0; }}"

    exit_code = _run(
        derived, log, f"cd /tmp; printf '%s' '{source}' > a.c; gcc -I/usr/include/postgresql a.c -l{library}; ./a.out"
    )

    assert exit_code == 0, log.tail()


def test_what_was_added_is_told_with_versions_and_digests(image: Image, derived: Image) -> None:
    added = {name: (version, digest) for name, version, digest in derived.added}

    assert set(PACKAGES) <= set(added)
    assert "libpq5" in added
    assert "gcc" not in added
    assert all(len(digest) == 64 and version[0].isdigit() for version, digest in added.values())
    assert derived.packages == image.packages | {name: version for name, (version, _) in added.items()}
    assert derived.digest != image.digest
    assert (derived.name, derived.python, derived.platform) == (image.name, image.python, image.platform)
    assert derived.tools.resolve() == image.tools.resolve()


def test_dpkg_names_the_package_of_each_added_file_and_that_it_is_not_configured(
    derived: Image, tmp_path: Path
) -> None:
    log = Log(tmp_path / "said", limit_bytes=10**6)

    exit_code = _run(
        derived,
        log,
        "for name in pq sodium; do dpkg -S $(realpath /usr/lib/*/lib$name.so.?*); done | cut -d: -f1 | sort -u;"
        "dpkg -s libpq5 | grep -e ^Status -e ^Version; dpkg -s gcc | grep ^Status",
    )

    assert exit_code == 0, log.tail()
    assert log.tail().splitlines() == [
        "libpq5",
        "libsodium23",
        "Status: install ok unpacked",
        f"Version: {derived.packages['libpq5']}",
        "Status: install ok installed",
    ]


def test_the_base_stays_as_it_was_made(image: Image, derived: Image) -> None:
    assert images.tree_digest(image.root) == image.digest
    assert not (image.root / "usr/bin/pg_config").exists()
    assert (derived.root / "usr/bin/gcc").stat().st_nlink > 1


def test_the_second_time_it_is_only_found(image: Image, derived: Image, log: Log, cancelled: threading.Event) -> None:
    started = time.monotonic()

    again = debian.with_packages(image, tuple(reversed(PACKAGES)), log=log, cancelled=cancelled)

    assert again == derived
    assert time.monotonic() - started < 0.5


def test_an_image_that_has_the_packages_is_its_own_answer(image: Image, log: Log, cancelled: threading.Event) -> None:
    assert debian.with_packages(image, ["gcc", "make"], log=log, cancelled=cancelled) == image
    assert debian.with_packages(image, [], log=log, cancelled=cancelled) == image


@pytest.mark.parametrize("name", ["libdoes-not-exist-dev", "libpq.dev", "lib.+"])
def test_a_package_that_there_is_not_is_the_recipes_fault(
    image: Image, log: Log, cancelled: threading.Event, name: str
) -> None:
    with pytest.raises(JobError) as raised:
        debian.with_packages(image, [name], log=log, cancelled=cancelled)

    assert raised.value.failure_class is FailureClass.REQUIREMENT
    assert f"no package {name.rstrip('+')}" in str(raised.value)


def test_packages_that_exclude_each_other_are_the_recipes_fault(
    image: Image, log: Log, cancelled: threading.Event
) -> None:
    with pytest.raises(JobError, match="cannot be installed together"):
        debian.with_packages(image, ["libcurl4-gnutls-dev", "libcurl4-openssl-dev"], log=log, cancelled=cancelled)


def test_what_no_person_chose_is_not_downloaded_beyond_its_bound(
    image: Image, log: Log, cancelled: threading.Event
) -> None:
    bound = Bound(packages=("libgsl-dev",), most_bytes=100_000)

    with pytest.raises(PackagesError, match=r"not added: libgsl-dev and what they need are \d\.\d MiB") as raised:
        debian.with_packages(image, ["libexpat1-dev", "libgsl-dev"], log=log, cancelled=cancelled, bound=bound)

    assert "heal.debian_bytes allows 0.1 MiB" in str(raised.value)
    assert raised.value.failure_class is FailureClass.REQUIREMENT
    assert not list((image.folder / "apt/cache/archives").glob("*.deb"))


def test_what_a_person_chose_does_not_count_against_the_bound(
    image: Image, log: Log, cancelled: threading.Event
) -> None:
    bound = Bound(packages=("libyaml-dev",), most_bytes=2**20)
    with images.locked(image.folder, "derived"):
        larger = apt.download_bytes(
            image.folder / "apt", image.root, image.architectures, ["libgsl-dev"], cancelled=cancelled
        )
    assert larger > bound.most_bytes

    debian.with_packages(image, ["libyaml-dev", "libgsl-dev"], log=log, cancelled=cancelled, bound=bound)


def test_a_package_that_there_is_not_has_no_size(image: Image, cancelled: threading.Event) -> None:
    with (
        images.locked(image.folder, "derived"),
        pytest.raises(PackagesError, match="no package libdoes-not-exist-dev"),
    ):
        apt.download_bytes(
            image.folder / "apt", image.root, image.architectures, ["libdoes-not-exist-dev"], cancelled=cancelled
        )


def test_a_cancelled_job_adds_nothing(image: Image, log: Log, cancelled: threading.Event) -> None:
    cancelled.set()

    with pytest.raises(LimitExceededError) as raised:
        debian.with_packages(image, ["liblz4-dev"], log=log, cancelled=cancelled)

    assert raised.value.failure_class is FailureClass.CANCELLED


def test_several_jobs_at_once_share_one_making(image: Image, tmp_path: Path, cancelled: threading.Event) -> None:
    answers: list[Image] = []
    logs = [Log(tmp_path / f"log-{number}", limit_bytes=10**6) for number in range(3)]

    def add(log: Log) -> None:
        answers.append(debian.with_packages(image, ["libexpat1-dev"], log=log, cancelled=cancelled))

    threads = [threading.Thread(target=add, args=(log,)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 3
    assert len({answer.digest for answer in answers}) == 1
    assert sum("adding" in log.tail() for log in logs) <= 1


def test_this_machines_apt_is_left_alone(image: Image, cancelled: threading.Event) -> None:
    places = [Path("/var/lib/apt/lists"), Path("/var/cache/apt/archives"), Path("/var/lib/dpkg/status")]
    before = [(place.stat().st_mtime_ns, len(list(place.iterdir())) if place.is_dir() else 0) for place in places]

    with images.locked(image.folder, "derived"):
        debs = apt.fetch(
            image.folder / "apt",
            image.root,
            image.architectures,
            ["libzstd-dev"],
            cancelled=cancelled,
        )

    assert [apt.identity(deb)[0] for deb in debs] == ["libzstd-dev"]
    assert before == [
        (place.stat().st_mtime_ns, len(list(place.iterdir())) if place.is_dir() else 0) for place in places
    ]


def test_unpacking_replaces_files_and_keeps_the_folders_that_are_links(tmp_path: Path) -> None:
    base, copy, package = tmp_path / "base", tmp_path / "copy", tmp_path / "package"
    (base / "usr/lib").mkdir(parents=True)
    (base / "usr/lib/shared").write_text("the base's")
    (base / "lib").symlink_to("usr/lib")
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN/control").write_text(
        "Package: evil\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: x\n"
    )
    (package / "lib").mkdir()
    (package / "lib/shared").write_text("the package's")
    (package / "lib/new").write_text("new")
    process.run(["dpkg-deb", "--root-owner-group", "--build", str(package), str(tmp_path / "a.deb")])
    process.run(["cp", "-al", str(base), str(copy)])

    debian._unpack(tmp_path / "a.deb", copy)

    assert (base / "usr/lib/shared").read_text() == "the base's"
    assert (copy / "usr/lib/shared").read_text() == "the package's"
    assert (copy / "usr/lib/new").read_text() == "new"
    assert (copy / "lib").is_symlink()
