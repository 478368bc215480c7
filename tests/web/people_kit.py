"""A person at a browser, for tests: logs in, and fills in forms with what the page gave it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

GOOD, BAD = "correct horse battery staple", "wrong"
_FIELD = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Visitor:
    """What a browser does with pages and forms; SAME tells that a form was on one of our own pages."""

    client: FlaskClient

    def log_in(self, name: str, password: str = GOOD, code: str = "", **options: str) -> TestResponse:
        form = {"name": name, "password": password, "code": code, **options}
        return self.client.post("/login", data=form, headers=SAME)

    def post(self, path: str, *, page: str = "/account/", **fields: str) -> TestResponse:
        """Send a form that stood on *page*."""
        return self.client.post(path, data={"csrf": self.token(page), **fields}, headers=SAME)

    def token(self, page: str = "/account/") -> str:
        found = _FIELD.search(self.client.get(page).text)
        return found[1] if found else ""

    @property
    def is_known(self) -> bool:
        return self.client.get("/account/").status_code == 200


SAME = {"Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True, slots=True)
class Program:
    """A client of the API; with a token, or "" without."""

    app: Flask
    token: str

    def get(self, path: str) -> TestResponse:
        return self.app.test_client().get(f"/api/v1{path}", headers=self.headers)

    def order(self, action: str, body: Any) -> TestResponse:
        return self.app.test_client().post(f"/api/v1/orders/{action}", json=body, headers=self.headers)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}
