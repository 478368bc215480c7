"""The index for installers: the tree that the master rendered, served from disk without the database (I-28, R13).

It is a WSGI application of its own that stands before the pages for people: an installer's request never reaches
Flask, whose routing alone would cost several times what the answer does. What it has no answer for goes to *rest*.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from packaging.utils import NormalizedName

from schema.errors import NotANameError, SettingsError, UnknownProjectError, UpstreamError
from schema.names import project_name
from web import accept, answer, files, legacy, merging, picked
from web.accept import Form
from web.answer import Body
from web.copies import Copies
from web.demand import Demands
from web.downloads import Downloads
from web.latency import Kind, Latency
from web.picked import Filter
from web.shelf import Leaf, Shelf

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# A minute: a burst of runs asks once, and yet a new wheel is seen, and a yanked one gone, while one still waits for it.
# pip from 26.2 on and uv trust it without a request (I-10).
PAGE_CACHING = ("public, max-age=60", "Accept, Accept-Encoding")
_FILE_CACHING = (files.FOR_EVER, "")

_ENCODINGS = {"": "", ".gz": "gzip", ".zst": "zstd"}
SIDECARS = {".metadata": "text/plain; charset=utf-8", ".provenance": "application/json"}
PLAIN, _PEM = "text/plain; charset=utf-8", "application/x-pem-file"

VIEW = r"[a-z0-9]{1,40}-[a-z0-9_]{1,40}"
_NAME = r"(?=[a-z0-9-]{1,200}/)[a-z0-9]+(?:-[a-z0-9]+)*"  # a file system takes 255 bytes
_PAGE = re.compile(rf"/({picked.FILTERS})(?:({VIEW})/)?(merged/)?simple/(?:({_NAME})/)?")
WHEEL = r"[A-Za-z0-9_][A-Za-z0-9_.+!-]*\.whl"
_FILE = re.compile(rf"/files/(?=.{{1,255}}\Z)({WHEEL})(\.metadata|\.provenance)?")
_TEXT = re.compile(rf"/(constraints/{VIEW}-[a-z0-9]{{1,40}}\.txt|authority\.pem)")
_LEGACY = re.compile(rf"/(?:({VIEW})/)?pypi/(?=[a-z0-9-]{{1,200}}/)([a-z0-9]+(?:-[a-z0-9]+)*)/json")
_BEFORE = r"(?:age/+[^/]*/+)?(?:reproducible/+)?(?:tested/+)?(?:[a-z0-9]+-[a-z0-9_]+/+)?(?:merged/+)?"
_OURS = re.compile(rf"/{_BEFORE}simple(?:/.*)?|/(?:files|packages|constraints)/.*", re.DOTALL)

_Respond = Callable[["WSGIEnvironment", "StartResponse", re.Match[str]], Body]
# Status of an answer that is not what was asked for → the kind that it counts as; others do not count.
_COUNTED: dict[str, Kind] = {"304": "304", "404": "missing"}


class Index:
    """Answers for the index from the *site* (a folder), and hands everything else to *rest*.

    demands: told of each project's page that is not there; nothing waits for it
    copies: the upstream's pages, for the merge view; None: there is no such view
    downloads: told of each wheel that is sent
    latency: told how long each answer took, until its body could begin
    """

    def __init__(
        self,
        rest: WSGIApplication,
        site: Path,
        demands: Demands | None = None,
        copies: Copies | None = None,
        downloads: Downloads | None = None,
        *,
        latency: Latency | None = None,
    ) -> None:
        self._rest = rest
        self._shelf = Shelf(site)
        self._demands = demands
        self._copies = copies
        self._downloads = downloads
        self._latency = latency

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Body:
        """One request (PEP 3333)."""
        path = environ["PATH_INFO"]
        respond: _Respond
        kind: Kind = "page"
        if match := _PAGE.fullmatch(path):
            respond, kind = self._page, "merged" if match[3] else "page"
        elif match := _FILE.fullmatch(path):
            respond, kind = self._file, "metadata" if match[2] else "file"
        elif match := _TEXT.fullmatch(path):
            respond = self._text
        elif match := _LEGACY.fullmatch(path):
            respond = self._legacy
        else:
            return self._misspelt(environ, start)
        method = environ["REQUEST_METHOD"]
        if method not in {"GET", "HEAD"}:
            said = "the index is only read\n"
            return answer.text(environ, start, "405 Method Not Allowed", said, ("Allow", "GET, HEAD"))
        if self._latency is None:
            return respond(environ, start, match)
        began = perf_counter()
        body = respond(environ, start, match)
        counted = _COUNTED.get(environ[answer.STATUS]) if answer.STATUS in environ else kind
        if counted is not None:
            self._latency.observe(counted, perf_counter() - began)
        return body

    def _page(self, environ: WSGIEnvironment, start: StartResponse, match: re.Match[str]) -> Body:
        """The list of projects, or the files of one; ``Accept`` or ``?format=`` says in which form."""
        filters, view, merged, name = match.groups()
        form = accept.asked_form(environ)
        if form is None:
            said = "this page comes as: " + ", ".join(Form) + "\n"
            vary = "Vary", PAGE_CACHING[1]
            return answer.text(environ, start, "406 Not Acceptable", said, vary)
        place = f"{view}/simple/" if view else "simple/"
        if name:
            place += f"{name}/"
        if name and merged:
            chosen = Filter.of(filters, view or "", climb=filters.count("/") + 1)
            return self._merged(environ, start, NormalizedName(name), place, form, chosen)
        if name and filters:
            leaf = self._picked(environ, f"{place}index.json", form, Filter.of(filters, view or ""))
        else:  # the list of projects is that of the whole view
            leaf = self._smallest(environ, f"{place}index.{'json' if form is Form.JSON else 'html'}", form)
        if leaf:
            return leaf.send(environ, start)
        if name and not (filters and self._shelf.has(f"{place}index.json")):
            self._count(name, view)
        return answer.nothing(environ, start, "project")

    def _text(self, environ: WSGIEnvironment, start: StartResponse, match: re.Match[str]) -> Body:
        """What is held back on a platform, or the certificate that every signature of this farm ends in."""
        is_certificate = match[1].endswith(".pem")
        if leaf := self._smallest(environ, match[0][1:], _PEM if is_certificate else PLAIN):
            return leaf.send(environ, start)
        what = "certificate" if is_certificate else "platform"
        return answer.nothing(environ, start, what)

    def _legacy(self, environ: WSGIEnvironment, start: StartResponse, match: re.Match[str]) -> Body:
        """A project as bandersnatch wants it."""
        view, name = match.groups()
        path = f"{view}/simple/{name}/index.json" if view else f"simple/{name}/index.json"
        serial = self._shelf.written_at(path)
        make = partial(legacy.page, serial=serial)
        leaf = self._shelf.made(("legacy", path, serial), [path], make, "application/json", caching=PAGE_CACHING)
        if leaf is None:
            return answer.nothing(environ, start, "project")
        headers = [*leaf.headers, ("X-PyPI-Last-Serial", str(serial))]
        return replace(leaf, headers=headers).send(environ, start)

    def _file(self, environ: WSGIEnvironment, start: StartResponse, match: re.Match[str]) -> Body:
        """A wheel, its METADATA or its provenance; such a name never means other bytes (I-22)."""
        found: Body | None = None
        if not match[2]:
            found = files.send(environ, start, self._shelf.folder + match[0])
            if found is not None and self._downloads:
                self._downloads.count(environ, match[1])
        elif leaf := self._shelf.read(match[0][1:], SIDECARS[match[2]], caching=_FILE_CACHING):
            found = leaf.send(environ, start)
        return answer.nothing(environ, start, "file") if found is None else found

    def _smallest(self, environ: WSGIEnvironment, path: str, content_type: str) -> Leaf | None:
        """A page in the best of the encodings that the client takes and that there are."""
        for suffix in accept.asked_suffixes(environ):
            name, encoding = path + suffix, _ENCODINGS[suffix]
            if leaf := self._shelf.read(name, content_type, encoding=encoding, caching=PAGE_CACHING):
                return leaf
        return None

    def _picked(self, environ: WSGIEnvironment, path: str, form: Form, chosen: Filter) -> Leaf | None:
        """What a filter leaves of a project's page."""
        packed = _takes_gzip(environ)
        make = partial(picked.page, chosen=chosen, form=form, packed=packed)
        return self._made(make, form, path, packed=packed, key=(chosen,))

    def _merged(  # noqa: PLR0917 - private, and called once
        self,
        environ: WSGIEnvironment,
        start: StartResponse,
        name: NormalizedName,
        place: str,
        form: Form,
        chosen: Filter,
    ) -> Body:
        """The upstream's files beside ours; 404 where the upstream has no such project, whatever we have (S-10)."""
        if self._copies is None:
            return answer.nothing(environ, start, "view")
        try:
            copy = self._copies.page(name)
        except UnknownProjectError:
            return answer.nothing(environ, start, "project")
        except (UpstreamError, SettingsError):
            return answer.later(environ, start, "the upstream does not give its page now, and no copy is here\n")
        ours, packed = f"{place}index.json", _takes_gzip(environ)
        if not self._shelf.has(ours):
            self._count(name, chosen.view)
        make = partial(merging.page, name=name, chosen=chosen, form=form, packed=packed)
        leaf = self._made(make, form, ours, str(copy), packed=packed, key=(chosen, "merged"))
        if leaf is None:  # the copy had to make room just now
            return answer.later(environ, start, "the copy of the upstream's page is gone again\n")
        return leaf.send(environ, start)

    def _made(
        self, make: Callable[..., bytes | None], form: Form, *sources: str, packed: bool, key: tuple[object, ...]
    ) -> Leaf | None:
        encoding = "gzip" if packed else ""
        key = (*sources, form, encoding, *key)
        return self._shelf.made(key, sources, make, form, encoding=encoding, caching=PAGE_CACHING)

    def _count(self, name: str, view: str | None) -> None:
        """Somebody wanted what we have not."""
        if self._demands:
            self._demands.count(name, view or "")

    def _misspelt(self, environ: WSGIEnvironment, start: StartResponse) -> Body:
        """Send another spelling to the right one (I-01, I-02); 404 for what can be none."""
        path = "/" + environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace").lstrip("/")
        if any(pattern.fullmatch(path) for pattern in (_PAGE, _FILE, _TEXT)):  # slashes too many in front
            return self({**environ, "PATH_INFO": path}, start)
        if not _OURS.fullmatch(path):
            return self._rest(environ, start)
        tidy = re.sub("/{2,}", "/", path)
        tidy = re.sub("^/packages/", "/files/", tidy)  # as the legacy pages name them
        is_page = not tidy.startswith(("/files/", "/constraints/"))
        if is_page and not tidy.endswith("/"):
            tidy += "/"
        if tidy != path:
            return answer.elsewhere(environ, start, tidy)
        if not is_page:
            return answer.nothing(environ, start, "file")
        before, _, name = tidy.partition("simple/")
        target = f"{before}simple/{_normalised(name.rstrip('/'))}/"
        if not _PAGE.fullmatch(target) or target == path:
            return answer.nothing(environ, start, "project")
        return answer.elsewhere(environ, start, target)


def _takes_gzip(environ: WSGIEnvironment) -> bool:
    return ".gz" in accept.asked_suffixes(environ)


def _normalised(name: str) -> str:
    """Empty if *name* is not a project's name."""
    try:
        return project_name(name)
    except NotANameError:
        return ""
