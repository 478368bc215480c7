"""What a reader reads of a page."""

from __future__ import annotations

import re
from html import unescape

from flask.testing import FlaskClient


def words(client: FlaskClient, path: str, *, status: int = 200, **options: object) -> str:
    """The words of a page, without its tags, on one line."""
    response = client.get(path, **options)
    assert response.status_code == status, path
    return plain(response.text)


def plain(page: str) -> str:
    """The same of the page's text."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", page))).replace(" ,", ",").replace(" .", ".")
