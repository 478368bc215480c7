"""What failing builds say, in the words of their tools, and what it means: in order, the first that fits counts.

The classes stand in an order in which the later ones are only consequences of the earlier ones: a killed test is no
failed test, a header that Python took away is no package's. A group's name says what kind of thing it caught. No
pattern may look further than a line, nor begin a search in each character of a word (``tests/builder/diagnose``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from schema.missing import MOST_NAMED, Missing, MissingKind
from schema.states import FailureClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """missing: what is told by the pattern as a whole, where it has no group that names it."""

    failure_class: FailureClass
    pattern: re.Pattern[str]
    missing: Missing | None = None


# So programs are called that are compilers, by the language; a prefix such as x86_64-linux-gnu- may stand before.
COMPILERS = {
    **dict.fromkeys(("cc", "gcc", "clang", "c89", "c99"), "c"),
    **dict.fromkeys(("c++", "g++", "clang++", "cxx"), "c++"),
    **dict.fromkeys(("gfortran", "f77", "f90", "f95", "fortran"), "fortran"),
    **dict.fromkeys(("cargo", "rustc", "rustup"), "rust"),
    "go": "go",
}
# Of one kind in one log; a linker has one for each library.
_MOST_COMPLAINTS = 100
_BETWEEN = re.compile(r",? and |, ")
_PREFIX = re.compile(r"^\w{1,20}-linux-gnu\w{0,20}-")
_SUFFIX = re.compile(r"-\d{1,2}$")

_PYTHON_2_MODULES = (
    r"ConfigParser|Queue|StringIO|cStringIO|Tkinter|HTMLParser|SocketServer|__builtin__|commands|cPickle|httplib|urllib2"
    r"|urlparse|sets|exceptions|md5|sha|copy_reg|xmlrpclib|BaseHTTPServer|cookielib"
)
_GONE_MODULES = r"distutils|imp|asyncore|asynchat|smtpd|cgi|lib2to3|pipes|telnetlib|imghdr|parser|formatter|binhex"
_GONE_MEMBERS = (
    r"exc_type|exc_value|exc_traceback|tp_print|ob_digit|use_tracing|f_code|f_lineno|recursion_depth|co_code"
)
# What is no program, though Python says the same of it.
_FILE = (
    r"(?:[^'\n]{0,200}\.(?:md|rst|txt|in|py|pyx|cfg|toml|json|ya?ml|lock|ini)"
    r"|README|LICENSE|VERSION|CHANGES|HISTORY)"
)
_WORD = r"[\w.+-]{1,100}"
# Prose that names one library or some of them: libxml2 and libxslt.
_SOME = r"[\w.+-]{1,60}(?:(?:,? and |, )[\w.+-]{1,60}){0,3}"


def language_of(program: str) -> str | None:
    """Of what is called g++, x86_64-linux-gnu-g++ or g++-12; None of what is no compiler."""
    stem = _PREFIX.sub("", program, count=1)
    return COMPILERS.get(_SUFFIX.sub("", stem))


def named(symptom: Symptom, text: str) -> tuple[Missing, ...]:
    """What the complaints in its words name, each thing once, MOST_NAMED at most."""
    if symptom.missing:
        return (symptom.missing,)
    complaints = islice(symptom.pattern.finditer(text), _MOST_COMPLAINTS)
    return tuple(dict.fromkeys(item for match in complaints for item in _caught(match)))[:MOST_NAMED]


def _caught(match: re.Match[str]) -> Iterator[Missing]:
    if (group := match.lastgroup) is None:
        return
    kind = MissingKind(group.replace("_", "-"))
    # Only prose has several things in one sentence.
    for name in _BETWEEN.split(match[group]) if kind is MissingKind.NAMED else [match[group]]:
        language = language_of(name) if kind is MissingKind.PROGRAM else None
        item = Missing.found(MissingKind.COMPILER, language) if language else Missing.found(kind, name.rstrip(".,;"))
        if item is not None:
            yield item


def _symptom(failure_class: FailureClass, pattern: str, *, missing: Missing | None = None) -> Symptom:
    return Symptom(failure_class=failure_class, pattern=re.compile(pattern, re.MULTILINE), missing=missing)


def _compiler(language: str, pattern: str) -> Symptom:
    missing = Missing.found(MissingKind.COMPILER, language)
    return _symptom(FailureClass.COMPILER, pattern, missing=missing)


SYMPTOMS: tuple[Symptom, ...] = (
    # --- the machine, and what it refuses
    _symptom(
        FailureClass.MEMORY,
        r"Killed signal terminated program|signal: 9, SIGKILL|\bKilled {2}|^MemoryError|virtual memory exhausted"
        r"|Cannot allocate memory|std::bad_alloc",
    ),
    _symptom(FailureClass.TESTS, r"^\s{0,8}FAIL: \S|^# (?:FAIL|ERROR): {1,4}[1-9]"),
    _symptom(FailureClass.DISK, r"No space left on device|File too large|Disk quota exceeded"),
    _symptom(FailureClass.PROCESSES, r"can't start new thread|fork: (?:retry: )?Resource temporarily unavailable"),
    # --- these go for what they lack, and then say that there is no network
    _symptom(
        FailureClass.REQUIREMENT,
        r"No matching distribution found for (?P<package_requirement>\S{1,200})|Could not find suitable distribution",
    ),
    _compiler(
        "rust",
        r"Rust not found, installing|can't find Rust compiler|Cargo, the Rust package manager, is not installed"
        r"|This package requires Rust",
    ),
    _symptom(
        FailureClass.NETWORK,
        r"Name or service not known|Temporary failure in name resolution|Could not resolve host|urlopen error"
        r"|Network is unreachable|getaddrinfo failed|NameResolutionError|Max retries exceeded with url"
        r"|Connection refused|dial tcp: lookup ",
    ),
    # --- times that have changed
    _symptom(
        FailureClass.INTERPRETER,
        rf"No module named '?(?:{_PYTHON_2_MODULES})'?$|Missing parentheses in call to '(?:print|exec)'"
        r"|is for Python 2|multiple exception types must be parenthesized"
        r"|^NameError: name '(?:unicode|xrange|raw_input|execfile|basestring|reload|unichr|long)' is not defined"
        r"|global flags not at the start of the expression|[Rr]equires a different Python"
        r"|fatal error: longintrepr\.h|error: [^\n]{0,200}has no member named .(?:" + _GONE_MEMBERS + r")\b"
        rf"|No module named '?(?:{_GONE_MODULES})'?$"
        r"|module 'collections' has no attribute|module 'inspect' has no attribute 'getargspec'"
        r"|requires Python version [<>=!~]{1,2}\d[^\n]{0,40}, running on"
        r"|the configured Python interpreter version \(\d|Cannot install on Python version",
    ),
    _symptom(
        FailureClass.REQUIREMENT_TOO_NEW,
        r"use_2to3 is invalid|cannot import name '\w{1,60}' from '(?:setuptools|Cython|pkg_resources|numpy)\b"
        r"|No module named '?(?:pkg_resources|numpy\.distutils|setuptools\.[\w.]{1,60})'?$"
        r"|has no attribute 'cython_sources'|distutils\.msvccompiler|module 'setuptools\b[^\n]{0,60}has no attribute"
        r"|^Error compiling Cython file|install_layout",
    ),
    _symptom(
        FailureClass.REQUIREMENT_TOO_OLD,
        r"project\.license. must be valid|Meson version is \S{1,20} but project requires"
        r"|[Ss]etuptools version \S{1,20} or (?:newer|greater|higher) is required",
    ),
    _symptom(
        FailureClass.TOOLCHAIN,
        r"lock file version .?\d.? (?:was found|requires)|Rust [\d.]{1,12} does not match extension requirement"
        r"|failed to parse manifest|requires rustc \d|feature `edition2024` is required"
        r"|unrecognized command[ -]line option|CMake \d[\d.]{0,12} or higher is required|requires GCC >= \d"
        r"|size of array element is not a multiple of its alignment|[Cc]ompiler (?:does not|doesn't) support C\+\+\d\d",
    ),
    # --- what is not there
    _symptom(FailureClass.COMPILER, r"Unknown compiler\(s\): \[\['(?P<program>[\w+-]{1,40})'"),
    _compiler("c++", r"specified in the environment variable CXX\b|No CMAKE_CXX_COMPILER could be found"),
    _compiler("c++", r"cannot execute .?cc1plus|no acceptable C\+\+ compiler found"),
    _compiler(
        "c", r"specified in the environment variable CC\b|No CMAKE_C_COMPILER could be found|no acceptable C compiler"
    ),
    _compiler("fortran", r"No CMAKE_Fortran_COMPILER could be found|no Fortran compiler found|cannot execute .?f951"),
    _compiler("rust", r"Checking for Rust toolchain"),
    _symptom(
        FailureClass.PROGRAM,
        r"[Pp]kg-config (?:executable |binary |for machine [\w ]{1,40} )?(?:is |was )?not found"
        r"|pkg-config (?:probably )?not installed|pkg-config binary is required"
        r"|invoke pkg-config|pkg-config: (?:command )?not found",
        missing=Missing.found(MissingKind.PROGRAM, "pkg-config"),
    ),
    _symptom(FailureClass.PROGRAM, r"\bsh: (?:line )?\d{1,6}: (?P<program>[^\s:]{1,100}): (?:command )?not found"),
    _symptom(FailureClass.PROGRAM, rf"No such file or directory: b?'(?!{_FILE}')(?P<program>[\w.+-]{{1,100}})'"),
    _symptom(FailureClass.PROGRAM, r"command '(?P<program>[^'/\n]{1,100})' failed: No such file"),
    _symptom(
        FailureClass.PROGRAM,
        r"The '(?P<program>[\w.+-]{1,100})' (?:utility is missing|command appears not to be installed)",
    ),
    _symptom(FailureClass.PROGRAM, r"(?<![\w.+-])(?P<program>[\w.+-]{1,100}) executable (?:is |was )?not found"),
    _symptom(
        FailureClass.PROGRAM,
        r"^[\w.]{0,60}(?:Error|error|Exception): (?!lib)(?P<program>[\w.+-]{1,100}) (?:is |was )?not found\b",
    ),
    _symptom(FailureClass.PROGRAM, r'exec: "(?P<program>[^"\n]{1,100})": executable file not found'),
    _symptom(FailureClass.PROGRAM, r"(?:Program|program) '(?P<program>[^'\n]{1,100})' not found"),
    _symptom(FailureClass.PROGRAM, r"make(?:\[\d{1,3}\])?: (?P<program>[^\s:]{1,100}): No such file or directory"),
    _symptom(FailureClass.HEADER, r"error: '?(?P<header>[\w./+-]{1,200})'?(?:: No such file| file not found)"),
    _symptom(
        FailureClass.LIBRARY_VERSION,
        r"compatible lib\w{1,40} version|found: NO,? found [^\n]{0,80}\b(?:need|required)|Invalid version, need '"
        r"|Requested '[^'\n]{1,100}' but version of",
    ),
    _symptom(
        FailureClass.PKG_CONFIG,
        r"Dependency ['\"](?P<pkg_config>[^'\"\n]{1,100})['\"] (?:is required but )?not found"
        rf"|Dependency lookup for {_WORD} [^\n]{{0,40}}failed",
    ),
    _symptom(FailureClass.PKG_CONFIG, r"Package '?(?P<pkg_config>[^\s',]{1,100})'?(?:,[^\n]{1,100},| was) not found"),
    _symptom(FailureClass.PKG_CONFIG, r"No package '(?P<pkg_config>[^'\n]{1,100})' found"),
    _symptom(
        FailureClass.PKG_CONFIG,
        r"pkg-config(?: --[\w-]{1,40}){1,4} (?P<pkg_config>[^\s-][^\s'\"]{0,100}).{0,3} returned non-zero",
    ),
    _symptom(FailureClass.LIBRARY, r"cannot find -l(?P<library>[^\s:]{1,100})"),
    _symptom(FailureClass.LIBRARY, r"\blib(?P<library>[\w+-]{1,100})\.so[\w.]{0,20}: cannot open shared object"),
    _symptom(
        FailureClass.LIBRARY,
        r"[Cc]an't find a local Berkeley DB installation",
        missing=Missing.found(MissingKind.HEADER, "db.h"),
    ),
    _symptom(FailureClass.LIBRARY, r"could not be found for (?P<named>[\w+-]{1,60})"),
    _symptom(FailureClass.LIBRARY, rf"make sure (?:that )?(?:the )?(?P<named>{_SOME}) (?:development|dev\b|headers)"),
    _symptom(FailureClass.LIBRARY, rf"need to install (?:the )?(?P<named>{_SOME}) (?:development|dev\b|headers)"),
    _symptom(FailureClass.LIBRARY, r"^(?:error: )?(?P<named>[\w.+-]{1,60}) is not installed or not in path"),
    _symptom(FailureClass.LIBRARY, r"Could NOT find (?P<named>[\w+-]{1,60}) \(missing:"),
    _symptom(FailureClass.LIBRARY, r"package configuration file provided by \"(?P<named>[\w+-]{1,60})\""),
    _symptom(
        FailureClass.LIBRARY,
        r"configure: error: (?:[Cc]ould not find |[Cc]annot find )?(?P<named>[\w+-]{1,60}) (?:library |headers? )?"
        r"(?:is |was |are )?(?:not found|missing|required)",
    ),
    _symptom(
        FailureClass.LIBRARY,
        r"^[\w.]{0,60}(?:Error|error|Exception): (?P<named>lib[\w.+-]{1,100}) (?:is |was )?not found\b",
    ),
    _symptom(
        FailureClass.PYTHON_MODULE,
        r"^(?:ModuleNotFoundError|ImportError): No module named '?(?P<python_module>[\w.]{1,100})'?",
    ),
    # --- what it is itself
    _symptom(FailureClass.SOURCE, rf"No such file or directory: '{_FILE}'"),  # its archive lacks what setup.py reads
    _symptom(
        FailureClass.SOURCE,
        r"\.(?:c|cc|cpp|cxx|h|hh|hpp|f|f90|m|inc):\d{1,7}:\d{1,5}: error: |undefined reference to|^error\[E\d{4}\]"
        r"|^SyntaxError: ",
    ),
)
