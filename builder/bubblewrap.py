"""The command line of bubblewrap: what a build sees of the machine, and what it may do there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.rootfs import Root

# Inside, the build is this user, whoever it is outside.
NOBODY = 65534
# Small: what lies in them is memory. A build's /tmp is a folder of its job, so that it counts as disk.
_TMP_BYTES = 256 * 2**20
_SHM_BYTES = 64 * 2**20

_DEFAULTS = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "LC_ALL": "C.UTF-8", "TZ": "UTC"}  # noqa: S108 - inside
# What our own fetch phase needs to know of the machine's network.
_NETWORK_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl/certs/ca-certificates.crt")
# What a build sees of an image, and how the names of what else it sees begin.
_FOLDERS, _PROGRAMS = ("etc", "opt", "usr", "var"), ("bin", "lib", "sbin")
_ISOLATION = (
    "--unshare-user",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--disable-userns",
    "--assert-userns-disabled",
    "--die-with-parent",
    "--new-session",
    "--clearenv",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A file or folder of the machine that the build sees as *target*, an absolute path.

    A target below one of the image's own folders must exist in the image; others are made.
    """

    source: Path
    target: str
    writable: bool = False


def options(
    root: Path, binds: Sequence[Bind], environment: Mapping[str, str], *, cwd: str, network: bool
) -> Iterator[str]:
    """The options of bubblewrap for a build in the image at *root*, in the order in which they take effect."""
    yield from _ISOLATION
    yield from ("--uid", str(NOBODY), "--gid", str(NOBODY), "--hostname", "build", "--cap-drop", "ALL")
    if not network:
        yield "--unshare-net"
    for key, value in {**_DEFAULTS, **environment}.items():
        yield from ("--setenv", key, value)
    yield from _image(root)
    yield from _network_files(root) if network else ()
    yield from ("--proc", "/proc", "--dev", "/dev")
    yield from ("--perms", "1777", "--size", str(_SHM_BYTES), "--tmpfs", "/dev/shm", "--remount-ro", "/dev")  # noqa: S108 - inside
    if all(bind.target != "/tmp" for bind in binds):  # noqa: S108 - inside
        yield from ("--perms", "1777", "--size", str(_TMP_BYTES), "--tmpfs", "/tmp")  # noqa: S108 - inside
    for bind in binds:
        yield from ("--bind" if bind.writable else "--ro-bind", str(bind.source), bind.target)
    # The root itself is memory that nobody counts; it was writable until every target was made.
    yield from ("--remount-ro", "/", "--chdir", cwd)


def _image(root: Path) -> Iterator[str]:
    """The image's programs and settings, read-only; not its /home, /root, /srv, which targets may take the names of.

    A link stays one, whose target the build looks for inside: bubblewrap would bind what it leads to out here.
    """
    for entry in sorted(root.iterdir()):
        if entry.name not in _FOLDERS and not entry.name.startswith(_PROGRAMS):
            continue
        if entry.is_symlink():
            yield from ("--symlink", str(entry.readlink()), f"/{entry.name}")
        elif not entry.is_dir() or any(entry.iterdir()):
            yield from ("--ro-bind", str(entry), f"/{entry.name}")


def _network_files(root: Path) -> Iterator[str]:
    """Over /etc a folder of the sandbox's own with the same entries, because the image lacks some of these files."""
    yield from ("--tmpfs", "/etc")
    for entry in sorted((root / "etc").iterdir()):
        if f"/etc/{entry.name}" in _NETWORK_FILES and Path("/etc", entry.name).exists():
            continue
        if entry.is_symlink():
            yield from ("--symlink", str(entry.readlink()), f"/etc/{entry.name}")
        else:
            yield from ("--ro-bind", str(entry), f"/etc/{entry.name}")
    for name in _NETWORK_FILES:
        if Path(name).exists() and (Path(name).parent == Path("/etc") or _holds(root, name.lstrip("/"))):
            yield from ("--ro-bind", str(Path(name).resolve()), name)
    yield from ("--remount-ro", "/etc")


def _holds(root: Path, name: str) -> bool:
    """Whether the file is there, and no link on the way: bubblewrap would follow it out of the image."""
    with Root(root) as opened:
        return opened.holds(name, links=False)
