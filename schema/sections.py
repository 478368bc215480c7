"""The sections of ``farm.toml``: each field is a key; its type says what is allowed, its default what holds without."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from schema import names
from schema.people import MetricsReaders
from schema.platforms import Platform
from schema.states import BuildPolicy, Bundle, Emulation


def _root() -> bool:
    return os.geteuid() == 0


def cache() -> Path:
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
    native_only: patterns of platforms, such as ``debian12-aarch64-*``, that no node emulates
    """

    name: str = "wheelfarm"
    contact: str = ""
    home: Path = Path("var")
    build: BuildPolicy = BuildPolicy.MISSING
    platforms: tuple[Platform, ...] = field(default_factory=lambda: (Platform.here(),))
    native_only: tuple[str, ...] = ()
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
    rss: where pages are read in their turn, whether the upstream's RSS of newest releases says which come first
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
    rss: bool = False
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
class RepeatSection:
    """Which builds are built once more after they were published, to see whether they give the same bytes.

    share: of all builds, 0.0 to 1.0; top: and every one of so many projects that are downloaded most (``ranking``)
    """

    share: float = 0.0
    top: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesSection:
    """How nodes are let in.

    canaries: so many published builds a new one builds as they are known, before it gets others; 0 for none
    """

    canaries: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSection:
    """How long things are kept, and how much room is left free.

    scrub_s: each stored file is read and compared with its digest once in this time
    logs_s, failed_logs_s: of attempts that ended in a wheel, and of others
    orphans_s: files in the store that nothing names; removed_s: files of wheels that were withdrawn or removed
    downloads_s: it is known so long which day and which installer a download was of; after that, its month
    free_bytes: no build is given out while the farm's disk has less; it goes on at one and a half times that
    """

    scrub_s: float = 30 * 86400.0
    logs_s: float = 365 * 86400.0
    failed_logs_s: float = 90 * 86400.0
    orphans_s: float = 86400.0
    removed_s: float = 30 * 86400.0
    downloads_s: float = 180 * 86400.0
    free_bytes: int = 2 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmsSection:
    """When something is wrong enough to tell a person, and how: always in the log, on the dashboard, and to webhooks.

    nothing_built_s: builds are queued, but none ended for so long; serial_still_s: the upstream had no news for so long
    node_silent_s: an active node was not heard for so long; queue_grows_s: the queue only grew for so long
    mail_to, mail_from, mail_server: addresses, and ``HOST:PORT`` of an SMTP server
    """

    nothing_built_s: float = 6 * 3600.0
    serial_still_s: float = 3 * 3600.0
    node_silent_s: float = 600.0
    queue_grows_s: float = 2 * 86400.0
    mail_to: str = ""
    mail_from: str = ""
    mail_server: str = "localhost:25"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhooksSection:
    """private_addresses: whether webhooks may lead to this machine, and into private networks."""

    private_addresses: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSection:
    """url: SQLAlchemy's; empty means SQLite in the farm's home."""

    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSection:
    """url: ``redis://``, ``rediss://`` or ``redis+socket://``; empty means the embedded server in the farm's home.

    ca, certificate, key: as in ``schema.redis_url.Tls``
    admin_url_file: holds the URL of a user who may set other users; None: that of *url* may
    """

    url: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    admin_url_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSection:
    """The front-end.

    public_url: how people reach the farm, where that differs from host and port
    merged: whether it lists the upstream's files beside the farm's in a view of their own
    downloads: whether it counts them
    public_pages: whether anybody may read the pages; else all but the index need a login
    logins: whether people can log in here and give orders; without, nothing but downloads and demand is ever written to
    the database
    metrics: who may read the figures for Prometheus
    """

    host: str = "127.0.0.1"
    port: int = 8181
    public_url: str = ""
    merged: bool = True
    downloads: bool = True
    public_pages: bool = True
    logins: bool = True
    metrics: MetricsReaders = MetricsReaders.TOKEN


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
    workspace: Path = field(default_factory=lambda: cache() / "work")
    build_uid: int = 64550
    resolve_s: float = 3600.0
    wheels_bytes: int = 2 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class HealSection:
    """What a node tries by itself when a build fails; what people know (recipes) is tried in any case.

    tries: at one build in one attempt, the first one included; 1: no build is tried again
    debian: whether packages may be added that ship what was missing, or that Debian builds the project with
    debian_bytes: what such packages, and all that they need, may be to download for one build
    older_requirements: whether build requirements may be held back, or one be added that the project forgot to list
    """

    tries: int = 8
    debian: bool = True
    debian_bytes: int = 2**30
    older_requirements: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSection:
    """Which libraries are grafted into wheels where no recipe says so: patterns of platforms, such as ``debian12-*``.

    never, when_missing: as in ``schema.states.Bundle``; the first that fits counts, and what fits neither is ``always``
    """

    never: tuple[str, ...] = ()
    when_missing: tuple[str, ...] = ()

    def on(self, platform: Platform) -> Bundle | None:
        """What is set for that platform; None where nothing is."""
        for patterns, bundle in ((self.never, Bundle.NEVER), (self.when_missing, Bundle.WHEN_MISSING)):
            if names.fits_one(str(platform), patterns):
                return bundle
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesSection:
    """folder: one folder an image; outside any checkout, so that several farms share them.

    emulation: how those are made whose architecture this machine does not run by itself
    """

    folder: Path = field(default_factory=lambda: cache() / "images")
    emulation: Emulation = Emulation.HYBRID


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
