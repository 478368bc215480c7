"""How long the index takes is counted by the kind of its answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from web.index import Index
from web.latency import Latency


@pytest.mark.parametrize(
    ("path", "headers", "kind"),
    [
        ("/simple/", {}, "page"),
        ("/simple/demo/", {"Accept": "application/vnd.pypi.simple.v1+json"}, "page"),
        ("/pypi/demo/json", {}, "page"),
        ("/simple/demo/", {"If-None-Match": "*"}, "304"),
        ("/files/demo-1.0-py3-none-any.whl", {}, "file"),
        ("/files/demo-1.0-py3-none-any.whl", {"Range": "bytes=0-9"}, "file"),
        ("/files/demo-1.0-py3-none-any.whl.metadata", {}, "metadata"),
        ("/files/nothing-1.0-py3-none-any.whl", {}, "missing"),
        ("/simple/nothing/", {}, "missing"),
        ("/merged/simple/demo/", {}, "missing"),  # there is no such view here
        ("/simple/demo", {}, None),
        ("/simple/demo/", {"Accept": "image/png"}, None),
        ("/healthz", {}, None),
    ],
)
def test_an_answer_counts_as_what_it_is(
    site: Path, tmp_path: Path, path: str, headers: dict[str, str], kind: str | None
) -> None:
    latency = Latency(tmp_path)
    app = Flask("test")
    app.wsgi_app = Index(app.wsgi_app, site, latency=latency)  # type: ignore[assignment, method-assign]
    client = app.test_client()

    answer = client.get(path, headers=headers, buffered=True)

    counted = {item.labels["kind"]: item.value for item in latency.family().samples if item.name.endswith("_count")}
    assert counted == ({kind: 1} if kind else {}), answer.status
