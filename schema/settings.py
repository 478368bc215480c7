"""The farm's settings: one ``farm.toml``, read once by a door, handed on as one frozen ``Settings``.

Each key of the file is a field of a section (``schema.sections``). Secrets (the URLs of Redis
and of the database) may stand in the environment (``WHEELFARM_REDIS_URL``, ``WHEELFARM_DATABASE_URL``) or in a file of
their own (``url_file``). Every fault raises SettingsError with file, key and what is allowed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from schema import redis_url, rule_keys, toml_file
from schema.errors import FarmError, SettingsError
from schema.jobs import Limits
from schema.names import node_name
from schema.platforms import Platform
from schema.redis_url import Tls
from schema.remedies import MOST_TRIES
from schema.score import Weights
from schema.sections import (
    AlarmsSection,
    BundleSection,
    DatabaseSection,
    FarmSection,
    HealSection,
    ImagesSection,
    KeepSection,
    NodeSection,
    NodesSection,
    PlanSection,
    RedisSection,
    RepeatSection,
    TimingSection,
    UpstreamSection,
    WatchSection,
    WebhooksSection,
    WebSection,
    cache,
)

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB)?")
_UNITS = {None: 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}

# Seconds that may be 0, for a thing that is not wanted.
_MAY_BE_NONE = frozenset({"watch.cooldown_s"})
_SHARES = frozenset({"repeat.share"})

_MOST_PROJECTS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; made by ``load``."""

    farm: FarmSection = field(default_factory=FarmSection)
    upstream: UpstreamSection = field(default_factory=UpstreamSection)
    watch: WatchSection = field(default_factory=WatchSection)
    plan: PlanSection = field(default_factory=PlanSection)
    repeat: RepeatSection = field(default_factory=RepeatSection)
    nodes: NodesSection = field(default_factory=NodesSection)
    keep: KeepSection = field(default_factory=KeepSection)
    alarms: AlarmsSection = field(default_factory=AlarmsSection)
    webhooks: WebhooksSection = field(default_factory=WebhooksSection)
    database: DatabaseSection = field(default_factory=DatabaseSection)
    redis: RedisSection = field(default_factory=RedisSection)
    web: WebSection = field(default_factory=WebSection)
    node: NodeSection = field(default_factory=NodeSection)
    heal: HealSection = field(default_factory=HealSection)
    bundle: BundleSection = field(default_factory=BundleSection)
    images: ImagesSection = field(default_factory=ImagesSection)
    timing: TimingSection = field(default_factory=TimingSection)
    limits: Limits = field(default_factory=Limits)
    score: Weights = field(default_factory=Weights)

    @property
    def database_url(self) -> str:
        """SQLAlchemy's URL of the database."""
        return self.database.url or f"sqlite:///{self.farm.home / 'farm.sqlite'}"

    @property
    def redis_url(self) -> str:
        """The URL of Redis; of the embedded server's Unix socket where none is set."""
        return self.redis.url or f"redis+socket://{self.redis_socket}"

    @property
    def redis_tls(self) -> Tls:
        """What the certificate of Redis is checked with."""
        return Tls(ca=self.redis.ca, certificate=self.redis.certificate, key=self.redis.key)

    @property
    def redis_socket(self) -> Path:
        """Where the embedded server listens."""
        return self.farm.home / "redis" / "redis.sock"

    @property
    def public_url(self) -> str:
        """How people reach the front-end, without a slash at the end."""
        return (self.web.public_url or f"http://{self.web.host}:{self.web.port}").rstrip("/")

    @property
    def store(self) -> Path:
        """The content-addressed store."""
        return self.farm.home / "store"

    @property
    def site(self) -> Path:
        """The rendered index and the files it links to."""
        return self.farm.home / "site"

    @property
    def upstream_pages(self) -> Path:
        """Copies of the upstream's pages that the front-end keeps for its merge view."""
        return self.farm.home / "upstream-pages"

    @property
    def latency(self) -> Path:
        """Where each process of the front-end notes how fast it answers."""
        return self.farm.home / "latency"

    @property
    def logs(self) -> Path:
        """The logs of builds, ``<build>/<fence>.log``."""
        return self.farm.home / "logs"

    @property
    def authority(self) -> Path:
        """The farm's own certificate authority and the master's key."""
        return self.farm.home / "authority"

    @property
    def ssh(self) -> Path:
        """The key with which the master reaches its nodes over SSH."""
        return self.farm.home / "ssh"

    @property
    def node_keys(self) -> Path:
        """This node's key and certificate; no build can reach it."""
        return self.farm.home / "node" / self.node.name / "keys"

    @property
    def outbox(self) -> Path:
        """Where this node leaves results until the master has taken them."""
        return self.farm.home / "node" / self.node.name / "outbox"


