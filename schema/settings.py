"""The farm's settings: one ``farm.toml``, read once by a door, handed on as one frozen ``Settings``.

Each key of the file is a field of a section below; the field's type says what is allowed. Secrets (the URLs of Redis
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

from schema import toml_file
from schema.errors import FarmError, SettingsError
from schema.jobs import Limits
from schema.names import node_name
from schema.platforms import Platform, this_machine
from schema.score import Weights
from schema.states import BuildPolicy

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB)?")
_UNITS = {None: 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}

# Seconds that may be 0, for a thing that is not wanted.
_MAY_BE_NONE = frozenset({"watch.cooldown_s"})


def _root() -> bool:
    return os.geteuid() == 0


def _cache() -> Path:
    """For root a folder that the build user can reach too; else the user's own cache (XDG)."""
    if _root():
        return Path("/var/cache/wheelfarm")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wheelfarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmSection:
    """The farm as a whole.

    home: database, store, site, logs, keys and the embedded Redis live below it
    build: whether a wheel is built although the upstream has a usable one
    platforms: what the farm builds for, where a request names none
    """

    name: str = "wheelfarm"
    contact: str = ""
    home: Path = Path("var")
    build: BuildPolicy = BuildPolicy.MISSING
    platforms: tuple[Platform, ...] = field(default_factory=lambda: (Platform.of_image(f"debian12-{this_machine()}"),))
    recipes: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSection:
    """The index that the farm follows.

    index_url: empty means whatever pip on this machine is set to use
    poll_s: pause between two looks at the same project, in seconds
    """

    index_url: str = ""
    poll_s: float = 600.0
    timeout_s: float = 30.0


class Feed(StrEnum):
    """How the farm learns what changed upstream."""

    AUTO = "auto"
    SIMPLE = "simple"
    PROJECTS = "projects"


class Scope(StrEnum):
    """Which of the upstream's projects the farm wants by itself."""

    REQUESTED = "requested"
    ALL = "all"


