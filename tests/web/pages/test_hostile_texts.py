"""Whatever stands in a field, a page shows it as text: no tag, handler, address or control character of it acts."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

import web
from schema.db.session import transaction
from schema.printable import one_line, printable
from schema.settings import Settings
from tests.web import hostile
from web.shown import sentence, web_address

TEMPLATES = Path(web.__path__[0]) / "templates"

OUR_TAGS = set(re.findall(r"<([a-z][a-z0-9]*)", "".join(file.read_text() for file in TEMPLATES.glob("*.html"))))

OUR_SCRIPTS = {"/static/live.js", "/static/vendor/htmx-2.0.11.min.js", "/static/vendor/htmx-sse-2.2.4.min.js"}


class _Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def _wheel_paths(filename: str) -> list[str]:
    """Of its page, if its name can stand in an address: no file's name has a slash."""
    return [] if "/" in filename else [f"/wheel/{quote(filename, safe='')}/"]


@pytest.mark.parametrize("key", hostile.PAYLOADS)
def test_no_text_acts_on_any_page(client: FlaskClient, database: Engine, settings: Settings, key: str) -> None:
    with transaction(database) as session:
        builds = hostile.project(session, settings, key)
    text = hostile.PAYLOADS[key]
    paths = ["/", f"/project/hostile-{key}/", "/builds/", "/nodes/", "/farm/", "/audit/", f"/search?q=hostile-{key}"]
    paths += ["/failures/", "/failures/1/", "/queue/", "/platforms/", "/recipes/", "/install/"]
    paths += [f"/build/{number}/" for number in builds.values()]
    paths += [f"/wheel/hostile_{key}-2.0-py3-none-any.whl/", *_wheel_paths(f"{key}{text}"[:200])]

    for path in paths:
        response = client.get(path)
        page = _Page(response.text)

        assert response.status_code == 200, path
        assert set(page.tags) <= OUR_TAGS, path
        scripts = [value for tag, name, value in page.attributes if (tag, name) == ("script", "src")]
        assert len(scripts) == page.tags.count("script"), path
        assert {script.partition("?")[0] for script in scripts} <= OUR_SCRIPTS, path
        assert not [item for item in page.attributes if item[1].startswith("on") or item[1] in {"style", "srcdoc"}]
        for tag, name, value in page.attributes:
            if name in {"href", "src", "action"}:
                assert value.startswith(("/", "?", "#", "https://upstream.example/", "https://evil.example/")), value
            if tag == "a" and value.startswith("https://"):
                assert (tag, "rel", "nofollow noopener") in page.attributes
            assert printable(value) == value
        words = "".join(page.words)
        assert printable(words) == words
        assert "1337" not in words
        if path.startswith(("/project", "/wheel/hostile")) and key != "long":
            assert printable(text).strip() in words


@pytest.mark.parametrize("key", hostile.PAYLOADS)
def test_progress_and_log_carry_no_live_text(
    client: FlaskClient, database: Engine, settings: Settings, key: str
) -> None:
    with transaction(database) as session:
        number = hostile.project(session, settings, key)["leased"]

    news = json.loads(client.get(f"/build/{number}/progress.json").data)

    for text in (news["sentence"], news["log"], *(step["name"] + step["note"] for step in news["steps"])):
        assert printable(text) == text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://files.example/a/b-1.0.tar.gz", True),
        ("http://[::1]:8080/x?y=z&a='b'#c", True),
        ("HTTPS://FILES.EXAMPLE/", False),
        ("javascript:alert(1)", False),
        (" javascript:alert(1)", False),
        ("java\nscript:alert(1)", False),
        ("data:text/html,x", False),
        ("//evil.example/", False),
        ("/etc/passwd", False),
        ("https://", False),
        ('https://a/"onclick="x', False),
        ("https://a/<b>", False),
        ("https://a/ b", False),
        ("https://a/\u202e", False),
        ("", False),
        (None, False),
    ],
)
def test_only_plain_web_addresses_become_links(url: str | None, shown: bool) -> None:  # noqa: FBT001 - a column of the table
    assert web_address(url) == (url if shown else "")


def test_commands_in_a_sentence_are_marked_and_everything_is_escaped() -> None:
    assert sentence("<b> `x <i>` c ` d") == "&lt;b&gt; <code>x &lt;i&gt;</code> c ` d"


def test_every_control_character_becomes_visible() -> None:
    controls = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"]
    marks = [
        chr(code) for code in (0x061C, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
    ]

    for char in (*controls, *marks, "\ud800", "\U000e0041"):
        shown = printable(f"a{char}b")
        assert char not in shown
        assert shown.startswith("a")
        assert shown.endswith("b")
        shown.encode("utf-8")
    assert printable("tab\tline\nümlaut 漢字 🙂") == "tab\tline\nümlaut 漢字 🙂"


def test_one_line_is_one_line_and_bounded() -> None:
    assert one_line("a\n b\r\n\tc\x1b") == "a b c␛"
    assert one_line("x" * 600) == "x" * 499 + "…"