def load(path: Path | None = None) -> Settings:
    """Read *path*, else ``$WHEELFARM_SETTINGS``, ``./farm.toml`` or ``/etc/wheelfarm/farm.toml``; else the defaults.

    Paths in the file are relative to the file's folder.
    """
    file = find(path)
    if file is None:
        return _read({}, file=Path("farm.toml"), folder=Path.cwd())
    return _read(toml_file.read(file), file=file, folder=file.resolve().parent)


def find(path: Path | None = None) -> Path | None:
    """The settings file that ``load`` would read; None where there is none and the defaults hold."""
    named = path or (Path(os.environ["WHEELFARM_SETTINGS"]) if os.environ.get("WHEELFARM_SETTINGS") else None)
    if named is not None:
        return named
    return next((file for file in (Path("farm.toml"), Path("/etc/wheelfarm/farm.toml")) if file.is_file()), None)


def _read(data: Mapping[str, Any], *, file: Path, folder: Path) -> Settings:
    sections = get_type_hints(Settings)
    values: dict[str, Any] = {}
    toml_file.refuse_unknown(data, sections, file=file)
    for name, kind in sections.items():
        table = data.get(name, {})
        if not isinstance(table, Mapping):
            raise SettingsError(f"{file}: {name}: must be a table: [{name}]")
        values[name] = _section(kind, dict(table), file=file, name=name, folder=folder)
    if "workspace" not in data.get("node", {}):
        # Two farms on one machine must not meet in one folder: their builds have the same numbers.
        home = hashlib.sha256(os.fsencode(values["farm"].home.resolve())).hexdigest()[:12]
        values["node"] = dataclasses.replace(values["node"], workspace=cache() / "work" / home)
    return _checked(Settings(**values), file=file)


def _section(kind: type[Any], table: dict[str, Any], *, file: Path, name: str, folder: Path) -> Any:  # noqa: ANN401
    if name in {"redis", "database"}:
        table = _with_secret(table, file=file, name=name, folder=folder)
    fields = {item.name for item in dataclasses.fields(kind)}
    toml_file.refuse_unknown(table, fields, file=file, where=f"{name}.")
    hints = get_type_hints(kind)
    values = {
        key: _value(value, hints[key], file=file, key=f"{name}.{key}", folder=folder) for key, value in table.items()
    }
    section = kind(**values)
    if isinstance(section, FarmSection):
        return dataclasses.replace(section, home=_absolute(section.home, folder))
    return section


def _with_secret(table: dict[str, Any], *, file: Path, name: str, folder: Path) -> dict[str, Any]:
    """The URL from the environment, else from the file that ``url_file`` names, else as it stands."""
    table = dict(table)
    named = table.pop("url_file", None)
    if value := os.environ.get(f"WHEELFARM_{name.upper()}_URL"):
        table["url"] = value
    elif named is not None:
        secret = _value(named, Path, file=file, key=f"{name}.url_file", folder=folder)
        try:
            table["url"] = secret.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as err:
            raise SettingsError(f"{file}: {name}.url_file: {secret} cannot be read: {err}") from err
    return table


