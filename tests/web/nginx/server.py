"""A real nginx with a configuration of ours, and how it is asked."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from tests.web.server import answers

_MAIN = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1; {user}
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    include {folder}/site.conf;
}}
"""


def ask(url: str, *, method: str = "GET", **headers: str) -> Any:
    """As it comes: nothing is followed or unpacked."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib3.request(method, url, headers=named, redirect=False, retries=False, decode_content=False)


@contextmanager
def serving(folder: Path, site: str, *, url: str) -> Iterator[None]:
    """nginx includes *site* in its ``http`` and answers at *url*."""
    (folder / "site.conf").write_text(site)
    user = "user root;" if os.geteuid() == 0 else ""  # of the tests' folders, which others may not enter
    (folder / "main.conf").write_text(_MAIN.format(folder=folder, user=user))
    server = subprocess.Popen(["nginx", "-c", folder / "main.conf"], env={"PATH": f"{os.environ['PATH']}:/usr/sbin"})
    try:
        for _ in range(100):
            if server.poll() is not None or answers(url):
                break
            time.sleep(0.1)
        assert server.poll() is None, (folder / "error.log").read_text()
        yield
    finally:
        server.terminate()
        server.wait(20)