class Releases(StrEnum):
    """Which releases of a project in scope are wanted."""

    NEWEST = "newest"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSection:
    """What the farm follows of the upstream, and how it learns of news.

    scope: ``requested``: what people, lists, files, patterns and clients ask for; ``all``: every project
    patterns: names that are wanted too, such as ``django-*``
    files: wish lists (TOML), requirements files and lock files (``pylock.toml``) that are wanted too; read again daily
    demand: whether what a client asks the index for, and does not find, is wanted
    feed: ``simple`` (the list of all projects with their serials), ``projects`` (each page in its turn), or ``auto``:
        the list where the scope is wide, each page in its turn where it is narrow
    changelog: whether to ask the upstream's XML-RPC changelog, too, for news within seconds
    pause_s: between two looks at the feed; margin_serials: how many serials are read again each time (W-04)
    cooldown_s: from a file's upload to its build, 0 for none; cooldown_exempt: names or patterns that are built at once
    sweep_s: how often a project is read although no event spoke of it (W-06); reconcile_s: a full comparison
    """

    scope: Scope = Scope.REQUESTED
    releases: Releases = Releases.NEWEST
    patterns: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    demand: bool = False
    feed: Feed = Feed.AUTO
    changelog: bool = False
    pause_s: float = 60.0
    margin_serials: int = 2000
    cooldown_s: float = 86400.0
    cooldown_exempt: tuple[str, ...] = ()
    sweep_s: float = 30 * 86400.0
    reconcile_s: float = 7 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSection:
    """What is built again.

    abi: projects against whose wheels others are compiled; a new series (major and minor version) of one concerns those
    abi_rebuild: whether they are queued by themselves; else they are only counted
    """

    abi: tuple[str, ...] = ("numpy",)
    abi_rebuild: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSection:
    """How long things are kept, and how much room is left free.

    scrub_s: each stored file is read and compared with its digest once in this time
    logs_s, failed_logs_s: of attempts that ended in a wheel, and of others
    orphans_s: files in the store that nothing names; removed_s: files of wheels that were withdrawn or removed
    free_bytes: no build is given out while the farm's disk has less; it goes on at one and a half times that
    """

    scrub_s: float = 30 * 86400.0
    logs_s: float = 365 * 86400.0
    failed_logs_s: float = 90 * 86400.0
    orphans_s: float = 86400.0
    removed_s: float = 30 * 86400.0
    free_bytes: int = 2 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmsSection:
    """When something is wrong enough to tell a person, and how: always in the log and on the dashboard.

    nothing_built_s: builds are queued, but none ended for so long; serial_still_s: the upstream had no news for so long
    node_silent_s: an active node was not heard for so long; queue_grows_s: the queue only grew for so long
    webhook: a URL that gets each alarm as JSON by POST; may hold a secret
    mail_to, mail_from, mail_server: addresses, and ``HOST:PORT`` of an SMTP server
    """

    nothing_built_s: float = 6 * 3600.0
    serial_still_s: float = 3 * 3600.0
    node_silent_s: float = 600.0
    queue_grows_s: float = 2 * 86400.0
    webhook: str = ""
    mail_to: str = ""
    mail_from: str = ""
    mail_server: str = "localhost:25"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSection:
    """url: SQLAlchemy's; empty means SQLite in the farm's home."""

    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSection:
    """url: ``redis://``, ``rediss://`` or ``redis+socket://``; empty means the embedded server in the farm's home."""

    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSection:
    """public_url: how people reach the farm, where that differs from host and port."""

    host: str = "127.0.0.1"
    port: int = 8181
    public_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSection:
    """One builder node.

    slots: builds at once
    workspace: what builds write to; must be reachable for the build user; by default a folder of this farm's own
    build_uid: where the node runs as root, slot N builds as this uid + N; a plain user builds as itself
    resolve_s: for so long, what a set of build requirements resolved to holds for the next build that has the same set
    wheels_bytes: what fetched build requirements may take of the disk; those not used for longest go first
    """

    name: str = "local"
    slots: int = field(default_factory=lambda: max((os.cpu_count() or 1) // 2, 1))
    workspace: Path = field(default_factory=lambda: _cache() / "work")
    build_uid: int = 64550
    resolve_s: float = 3600.0
    wheels_bytes: int = 2 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesSection:
    """folder: one folder an image; outside any checkout, so that several farms share them."""

    folder: Path = field(default_factory=lambda: _cache() / "images")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingSection:
    """Seconds. A lease must outlive several heartbeats, or a healthy node loses its builds.

    lead_s: the lease of the master that leads; it renews it three times as often
    retry_s: the pause after a node's first failure with a build; the later ones are multiples of it (``schema.states``)
    """

    lease_s: float = 90.0
    heartbeat_s: float = 5.0
    tick_s: float = 0.5
    lost_message_s: float = 20.0
    lead_s: float = 15.0
    retry_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; made by ``load``."""

    farm: FarmSection = field(default_factory=FarmSection)
    upstream: UpstreamSection = field(default_factory=UpstreamSection)
    watch: WatchSection = field(default_factory=WatchSection)
    plan: PlanSection = field(default_factory=PlanSection)
    keep: KeepSection = field(default_factory=KeepSection)
    alarms: AlarmsSection = field(default_factory=AlarmsSection)
    database: DatabaseSection = field(default_factory=DatabaseSection)
    redis: RedisSection = field(default_factory=RedisSection)
    web: WebSection = field(default_factory=WebSection)
    node: NodeSection = field(default_factory=NodeSection)
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
    def logs(self) -> Path:
        """The logs of builds, ``<build>/<fence>.log``."""
        return self.farm.home / "logs"

    @property
    def authority(self) -> Path:
        """The farm's own certificate authority and the master's key."""
        return self.farm.home / "authority"

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
        values["node"] = dataclasses.replace(values["node"], workspace=_cache() / "work" / home)
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
    if kind is float:
        none = value == 0 and key in _MAY_BE_NONE
        if isinstance(value, bool) or not isinstance(value, (int, float)) or (value <= 0 and not none):
            raise fault(f"a number of seconds {'of 0 or more' if key in _MAY_BE_NONE else 'above 0'}")
        return float(value)
    if kind is bool:
        if not isinstance(value, bool):
            raise fault("true or false")
        return value
    if kind is str or kind is Path:
        if not isinstance(value, str):
            raise fault("a text" if kind is str else "a path")
        return value if kind is str else _absolute(Path(value), folder)
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
    if settings.node.slots < 1:
        raise SettingsError(f"{file}: node.slots: must be at least 1")
    try:
        node_name(settings.node.name)
    except FarmError as err:
        raise SettingsError(f"{file}: node.name: {err}") from err
    _check_url(settings.upstream.index_url, schemes={"https", "http"}, key="upstream.index_url", file=file)
    _check_url(settings.alarms.webhook, schemes={"https", "http"}, key="alarms.webhook", file=file)
    _check_url(settings.web.public_url, schemes={"https", "http"}, key="web.public_url", file=file)
    _check_url(settings.redis.url, schemes={"redis", "rediss", "redis+socket"}, key="redis.url", file=file)
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