def _value(value: Any, kind: Any, *, file: Path, key: str, folder: Path) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912
    """*value* as *kind*, or SettingsError with what is allowed."""

    def fault(allowed: str) -> SettingsError:
        return SettingsError(f"{file}: {key}: {value!r} is not {allowed}")

    if kind is int and isinstance(value, str) and (size := _SIZE.fullmatch(value)):
        return int(float(size[1]) * _UNITS[size[2]])
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise fault("a whole number of 0 or more" + (' (sizes may be written "2GiB")' if "bytes" in key else ""))
        return value
    if key in _SHARES:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise fault("a share from 0.0 to 1.0")
        return float(value)
    if kind is float:
        none = value == 0 and key in _MAY_BE_NONE
        if isinstance(value, bool) or not isinstance(value, (int, float)) or (value <= 0 and not none):
            raise fault(f"a number of seconds {'of 0 or more' if key in _MAY_BE_NONE else 'above 0'}")
        return float(value)
    if kind is bool:
        if not isinstance(value, bool):
            raise fault("true or false")
        return value
    if kind in (str, Path, Path | None):
        if not isinstance(value, str):
            raise fault("a text" if kind is str else "a path")
        if kind is str:
            return value
        return None if value == "" and kind is not Path else _absolute(Path(value), folder)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value not in list(kind):
            raise fault("one of " + ", ".join(kind))
        return kind(value)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise fault("a list of texts")
    if kind == tuple[str, ...]:
        return tuple(value)
    if kind == tuple[Path, ...]:
        return tuple(_absolute(Path(item), folder) for item in value)
    try:
        return tuple(Platform.parse(item) for item in value)
    except FarmError as err:
        raise SettingsError(f"{file}: {key}: {err}") from err


def _absolute(path: Path, folder: Path) -> Path:
    return folder / path.expanduser()


def _checked(settings: Settings, *, file: Path) -> Settings:
    """What no single field's type can say."""
    if settings.timing.lease_s < 2 * settings.timing.heartbeat_s:
        raise SettingsError(
            f"{file}: timing.lease_s: {settings.timing.lease_s:g} must be at least twice timing.heartbeat_s"
            f" ({settings.timing.heartbeat_s:g}), or healthy nodes lose their builds"
        )
    if not settings.farm.platforms:
        raise SettingsError(f"{file}: farm.platforms: must name at least one platform, such as debian12-x86_64-cp311")
    if not 1 <= settings.web.port <= 65535:  # noqa: PLR2004 - TCP
        raise SettingsError(f"{file}: web.port: {settings.web.port} is not a port from 1 to 65535")
    if not 1 <= settings.heal.tries <= MOST_TRIES:
        raise SettingsError(f"{file}: heal.tries: {settings.heal.tries} is not from 1 to {MOST_TRIES}")
    patterns = {"bundle.never": settings.bundle.never, "bundle.when_missing": settings.bundle.when_missing}
    for key, value in (*patterns.items(), ("farm.native_only", settings.farm.native_only)):
        try:
            rule_keys.platforms(value)
        except ValueError as err:
            raise SettingsError(f"{file}: {key}: {err}") from err
    if settings.repeat.top > _MOST_PROJECTS:
        raise SettingsError(f"{file}: repeat.top: {settings.repeat.top} is too many: at most {_MOST_PROJECTS}")
    if settings.node.slots < 1:
        raise SettingsError(f"{file}: node.slots: must be at least 1")
    try:
        node_name(settings.node.name)
    except FarmError as err:
        raise SettingsError(f"{file}: node.name: {err}") from err
    _check_url(settings.upstream.index_url, schemes={"https", "http"}, key="upstream.index_url", file=file)
    _check_url(settings.web.public_url, schemes={"https", "http"}, key="web.public_url", file=file)
    _check_url(settings.redis.url, schemes={"redis", "rediss", "redis+socket"}, key="redis.url", file=file)
    redis_url.check(settings.redis.url, settings.redis_tls, file=file)
    _check_url(
        settings.database.url, schemes={"sqlite", "postgresql", "postgresql+psycopg"}, key="database.url", file=file
    )
    return settings


def _check_url(url: str, *, schemes: set[str], key: str, file: Path) -> None:
    """The URL itself may hold a password, so the message shows its scheme only."""
    if url and urlsplit(url).scheme not in schemes:
        scheme = urlsplit(url).scheme or "nothing"
        raise SettingsError(
            f"{file}: {key}: begins with {scheme!r}; allowed: {', '.join(f'{item}://' for item in sorted(schemes))}"
        )
