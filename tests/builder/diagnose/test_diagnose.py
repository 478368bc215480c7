"""What a failed build's log is taken to say."""

from __future__ import annotations

import pytest

from builder.diagnose import diagnose
from builder.plain import plain
from schema.missing import Missing, MissingKind
from schema.states import FailureClass

COMPILER = """\
building '_cffi_backend' extension
x86_64-linux-gnu-gcc -O2 -c src/c/_cffi_backend.c -o build/_cffi_backend.o
src/c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file or directory
   15 | #include <ffi.h>
      |          ^~~~~~~
compilation terminated.
error: command '/usr/bin/x86_64-linux-gnu-gcc' failed with exit code 1
"""
PYTHON = """\
Traceback (most recent call last):
  File "<string>", line 127, in configure_unix
ConfigurationError: Could not run curl-config: [Errno 2] No such file or directory: 'curl-config'
"""
CALLED = """\
configure: error: no acceptable C compiler found in $PATH
Traceback (most recent call last):
  File "setup.py", line 1
subprocess.CalledProcessError: Command '['./configure']' returned non-zero exit status 77.
"""
DOWNLOAD = """\
  File "/usr/lib/python3.11/urllib/request.py", line 1351, in do_open
urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>
"""
NO_ROOM = "/usr/bin/ld: final link failed: No space left on device\ncollect2: error: ld returned 1 exit status\n"
KILLED = "x86_64-linux-gnu-gcc: fatal error: Killed signal terminated program cc1plus\n"
KILLED_TEST = """\
/src/libsodium/build-aux/test-driver: line 107: 15532 Killed                  "$@" > $log_file 2>&1
FAIL: pwhash_scrypt
make[4]: *** [Makefile:1805: test-suite.log] Error 1
"""
WITHOUT_RUST = """\
Rust not found, installing into a temporary directory
urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>
"""


@pytest.mark.parametrize(
    ("text", "failure_class", "line", "evidence"),
    [
        (COMPILER, "header", 3, "src/c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file or directory"),
        (PYTHON, "program", 3, "ConfigurationError: Could not run curl-config"),
        (CALLED, "compiler", 1, "configure: error: no acceptable C compiler found in $PATH"),
        (DOWNLOAD, "network", 2, "Temporary failure in name resolution"),
        (NO_ROOM, "disk", 1, "No space left on device"),
        (KILLED, "memory", 1, "Killed signal terminated program cc1plus"),
        (KILLED_TEST, "memory", 1, "15532 Killed"),
        (KILLED_TEST.partition("\n")[2], "tests", 1, "FAIL: pwhash_scrypt"),
        (WITHOUT_RUST, "compiler", 1, "Rust not found"),
        ("--- build\n\nall is well\nonly this\n", "build", 4, "only this"),
        ("", "build", None, ""),
    ],
)
def test_the_class_and_the_line_that_tells_why(text: str, failure_class: str, line: int | None, evidence: str) -> None:
    found = diagnose(text)

    assert (found.failure_class, found.line) == (FailureClass(failure_class), line)
    assert evidence in found.evidence


