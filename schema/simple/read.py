"""Read a project's page of the upstream index: PEP 691 JSON or PEP 503 HTML, both without trust (I-30, T21).

A page is refused as a whole only where nothing of it can be believed. A file that cannot be understood is left out and
counted; unknown keys are ignored. pypi-simple, a library for this, gives up a page for one broken file, does not see
``data-upload-time``, and needs quadratic time for nested links.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, Literal, NamedTuple, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

from packaging.utils import InvalidWheelFilename, NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from schema.errors import UpstreamError
from schema.names import Sha256, sha256
from schema.simple.links import read_links

log = logging.getLogger(__name__)

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPES = frozenset({"application/vnd.pypi.simple.v1+html", "text/html"})

STATUSES = frozenset({"active", "archived", "deprecated", "quarantined"})

_NEWEST_MINOR = 4
_FILES_LIMIT = 100_000  # several times what any project has
_NAME_LIMIT = 255
_TEXT_LIMIT = 1000
_URL_LIMIT = 4000
_SIZE_LIMIT = 2**31  # of the database's column; no sdist comes near it
_SDIST_ENDINGS = (".tar.gz", ".zip")
_PLAIN_URL = re.compile(r"https?://[a-z0-9][a-z0-9.-]*(?::[0-9]{1,5})?/[A-Za-z0-9/._~%+!:@=,-]*")


V = TypeVar("V", str, Version)


class Entry(NamedTuple, Generic[V]):
    """A file on a project's page.

    version: ``Listed`` has it as canonical text, for millions are sent to another process and stored; ``File`` parsed
    url: absolute; sha256: None where the page gives none, or none that is one: such a file is never used
    requires_python: as it stands, possibly no valid specifier
    yanked: None, or the reason ("" where none was given)
    metadata_sha256: of the ``.metadata`` file beside it; None where that is not advertised with its digest
    """

    filename: str
    kind: Literal["sdist", "wheel"]
    version: V
    url: str
    sha256: Sha256 | None = None
    size_bytes: int | None = None
    requires_python: str | None = None
    yanked: str | None = None
    uploaded_at: datetime | None = None
    metadata_sha256: Sha256 | None = None


Listed = Entry[str]
File = Entry[Version]


def parsed(listed: Listed) -> File:
    """The same with its version parsed."""
    return File(**{**listed._asdict(), "version": Version(listed.version)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A project's page.

    status: PEP 792's; skipped: how many entries were no usable file of this project
    etag, last_modified: for the next conditional request, "" where not given
    serial: the upstream's, of the project's newest event that is in it (W-07); 0 where not given
    """

    name: NormalizedName
    files: tuple[Listed, ...]
    status: str = "active"
    status_reason: str = ""
    skipped: int = 0
    etag: str = ""
    last_modified: str = ""
    serial: int = 0


def parse(
    name: NormalizedName, body: bytes, *, content_type: str, url: str, etag: str = "", last_modified: str = ""
) -> Page:
    """Read *body*, which came from *url*; raise UpstreamError if it is no page of *name*."""
    kind = content_type.partition(";")[0].strip().lower()
    entries: Iterable[_Told]
    if kind == JSON_TYPE:
        entries, status = _from_json(name, body, url)
    elif kind in HTML_TYPES:
        entries, status = _from_html(body, url)
    else:
        raise UpstreamError(f"{url}: not a page of an index: its type is {kind[:80] or 'not given'}")
    files: dict[str, Listed] = {}
    skipped = 0
    for entry in entries:
        file = _file(name, entry, url)
        if file is None or file.filename in files:
            skipped += 1
        else:
            files[file.filename] = file
    return Page(
        name=name,
        files=tuple(files.values()),
        status=status[0] if status[0] in STATUSES else "active",
        status_reason=_clean(status[1]),
        skipped=skipped,
        etag=_clean(etag),
        last_modified=_clean(last_modified),
    )


class _Told(NamedTuple):
    """What a page says of one file, whichever form it has; nothing of it is checked yet."""

    filename: Any
    url: Any
    sha256: Any
    requires_python: Any
    yanked: Any
    size: Any = None
    uploaded_at: Any = None
    metadata_sha256: Any = None


_Status = tuple[str, str]


def _from_json(name: NormalizedName, body: bytes, url: str) -> tuple[Iterator[_Told], _Status]:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError) as err:
        raise UpstreamError(f"{url}: not JSON: {str(err)[:200]}") from err
    files = page.get("files") if isinstance(page, Mapping) else None
    if not isinstance(files, list):
        raise UpstreamError(f"{url}: not a project's page: it has no list of files")
    meta = _mapping(page.get("meta"))
    _check_version(meta.get("api-version", "1.0"), url)
    if canonicalize_name(str(page.get("name", name))) != name:
        raise UpstreamError(f"{url}: the page of another project: {str(page['name'])[:80]!r}")
    # The living spec's example has the status below ``meta``, its text (and practice) at the top.
    if len(files) > _FILES_LIMIT:
        raise UpstreamError(f"{url}: lists more than {_FILES_LIMIT} files; no project has so many")
    status = _mapping(page.get("project-status") or meta.get("project-status"))
    return map(_json_entry, files), (str(status.get("status", "active")), str(status.get("reason") or ""))


def _json_entry(entry: Any) -> _Told:  # noqa: ANN401 - anything may stand in the list
    entry = _mapping(entry)
    sidecar = entry.get("core-metadata", entry.get("dist-info-metadata"))
    return _Told(
        filename=entry.get("filename"),
        url=entry.get("url"),
        sha256=_mapping(entry.get("hashes")).get("sha256"),
        requires_python=entry.get("requires-python"),
        yanked=entry.get("yanked"),
        size=entry.get("size"),
        uploaded_at=entry.get("upload-time"),
        metadata_sha256=_mapping(sidecar).get("sha256"),
    )


