"""Paths: spellings that lead to a page, and those that must lead nowhere."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from tests.sample_site import HERE
from tests.web.index.conftest import Reader
from web.shelf import Shelf


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("/simple", "/simple/"),
        ("/simple/demo", "/simple/demo/"),
        ("/simple//demo/", "/simple/demo/"),
        ("///simple///demo///", "/simple/demo/"),
        ("/simple/Demo/", "/simple/demo/"),
        ("/simple/Mixed.Name/", "/simple/mixed-name/"),
        ("/simple/mixed__.-name/", "/simple/mixed-name/"),
        ("/debian12-x86_64/simple", "/debian12-x86_64/simple/"),
        ("/debian12-x86_64//simple/demo", "/debian12-x86_64/simple/demo/"),
        ("/debian12-x86_64/simple/MIXED_NAME/", "/debian12-x86_64/simple/mixed-name/"),
        ("/simple/no-such-project", "/simple/no-such-project/"),
        ("/files//plus-1.0%2Blocal.1-py3-none-any.whl", "/files/plus-1.0%2Blocal.1-py3-none-any.whl"),
        ("/constraints//debian12-x86_64-cp311.txt", "/constraints/debian12-x86_64-cp311.txt"),
        ("/files//demo-1.0-py3-none-any.whl", "/files/demo-1.0-py3-none-any.whl"),
        ("/age/7d/simple/Mixed.Name/", "/age/7d/simple/mixed-name/"),
        ("/age/7d//tested/debian12-x86_64/simple//demo", "/age/7d/tested/debian12-x86_64/simple/demo/"),
    ],
)
@pytest.mark.parametrize("query", ["", "?format=text/html&x=a%20b"])
def test_another_spelling_redirects_and_keeps_the_query(asked: str, answered: str, query: str, client: Reader) -> None:
    response = client.ask(unquote(asked) + query)

    assert response.status_code == 301
    assert response.headers["Location"] == answered + query  # a path: no scheme and no host that a proxy would correct


@pytest.mark.parametrize("path", ["/simple/demo/", "/files/demo-1.0-py3-none-any.whl", f"/constraints/{HERE}.txt"])
def test_slashes_too_many_in_front_change_nothing(path: str, client: Reader) -> None:
    assert client.ask(f"//{path}").data == client.get(path).data


def test_two_redirects_at_most_lead_to_the_page(client: Reader) -> None:
    first = client.ask("//simple//Mixed.Name")
    second = client.get(first.headers["Location"])
    third = client.get(second.headers["Location"])

    assert (first.status_code, second.status_code, third.status_code) == (301, 301, 200)


NAUGHTY = [
    "..",
    ".",
    "...",
    "../",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "%2e%2e/%2e%2e/secret.txt",
    "..\\..\\secret.txt",
    "..%5c..%5csecret.txt",
    "....//....//secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "\\\\host\\share",
    "C:\\secret.txt",
    "~root",
    "~/.ssh/id_rsa",
    "demo/../../secret.txt",
    "demo/../secret.txt",
    "demo/index.json",
    "demo\x00.whl",
    "\x00",
    "secret.txt\x00.whl",
    "demo\n",
    "demo\r\nSet-Cookie: a=b",
    "demo%0d%0aSet-Cookie:%20a=b",
    ".new-abc",
    ".gone-abc",
    ".",
    "-demo",
    "demo-",
    "_demo",
    "dem o",
    "demo;ls",
    "$(id)",
    "`id`",
    "%s%s%s%n",
    "{0}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "demo\u202elhw.",
    "\u0130demo",
    "\u212a",
    "\uff44\uff45\uff4d\uff4f",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "%c0%ae%c0%ae/secret.txt",
    "%ff%fe",
    "%",
    "%zz",
    "a" * 300,
    "a" * 5000,
    "con",
    "nul",
    "index.json",
    "index.json.gz",
    "authority.pem",
    "simple",
    "*",
    "?",
    "[a-z]*",
    "demo.whl",
    "..whl",
    "../secret.whl",
    "..%2fsecret.whl",
    ".whl",
    ".whl.metadata",
    "evil.whl/../../secret.txt",
    "secret.txt",
]
TEMPLATES = ["/simple/{}/", "/simple/{}", "/{}/simple/", "/{}/simple/demo/", "/files/{}", "/constraints/{}", "/{}"]
TEMPLATES += ["/age/{}/simple/demo/", "/tested/simple/{}/"]


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", NAUGHTY)
def test_no_name_leads_out_of_the_site_or_to_an_error(
    name: str, template: str, *, escaped: bool, client: Reader, site: Path
) -> None:
    (site.parent / "secret.txt").write_text("SECRET")
    (site.parent / "secret.whl").write_text("SECRET")

    response = client.ask(template.format(quote(name, safe="") if escaped else name).replace("?", "\uff1f"))
    for _ in range(3):
        if response.status_code not in {301, 308}:
            break
        location = response.headers["Location"].removeprefix("http://localhost")
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\"))
        assert not {"\r", "\n"} & set(location)
        response = client.ask(unquote(location))

    answers = {"/authority.pem": 200, "/simple": 200, "/./simple/": 404}
    assert response.status_code == answers.get(template.format(name), 404)
    assert b"SECRET" not in response.data
    assert b"root:" not in response.data


def test_a_link_out_of_the_site_is_the_only_way_out_and_none_is_made(site: Path) -> None:
    assert not [path for path in site.rglob("*") if path.is_symlink()]


def test_the_shelf_forgets_the_longest_unused_first(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, room_bytes=20_000)
    for number in range(10):
        (tmp_path / str(number)).write_bytes(bytes([number]) * 2000)

    read = [shelf.read(str(number), "text/plain", caching=("no-cache", "")) for number in range(10)]

    assert [leaf.data[0] for leaf in read if leaf] == list(range(10))
    assert [key[0] for key in shelf._kept if isinstance(key, tuple)] == ["6", "7", "8", "9"]
    assert shelf._kept_bytes <= 20_000