ONE_LINE = {
    "ModuleNotFoundError: No module named 'ConfigParser'": ("interpreter", None),
    "SyntaxError: Missing parentheses in call to 'print'. Did you mean print(...)?": ("interpreter", None),
    "src/_fastmath.c:36:10: fatal error: longintrepr.h: No such file or directory": ("interpreter", None),
    "a.c:9:21: error: 'PyThreadState' {aka 'struct _ts'} has no member named 'exc_type'": ("interpreter", None),
    "ModuleNotFoundError: No module named 'distutils'": ("interpreter", None),
    "ERROR: Package 'x' requires a different Python: 3.11.2 not in '>=3.12'": ("interpreter", None),
    "error in pybluez setup command: use_2to3 is invalid.": ("requirement-too-new", None),
    "ImportError: cannot import name 'Feature' from 'setuptools' (/env/setuptools/__init__.py)": (
        "requirement-too-new",
        None,
    ),
    "ModuleNotFoundError: No module named 'pkg_resources'": ("requirement-too-new", None),
    "AttributeError: 'build_ext' object has no attribute 'cython_sources'": ("requirement-too-new", None),
    "configuration error: `project.license` must be valid exactly by one definition": ("requirement-too-old", None),
    "lock file version 4 was found, but this version of Cargo does not understand this lock file": ("toolchain", None),
    "Rust 1.63.0 does not match extension requirement >=1.64.0": ("toolchain", None),
    "blake2b-ref.c:370:3: error: size of array element is not a multiple of its alignment": ("toolchain", None),
    "error: can't find Rust compiler": ("compiler", "compiler rust"),
    "Checking for Rust toolchain....": ("compiler", "compiler rust"),
    "../meson.build:1:0: ERROR: Unknown compiler(s): [['c++'], ['g++'], ['clang++']]": ("compiler", "compiler c++"),
    "../meson.build:1:0: ERROR: Unknown compiler(s): [['gfortran'], ['flang']]": ("compiler", "compiler fortran"),
    "error: [Errno 2] No such file or directory: 'x86_64-linux-gnu-g++'": ("compiler", "compiler c++"),
    "Could not find the compiler specified in the environment variable CXX:": ("compiler", "compiler c++"),
    "../cairo/meson.build:31:12: ERROR: Dependency lookup for cairo with method 'pkg-config' failed: "
    "Pkg-config for machine host machine not found. Giving up.": ("program", "program pkg-config"),
    "/bin/sh: 1: pkg-config: not found": ("program", "program pkg-config"),
    "error: pkg-config probably not installed: FileNotFoundError(2, 'No such file or directory')": (
        "program",
        "program pkg-config",
    ),
    "FileNotFoundError: [Errno 2] No such file or directory: 'curl-config'": ("program", "program curl-config"),
    "Error: pg_config executable not found.": ("program", "program pg_config"),
    "/bin/sh: 1: krb5-config: not found": ("program", "program krb5-config"),
    "FileNotFoundError: [Errno 2] No such file or directory: 'dot'": ("program", "program dot"),
    "error: command 'swig' failed: No such file or directory": ("program", "program swig"),
    "Exception: ERROR: The 'make' utility is missing from PATH": ("program", "program make"),
    "cupsconnection.h:26:10: fatal error: cups/http.h: No such file or directory": ("header", "header cups/http.h"),
    "src/kerberosbasic.h:17:10: fatal error: gssapi/gssapi.h: No such file or directory": (
        "header",
        "header gssapi/gssapi.h",
    ),
    "Modules/common.h:15:10: fatal error: lber.h: No such file or directory": ("header", "header lber.h"),
    "src/a.c:9:10: fatal error: 'portaudio.h' file not found": ("header", "header portaudio.h"),
    "../meson.build:35:9: ERROR: Dependency 'girepository-2.0' is required but not found.": (
        "pkg-config",
        "pkg-config girepository-2.0",
    ),
    'meson.build:3:7: ERROR: Dependency "dbus-1" not found, tried pkgconfig': ("pkg-config", "pkg-config dbus-1"),
    "No package 'libsystemd' found": ("pkg-config", "pkg-config libsystemd"),
    "Package 'gpgme', required by 'virtual:world', not found": ("pkg-config", "pkg-config gpgme"),
    "Package libvirt was not found in the pkg-config search path.": ("pkg-config", "pkg-config libvirt"),
    "subprocess.CalledProcessError: Command 'pkg-config --exists mysqlclient' returned non-zero exit status 1.": (
        "pkg-config",
        "pkg-config mysqlclient",
    ),
    "/usr/bin/ld: cannot find -lgssapi_krb5: No such file or directory": ("library", "library gssapi_krb5"),
    "ImportError: libpq.so.5: cannot open shared object file: No such file or directory": ("library", "library pq"),
    "The headers or library files could not be found for jpeg,": ("library", "named jpeg"),
    "Error: Please make sure the libxml2 and libxslt development packages are installed.": (
        "library",
        "named libxml2, named libxslt",
    ),
    "You need to install libcap development headers to build this module": ("library", "named libcap"),
    "Please make sure that the libusb, libudev, and hidapi headers are installed": (
        "library",
        "named libusb, named libudev, named hidapi",
    ),
    "#error You need a compatible libgit2 version (1.9.x)": ("library-version", None),
    "ERROR: Dependency lookup for glib-2.0 with method 'pkgconfig' failed: Invalid version, need 'glib-2.0'"
    " ['>= 2.80.0'] found '2.74.6'.": ("library-version", None),
    "ModuleNotFoundError: No module named 'numpy'": ("python-module", "python-module numpy"),
    "ERROR: No matching distribution found for cython>=9": ("requirement", "package-requirement cython>=9"),
    "FileNotFoundError: [Errno 2] No such file or directory: 'README.md'": ("source", None),
    "configure: error: libfoo not found": ("library", "named libfoo"),
    "RuntimeError: libfoo was not found": ("library", "named libfoo"),
    "Exception: nvcc is not found": ("program", "program nvcc"),
    "warning: cython not found, using what is there": ("build", None),
    "src/thing.c:12:5: error: unknown type name 'foo'": ("source", None),
    "OSError: [Errno 28] No space left on device": ("disk", None),
    "RuntimeError: can't start new thread": ("processes", None),
    "# FAIL:  1": ("tests", None),
    "Getting requirements to build wheel: finished with status 'error'": ("build", None),
}


