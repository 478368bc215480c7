"""The link to Redis: how TLS is spoken, and what to say where it fails.

A certificate is always checked, and so is the host's name in it; there is no setting against that.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import redis

from schema.errors import RefusedError, SettingsError, UnavailableError
from schema.redis_url import TLS, Tls, address

_TIMEOUT_S = 5.0
# OpenSSL's X509_V_ERR_*: no issuer that is trusted, in its four ways
_UNKNOWN_ISSUER = {18, 19, 20, 21}
_NOT_YET, _EXPIRED = 9, 10
_OTHER_NAME = {62, 64}
# In the reason of both ends where a record does not arrive as it was sent (RFC 8446, 6.2: bad_record_mac).
_DAMAGED = "BAD_RECORD_MAC"
_WHERE = "is it running? redis.url in farm.toml, or WHEELFARM_REDIS_URL, says where it is"
_BOTH_OR_NEITHER = "redis.url must begin with rediss:// where Redis speaks TLS, and only there; or is it overloaded?"
_CERTIFICATES = "is it running? if it asks for certificates (tls-auth-clients), redis.certificate must name ours"


def options(url: str, tls: Tls) -> dict[str, Any] | None:
    """What a connection to *url* is made with, as redis-py names it; None for one without TLS.

    Raise SettingsError for a file that cannot be used: redis-py would say so at each connection, in OpenSSL's words.
    """
    if not url.startswith(TLS):
        return None
    _check(tls)
    return {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": None if tls.ca is None else str(tls.ca),
        "ssl_certfile": None if tls.certificate is None else str(tls.certificate),
        "ssl_keyfile": None if tls.key is None else str(tls.key),
        # Else each connection first tells what library it is of, and asks for notices of maintenance, by commands that
        # a node's user may not use.
        "driver_info": None,
        "protocol": 2,
    }


def client(url: str, tls: Tls) -> redis.Redis:
    """A client for a few commands; it connects with the first. Raise SettingsError for a URL that cannot be read."""
    try:
        made: redis.Redis = redis.Redis.from_url(
            url.replace("redis+socket://", "unix://"),
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            **(options(url, tls) or {}),
        )
        made.connection_pool.make_connection()
    except (ValueError, TypeError) as err:
        raise SettingsError(f"redis.url: {address(url)}: {err}") from err
    return made


def explained(err: BaseException, *, where: str = "Redis", key: str = "redis.url") -> UnavailableError:
    """What an error of redis-py or kombu means: RefusedError where it will not pass by itself, else UnavailableError.

    where, key: which Redis, and which setting names it, for the sentence. No password is in it.
    """
    causes = tuple(_causes(err))
    for cause in causes:
        if isinstance(cause, redis.exceptions.NoPermissionError):
            return RefusedError(
                f"{where} does not let this user do what it must: {cause}",
                advice="wheelfarm redis users, on the master, prints what each user of the farm must be allowed",
            )
        if isinstance(cause, redis.exceptions.AuthenticationError):
            return RefusedError(
                f"{where} refuses the user or the password of {key}: {cause}",
                advice="a node's are made anew on the master by wheelfarm redis grant NAME; a removed user has none",
            )
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _mistrusted(cause, where)
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError) and not _is_damage(cause):
            return _unspoken(cause, where)
    said = next((cause for cause in causes if isinstance(cause, redis.RedisError)), err)
    return UnavailableError(f"{where} does not answer: {said}", advice=_advice(causes))


def _is_damage(err: BaseException) -> bool:
    return isinstance(err, ssl.SSLError) and _DAMAGED in (err.reason or "")


def _advice(causes: tuple[BaseException, ...]) -> str:
    if any(map(_is_damage, causes)):
        return "what is sent arrives damaged: something on the way breaks it"
    if any(isinstance(cause, ssl.SSLEOFError) for cause in causes):
        return _CERTIFICATES
    # What accepts a connection and then hangs up, or waits, may take our TLS for commands, or our commands for TLS.
    puzzled = any(isinstance(cause, (ConnectionResetError, TimeoutError)) for cause in causes)
    return _BOTH_OR_NEITHER if puzzled else _WHERE


def _mistrusted(err: ssl.SSLCertVerificationError, where: str) -> RefusedError:
    code, said = err.verify_code, err.verify_message
    if code == _EXPIRED:
        return RefusedError(
            f"the certificate of {where} has run out",
            advice="renew tls-cert-file there; or is the clock of this machine wrong?",
        )
    if code == _NOT_YET:
        return RefusedError(
            f"the certificate of {where} is not valid yet",
            advice="is the clock of this machine, or of that one, wrong?",
        )
    if code in _OTHER_NAME:
        return RefusedError(
            f"the certificate of {where} is for another name: {said}",
            advice="write into redis.url a name that the certificate has",
        )
    if code in _UNKNOWN_ISSUER:
        return RefusedError(
            f"the certificate of {where} is not from an authority that is trusted here: {said}",
            advice="redis.ca in farm.toml names that authority's own certificate, a file in PEM",
        )
    return RefusedError(f"the certificate of {where} does not hold: {said}", advice="see tls-cert-file there")


def _unspoken(err: ssl.SSLError, where: str) -> RefusedError:
    reason = err.reason or str(err)
    if "CERTIFICATE" in reason:
        return RefusedError(
            f"{where} does not accept our certificate, or misses one: {reason}",
            advice="redis.certificate and redis.key name one, or set tls-auth-clients no there",
        )
    return RefusedError(
        f"{where} and we cannot agree on TLS: {reason}",
        advice="is that its tls-port? where it has none, redis.url begins with redis://",
    )


def _check(tls: Tls) -> None:
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except (OSError, ssl.SSLError) as err:
        raise SettingsError(
            f"redis.ca: {tls.ca} cannot be used: {_plainly(err)}", advice="certificates in PEM"
        ) from err
    if tls.certificate is None:
        return
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as err:
        files = f"{tls.certificate} and {tls.key or 'its key'}"
        raise SettingsError(
            f"redis.certificate: {files} cannot be used: {_plainly(err)}",
            advice="a certificate and its key, without a password, in PEM",
        ) from err


def _no_password() -> str:
    """Else OpenSSL would ask for one at the terminal."""
    return ""


def _plainly(err: Exception) -> str:
    if isinstance(err, ssl.SSLError) and err.reason:
        return err.reason.lower().replace("_", " ")
    return (err.strerror or str(err)) if isinstance(err, OSError) else str(err)


def _causes(err: BaseException | None) -> Iterator[BaseException]:
    """*err*, and what led to it."""
    seen: set[int] = set()
    while err is not None and id(err) not in seen:
        seen.add(id(err))
        yield err
        err = err.__cause__ or err.__context__
