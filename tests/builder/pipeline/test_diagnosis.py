"""What a failed build's log is taken to say."""

from __future__ import annotations

import pytest

from builder.diagnosis import diagnose, plain
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


@pytest.mark.parametrize(
    ("text", "failure_class", "evidence"),
    [
        (COMPILER, FailureClass.BUILD, "src/c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file or directory"),
        (PYTHON, FailureClass.BUILD, "ConfigurationError: Could not run curl-config"),
        (CALLED, FailureClass.BUILD, "configure: error: no acceptable C compiler found in $PATH"),
        (DOWNLOAD, FailureClass.NETWORK, "Temporary failure in name resolution"),
        (NO_ROOM, FailureClass.DISK, "No space left on device"),
        (KILLED, FailureClass.MEMORY, "Killed signal terminated program cc1plus"),
        ("only this\n", FailureClass.BUILD, "only this"),
        ("", FailureClass.BUILD, ""),
    ],
)
def test_the_class_and_the_line_that_tells_why(text: str, failure_class: FailureClass, evidence: str) -> None:
    found = diagnose(text)

    assert found.failure_class is failure_class
    assert evidence in found.evidence


def test_evidence_is_fit_to_be_shown() -> None:
    hostile = "\x1b[31mred\x1b[0m \x1b]8;;http://evil\x07link \u202eerror\x00" + "x" * 1000

    assert plain(hostile).startswith("red link error")
    assert len(plain(hostile)) <= 500
