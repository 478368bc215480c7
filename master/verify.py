"""``wheelfarm verify``: fetch what the farm says about a wheel, and check it against the bytes on this machine."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote, urlsplit

from packaging.utils import parse_wheel_filename

from schema.attest import strict_json
from schema.attest import verify as signatures
from schema.attest.report import Report
from schema.errors import FarmError, TrustError, UpstreamError, UsageError
from schema.names import sha256_of
from schema.platforms import Platform
from schema.settings import Settings
from schema.transport import Transport

_PROVENANCE_LIMIT_BYTES = 16 * 2**20
_AUTHORITY_LIMIT_BYTES = 64 * 2**10
_TIMEOUT_S = 30.0
_SUFFIX = ".provenance"
_HTTP_OK, _HTTP_NOT_FOUND = 200, 404


def verify(path: Path, *, settings: Settings, index_url: str | None, authority: Path | None) -> Report:
    """Check a wheel as ``verify_file`` does, against this farm where nothing else is named.

    index_url: None: the file ``WHEEL.provenance`` beside the wheel, else this farm's own index
    authority: a PEM file; None: this farm's own for its own wheels, else what the index itself offers
    """
    own = index_url is None or f"{index_url}/".startswith(f"{settings.public_url}/")
    pem = _text(authority) if authority else _own_authority(settings) if own else None
    if index_url is None and (pem is None or not _beside(path).is_file()):
        index_url = settings.public_url
    return verify_file(path, index_url=index_url, authority_pem=pem)


def verify_file(path: Path, *, index_url: str | None, authority_pem: str | None) -> Report:
    """Who built the wheel at *path* from what; raise TrustError where that cannot be shown.

    index_url: the farm, or one of its indexes; None: offline, with the file ``WHEEL.provenance`` beside the wheel
    authority_pem: what to trust; None: what the index offers, which the report then says (trust on first use)
    """
    try:
        parse_wheel_filename(path.name)
    except ValueError as err:
        raise TrustError(
            f"{path.name!r} is not the name of a wheel",
            advice="a wheel is signed under its own name; give it that name again",
        ) from err
    if index_url is None:
        return _offline(path, authority_pem)
    home = home_of(index_url)
    with Transport(home, user_agent=f"wheelfarm/{version('wheelfarm')} (verify)", timeout_s=_TIMEOUT_S) as farm:
        provenance = _fetched_provenance(farm, path.name)
        pem = authority_pem or _fetched_authority(farm)
    report = _checked(path, provenance, pem)
    if authority_pem is None:
        return report.noting(
            f"That authority was taken from {farm.home} itself, on trust: compare its fingerprint with what the"
            " farm's operator says, keep the certificate, and name it with --authority from then on."
        )
    return report


def _offline(path: Path, authority_pem: str | None) -> Report:
    beside = _beside(path)
    if not beside.is_file():
        raise TrustError(f"there is no {beside.name} beside the wheel", advice="name the farm with --index URL")
    if authority_pem is None:
        raise TrustError("no authority to trust is named", advice="give its certificate with --authority PEM")
    try:
        with beside.open("rb") as file:
            data = file.read(_PROVENANCE_LIMIT_BYTES + 1)
    except OSError as err:
        raise TrustError(f"{beside}: cannot be read: {err.strerror}") from err
    return _checked(path, data, authority_pem)


def _checked(path: Path, provenance: bytes, authority_pem: str) -> Report:
    try:
        digest = sha256_of(path)
    except OSError as err:
        raise UsageError(f"{path}: cannot be read: {err.strerror}") from err
    found = strict_json.parse(provenance, what="provenance", limit_bytes=_PROVENANCE_LIMIT_BYTES)
    return signatures.provenance(found, filename=path.name, sha256=digest, authority_pem=authority_pem)


def _fetched_provenance(farm: Transport, filename: str) -> bytes:
    found = _fetched(farm, f"files/{quote(filename, safe='')}{_SUFFIX}", _PROVENANCE_LIMIT_BYTES)
    if found is None:
        raise TrustError(f"{farm.home} knows nothing of a file {filename}: it has not published one of that name")
    return found


def _fetched_authority(farm: Transport) -> str:
    found = _fetched(farm, "authority.pem", _AUTHORITY_LIMIT_BYTES)
    if found is None:
        raise TrustError(f"{farm.home} offers no certificate of its authority", advice="give it with --authority PEM")
    return found.decode("ascii", "replace")


def _fetched(farm: Transport, path: str, limit_bytes: int) -> bytes | None:
    """What stands below the farm's own address; None if there is nothing."""
    try:
        answer = farm.get(farm.home + path, limit_bytes=limit_bytes)
    except UpstreamError as err:
        raise TrustError(f"the farm cannot be asked: {err}") from err
    if answer.status == _HTTP_NOT_FOUND:
        return None
    if answer.status != _HTTP_OK:
        raise TrustError(f"the farm cannot be asked: {answer.url} answers {answer.status}")
    return answer.body


def home_of(index_url: str) -> str:
    """The address of the farm of an index: without ``simple/`` and the view before it, with a slash at the end."""
    parts = urlsplit(index_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"not an index: {index_url.rpartition('@')[2]!r}", advice="its URL begins with https://")
    segments = [segment for segment in parts.path.split("/") if segment]
    if segments and segments[-1] == "simple":
        segments.pop()
        if segments and _is_view(segments[-1]):
            segments.pop()
    return parts._replace(path="/".join(["", *segments, ""]), query="", fragment="").geturl()


def _is_view(segment: str) -> bool:
    try:
        return Platform.of_image(segment).view == segment
    except FarmError:
        return False


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def _text(path: Path) -> str:
    try:
        return path.read_bytes()[: _AUTHORITY_LIMIT_BYTES + 1].decode("ascii", "replace")
    except OSError as err:
        raise UsageError(f"{path}: cannot be read: {err.strerror}") from err


def _own_authority(settings: Settings) -> str | None:
    """This farm's own authority, where this machine has it and this user may read it."""
    try:
        return (settings.authority / "authority.pem").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