@pytest.mark.parametrize(("line", "expected"), ONE_LINE.items(), ids=lambda value: str(value)[:50])
def test_one_line_tells_the_class_and_what_is_missing(line: str, expected: tuple[str, str | None]) -> None:
    found = diagnose(f"before\n{line}\nafter\n")

    missing = ", ".join(f"{item.kind} {item.name}" for item in found.missing) or None
    assert (found.failure_class.value, missing) == expected
    assert (found.evidence, found.line) == (line, 2)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd.h",
        "/etc/x.h",
        "-rf.h",
        "evil;rm.h",
        "a b.h",
        "x" * 200 + ".h",
        "é.h",
        "a//b.h",
        "longintrepr.h",
    ],
)
def test_a_needle_that_is_no_plain_name_is_dropped(name: str) -> None:
    assert Missing.found(MissingKind.HEADER, name) is None
    found = diagnose(f"a.c:1:1: fatal error: {name}: No such file or directory")
    assert name not in [item.name for item in found.missing]


ONE_AFTER_THE_OTHER = {
    "/usr/bin/ld: cannot find -lyaml: No such file or directory\n"
    "/usr/bin/ld: cannot find -lsodium: No such file or directory\n": "library yaml, library sodium",
    "No package 'yaml-0.1' found\nNo package 'libsodium' found\nNo package 'yaml-0.1' found\n": (
        "pkg-config yaml-0.1, pkg-config libsodium"
    ),
    "a.c:1:10: fatal error: yaml.h: No such file or directory\n"
    "b.c:1:10: fatal error: ../evil;.h: No such file or directory\n"
    "b.c:1:10: fatal error: sodium.h: No such file or directory\n": "header yaml.h, header sodium.h",
    "".join(f"No package 'p{number}' found\n" for number in range(100_000)): (
        "pkg-config p0, pkg-config p1, pkg-config p2, pkg-config p3"
    ),
}


@pytest.mark.parametrize(("text", "expected"), ONE_AFTER_THE_OTHER.items(), ids=["ld", "pkg-config", "cc", "too many"])
def test_complaints_in_the_same_words_name_several_things_and_the_first_is_the_evidence(
    text: str, expected: str
) -> None:
    found = diagnose(text[:200_000])

    assert ", ".join(f"{item.kind} {item.name}" for item in found.missing) == expected
    assert (found.line, found.evidence) == (1, text.split("\n", maxsplit=1)[0])


def test_a_file_that_setup_only_tried_to_read_does_not_hide_what_is_missing() -> None:
    found = diagnose(
        "No such file or directory: 'README.md'\na.c:1:1: fatal error: lber.h: No such file or directory\n"
    )

    assert found.failure_class is FailureClass.HEADER


def test_a_process_that_was_killed_without_a_word_wanted_too_much_memory() -> None:
    assert diagnose("compiling\n", exit_code=137).failure_class is FailureClass.MEMORY
    assert diagnose("compiling\n", exit_code=1).failure_class is FailureClass.BUILD


def test_lines_are_counted_from_the_beginning_of_the_log() -> None:
    assert diagnose("one\nMemoryError\n", first_line=40).line == 41
    assert diagnose("x\n" * 1_000_000 + "MemoryError\n").line == 1_000_001


def test_a_line_that_is_long_is_cut_around_what_it_says() -> None:
    found = diagnose("gcc " + "-I/usr/include " * 60 + "/bin/sh: 1: krb5-config: not found")

    assert "krb5-config: not found" in found.evidence
    assert len(found.evidence) <= 500


def test_what_was_several_lines_is_shown_as_one() -> None:
    assert plain("the library was not found\nsee the manual\n") == "the library was not found see the manual"


def test_evidence_is_fit_to_be_shown() -> None:
    hostile = "\x1b[31mred\x1b[0m \x1b]8;;http://evil\x07link \u202eerror\x00" + "x" * 1000

    assert plain(hostile).startswith("red link error")
    assert len(plain(hostile)) <= 500