def _from_html(body: bytes, url: str) -> tuple[list[_Told], _Status]:
    found = read_links(body, url, most=_FILES_LIMIT)
    _check_version(found.meta.get("repository-version", "1.0"), url)
    status = found.meta.get("project-status", "active"), found.meta.get("project-status-reason", "")
    return [_html_entry(attributes, found.base) for attributes in found.links], status


def _html_entry(attributes: Mapping[str, str], base: str) -> _Told:
    try:
        target = urlsplit(urljoin(base, attributes["href"].strip()))
    except ValueError:
        return _json_entry(None)
    algorithm, _, digest = target.fragment.partition("=")
    sidecar = attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata", ""))
    return _Told(
        filename=unquote(target.path.rpartition("/")[2]),
        url=target._replace(fragment="").geturl(),
        sha256=digest if algorithm == "sha256" else None,
        requires_python=attributes.get("data-requires-python"),
        yanked=attributes.get("data-yanked"),
        uploaded_at=attributes.get("data-upload-time"),  # no standard, but some indexes have it
        metadata_sha256=sidecar.removeprefix("sha256="),
    )


def _check_version(text: Any, url: str) -> None:  # noqa: ANN401
    """PEP 629: another major version is not for us; a newer minor one only adds."""
    found = re.fullmatch(r"(\d{1,4})\.(\d{1,4})", str(text))
    if not found or int(found[1]) != 1:
        raise UpstreamError(f"{url}: speaks version {str(text)[:20]} of the index protocol; the farm reads version 1")
    if int(found[2]) > _NEWEST_MINOR:
        _warn_of_newer(str(text))


@lru_cache(maxsize=16)
def _warn_of_newer(version: str) -> None:
    """Once a process, not once a page."""
    log.warning("the upstream index speaks version %s; the farm knows up to 1.%s", version, _NEWEST_MINOR)


def _file(name: NormalizedName, entry: _Told, page_url: str) -> Listed | None:
    """None for what is no file of this project, or says of itself what cannot be understood."""
    if not isinstance(entry.filename, str) or not isinstance(entry.url, str):
        return None
    if not isinstance(entry.requires_python, str | None) or len(entry.requires_python or "") > _TEXT_LIMIT:
        return None
    parsed = file_version(name, entry.filename)
    url = _absolute(page_url, entry.url)
    if parsed is None or url is None:
        return None
    return Entry(
        filename=entry.filename,
        kind="wheel" if entry.filename.endswith(".whl") else "sdist",
        version=str(parsed),
        url=url,
        sha256=_digest(entry.sha256),
        size_bytes=entry.size if type(entry.size) is int and 0 <= entry.size < _SIZE_LIMIT else None,
        requires_python=None if entry.requires_python is None else _clean(entry.requires_python),
        yanked=_yanked(entry.yanked),
        uploaded_at=_instant(entry.uploaded_at),
        metadata_sha256=_digest(entry.metadata_sha256),
    )


def file_version(name: NormalizedName, filename: str) -> Version | None:
    """The version in the name of a file of the project *name*; None if it is no wheel or sdist of it."""
    if len(filename) > _NAME_LIMIT or not filename.isascii() or not filename.isprintable() or "/" in filename:
        return None
    try:
        if filename.endswith(".whl"):
            project, version, _, _ = parse_wheel_filename(filename)
            return version if project == name else None
        return _sdist_version(name, filename)
    except (InvalidWheelFilename, InvalidVersion):
        return None


def _sdist_version(name: NormalizedName, filename: str) -> Version | None:
    """Old names may have hyphens on either side, so the project's own name decides where the version begins."""
    ending = next((item for item in _SDIST_ENDINGS if filename.endswith(item)), None)
    if ending is None:
        return None
    stem = filename.removesuffix(ending)
    for match in re.finditer("-", stem):
        if canonicalize_name(stem[: match.start()]) == name:
            return Version(stem[match.end() :])
    return None


def _absolute(page_url: str, url: str) -> str | None:
    if _PLAIN_URL.fullmatch(url) and len(url) <= _URL_LIMIT:  # most are: nothing is to be joined, cut off or refused
        return url
    try:
        joined = urljoin(page_url, url)
        parts = urlsplit(joined)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.username is None
    except ValueError:
        return None
    if not fits or len(joined) > _URL_LIMIT or not joined.isascii() or not joined.isprintable():
        return None
    return parts._replace(fragment="").geturl()


def _digest(value: Any) -> Sha256 | None:  # noqa: ANN401
    try:
        return sha256(value.lower()) if isinstance(value, str) else None
    except ValueError:
        return None


def _yanked(value: Any) -> str | None:  # noqa: ANN401
    """PEP 592; what is neither yes nor no counts as yanked: rather too little is built than too much."""
    if value is None or value is False:
        return None
    return _clean(value) if isinstance(value, str) else ""


def _instant(value: Any) -> datetime | None:  # noqa: ANN401
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:  # noqa: ANN401
    return value if isinstance(value, dict) else {}


def _clean(text: str) -> str:
    """What every database takes: no NUL, no lone surrogates, not without end."""
    if text.isascii() and len(text) <= _TEXT_LIMIT and "\0" not in text:
        return text
    return text[:_TEXT_LIMIT].replace("\0", "").encode("utf-8", "replace").decode()
