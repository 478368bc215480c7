"""A rendered site and a client of the app that serves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests import sample_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_site.make(tmp_path_factory.mktemp("sample"), "https://farm.example")


class Reader(FlaskClient):
    """Reads each answer to its end, so that files are closed; ``ask`` sends a path that no library has tidied."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("buffered", True)
        return super().open(*args, **kwargs)

    def ask(self, path: str) -> Any:
        path, _, query = path.partition("?")
        raw = path.encode().decode("latin-1")  # WSGI's way to hold bytes
        return self.get(environ_overrides={"PATH_INFO": raw, "QUERY_STRING": query})


@pytest.fixture(scope="session")
def client(site: Path) -> Reader:
    app = sample_site.app(site)
    app.test_client_class = Reader
    made = app.test_client()
    assert isinstance(made, Reader)
    return made
