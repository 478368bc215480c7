"""The servers that are compared: how each is installed, started, and asked for a project's page.

nginx with a hand-made configuration over the rendered tree is the measure of all; then nginx with ours, our own
front-end, and the index servers that people take today, each in a virtual environment of its own, as its
documentation says to run it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import memory
from bench.index.corpus import Corpus
from tests.whole_farm import free_port

WORKERS = 2
_WELCOME = {"Accept": "text/html, application/json; q=0.5"}
_START_S = 120
_STOP_S = 20
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes {workers}; {user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    {site}
}}
"""
# What an expert would write by hand for such a tree: PEP 691 by a map, pages compressed beforehand, sendfile.
_BY_HAND = """
    sendfile on; tcp_nopush on; keepalive_requests 100000; gzip_static on; etag on;
    map $http_accept $form {{ default html; "~^application/vnd.pypi.simple.v1.json" json; }}
    server {{
        listen 127.0.0.1:{port}; root {root};
        location ~ /simple/ {{
            types {{ application/vnd.pypi.simple.v1+json json; text/html html; }}
            add_header Vary "Accept, Accept-Encoding"; add_header Cache-Control "public, max-age=60";
            try_files ${{uri}}index.$form =404;
        }}
        location /files/ {{ gzip_static off; default_type application/octet-stream; }}
    }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A server to compare. packages: what its environment needs from the upstream; page: where project pages are."""

    name: str
    argv: Callable[[Start], Sequence[str | Path]]
    packages: Sequence[str] = ()
    page: str = "/simple/{name}/"
    root: str | None = "/simple/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a server is started with. upstream: a plain index with the same files, for those that mirror one."""

    corpus: Corpus
    folder: Path
    port: int
    upstream: str
    environment: dict[str, str] = field(default_factory=dict)

    def program(self, name: str) -> Path:
        """A program of the server's own environment."""
        return self.folder / "venv" / "bin" / name


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that answers. first_answer_s: from its start to its first page."""

    kind: Kind
    process: subprocess.Popen[bytes]
    url: str
    first_answer_s: float

    @property
    def processor_s(self) -> float:
        """Processor time of all its processes until now."""
        return sum(float(stat[11]) + float(stat[12]) for _, stat in _session(self.process.pid)) / _TICKS_PER_S

    @property
    def memory_mib(self) -> float:
        """What its processes have in memory; what several share counts once."""
        return sum(memory.mib(process) for process, _ in _session(self.process.pid))


def _by_hand(start: Start) -> Sequence[str | Path]:
    return _nginx(start, _BY_HAND.format(port=start.port, root=start.corpus.site.folder))


def _shipped(start: Start) -> Sequence[str | Path]:
    listen = f"--listen=127.0.0.1:{start.port}"
    settings = str(start.corpus.settings_file)
    command = [sys.executable, "-m", "web", "--settings", settings, "nginx-config", listen]
    return _nginx(start, subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _nginx(start: Start, site: str) -> Sequence[str | Path]:
    user = "user root;" if os.geteuid() == 0 else ""
    file = start.folder / "nginx.conf"
    file.write_text(_NGINX.format(folder=start.folder, workers=WORKERS, user=user, site=site))
    return ["nginx", "-c", file]


def _ours(start: Start) -> Sequence[str | Path]:
    settings, port = start.corpus.settings_file, str(start.port)
    return [sys.executable, "-m", "web", "--settings", settings, "--port", port, "--workers", str(WORKERS)]


def _pypiserver(start: Start) -> Sequence[str | Path]:
    """With gunicorn, as its documentation advises for more than a handful of users; it then caches nothing stale."""
    app = f"pypiserver:app(roots={[str(start.corpus.flat)]!r}, backend_arg='cached-dir')"
    listen = f"127.0.0.1:{start.port}"
    return [start.program("gunicorn"), "-w", str(WORKERS), "--threads", "8", "-b", listen, app]


def _devpi(start: Start) -> Sequence[str | Path]:
    state = start.folder / "state"
    subprocess.run(
        [start.program("devpi-init"), "--serverdir", state, "--no-root-pypi"], check=True, capture_output=True
    )
    listen = ("--host", "127.0.0.1", "--port", str(start.port))
    return [start.program("devpi-server"), "--serverdir", state, "--enable-core-metadata", *listen]


def _simpleindex(start: Start) -> Sequence[str | Path]:
    file = start.folder / "simpleindex.toml"
    file.write_text(
        f'[routes."{{project}}"]\nsource = "path"\nto = "{start.corpus.by_project}/{{project}}"\n'
        f'[server]\nhost = "127.0.0.1"\nport = {start.port}\n'
    )
    return [start.program("simpleindex"), file]


def _proxpi(start: Start) -> Sequence[str | Path]:
    start.environment.update(
        PROXPI_INDEX_URL=f"{start.upstream}/simple/",
        PROXPI_CACHE_DIR=str(start.folder / "cache"),
        PROXPI_INDEX_TTL="86400",
        PROXPI_DISABLE_INDEX_SSL_VERIFICATION="1",
    )
    listen = f"127.0.0.1:{start.port}"
    return [start.program("gunicorn"), "-w", str(WORKERS), "--threads", "8", "-b", listen, "proxpi.server:app"]


def _simple_repository(start: Start) -> Sequence[str | Path]:
    listen = ("--host", "127.0.0.1", "--port", str(start.port))
    return [start.program("simple-repository-server"), *listen, start.corpus.by_project]


BY_HAND = Kind(name="nginx", argv=_by_hand)
SHIPPED = Kind(name="nginx, ours", argv=_shipped)
OURS = Kind(name="wheelfarm", argv=_ours)
PEERS = (
    Kind(name="pypiserver", argv=_pypiserver, packages=("pypiserver[cache]", "gunicorn")),
    Kind(
        name="devpi",
        argv=_devpi,
        packages=("devpi-server", "devpi-client", "setuptools<81"),
        page="/root/mirror/+simple/{name}/",
        root="/root/mirror/+simple/",
    ),
    Kind(name="simpleindex", argv=_simpleindex, packages=("simpleindex",), page="/{name}/", root=None),
    Kind(name="proxpi", argv=_proxpi, packages=("proxpi", "gunicorn"), page="/index/{name}/", root="/index/"),
    Kind(name="simple-repository", argv=_simple_repository, packages=("simple-repository-server",)),
)


@contextmanager
def all_of(corpus: Corpus, kinds: Sequence[Kind], folder: Path) -> Iterator[list[Running]]:
    """Install and start them, nginx by hand first, which those that mirror read from; stop all at the end."""
    with ExitStack() as stack:
        upstream = stack.enter_context(started(BY_HAND, corpus, folder, upstream=""))
        rest = [stack.enter_context(started(kind, corpus, folder, upstream=upstream.url)) for kind in kinds]
        yield [upstream, *rest]


@contextmanager
def started(kind: Kind, corpus: Corpus, folder: Path, *, upstream: str) -> Iterator[Running]:
    """Install and start one; it is there once its page of a small project is."""
    own = folder / kind.name.replace(", ", "-")
    own.mkdir(parents=True, exist_ok=True)
    _install(kind, own)
    start = Start(corpus=corpus, folder=own, port=free_port(), upstream=upstream)
    argv = kind.argv(start)
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin", **start.environment}
    with (own / "log").open("ab") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            argv, cwd=own, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{start.port}"
        if kind.name == "devpi":
            _await(process, f"{url}/+api", own / "log")
            _mirror(start, url)
        _await(process, url + kind.page.format(name="sized"), own / "log")
        yield Running(kind=kind, process=process, url=url, first_answer_s=time.perf_counter() - began)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _install(kind: Kind, own: Path) -> None:
    if not kind.packages or (own / "venv").exists():
        return
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, own / "venv"], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", own / "venv/bin/python", *kind.packages], check=True)


def _mirror(start: Start, url: str) -> None:
    """An index of devpi that mirrors the plain one."""
    client = [start.program("devpi")]
    kept = ("--clientdir", start.folder / "client")
    mirror = ("type=mirror", f"mirror_url={start.upstream}/simple/", "volatile=False", "mirror_cache_expiry=86400")
    for words in (("use", url), ("login", "root", "--password="), ("index", "-c", "root/mirror", *mirror)):
        subprocess.run([*client, words[0], *kept, *words[1:]], check=True, capture_output=True)


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            asked = urllib.request.Request(url, headers=_WELCOME)  # noqa: S310 - a server of ours
            with urllib.request.urlopen(asked, timeout=_START_S):  # noqa: S310
                return
        except urllib.error.HTTPError as err:
            err.close()
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no answer from {url}:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)


def _session(leader: int) -> Iterator[tuple[int, list[str]]]:
    """The processes of one session: field 3 and those after it of each ``/proc/PID/stat`` (proc(5))."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            yield int(file.parent.name), fields
