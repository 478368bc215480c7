"""Projects whose every text is an attack, for the pages that show them (T25, T26)."""

from __future__ import annotations

from sqlalchemy.orm import Session

from master import failures
from schema.db.models import Build, Mark, WheelAnatomy
from schema.settings import Settings
from schema.wheels.anatomy import FORMAT
from tests import entries
from tests.entries import ago, later

PAYLOADS = {
    "script": "<script>window.pwned=1</script>",
    "image": "\"><img src=x onerror='window.pwned=1'>",
    "attribute": "' onmouseover='window.pwned=1' autofocus onfocus='window.pwned=1' x='",
    "address": "javascript:window.pwned=1",
    "data": "data:text/html,<script>window.pwned=1</script>",
    "closing": "</pre></textarea></title></style></script></noscript><svg onload=window.pwned=1>",
    "comment": "--><iframe srcdoc='<script>parent.pwned=1</script>'></iframe><!--",
    "template": "{{ 7 * 191 }}{% raw %}${7*191}#{7*191}",
    "code": "`<b onclick=window.pwned=1>`</code><script>window.pwned=1</script>",
    "terminal": "\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x07link\x1b]8;;\x07 \x9b2J \x08\x08\x7f",
    "direction": "\u202egpj.exe\u202c \u2066evil\u2069 \u200b\u200f\ufeff\u2028 \U000e0041",
    "long": "A" * 3000,
}


def project(session: Session, settings: Settings, key: str) -> dict[str, int]:
    """Add the project ``hostile-KEY`` with builds in every state of interest; give the numbers of three of them."""
    text = PAYLOADS[key]
    short = text[:200]
    added = entries.project(
        session, f"hostile-{key}", title=short, status="archived", status_reason=text, errors=2, error=text
    )
    sdist = entries.sdist(session, added, "1.0", url=text, filename=short, yanked=text, sha256=None)
    entries.sdist(session, added, short[:100], url=f"https://evil.example/{text}", filename=f"2{short}")
    entries.request(session, added, specifier=short, because=text, problem=text)
    entries.node(
        session,
        f"{key}-{short}"[:255],
        platforms=[text, short],
        facts={short: text, "kernel": text},
        state="draining",
        state_reason=text,
        version=short,
    )
    entries.alarm(session, short[:200], text=text)
    if session.get(Mark, "feed") is None:
        entries.mark(session, "feed", note=text)
    entries.audit(
        session, short[:200], who=short, action=short[:30], before={short: text}, after={short: [text]}, reason=text
    )
    failed = entries.build(
        session, added, "1.0", state="failed", reason=f"build: {text}", fence=1, sdist_id=sdist.id, platform=short
    )
    _attempt(session, failed, text, outcome="failed", failure_class="build", finished_at=ago())
    failures.sort(session)
    waiting = entries.project(session, f"waiting-{key}", title=short)  # whose versions are versions, as the queue needs
    entries.build(session, waiting, "4.0", platform=short, state="queued", reason=text)
    published = entries.build(session, added, "2.0", state="published", fence=1, sdist_id=sdist.id)
    _attempt(session, published, text, outcome="built", finished_at=ago())
    entries.wheel(
        session,
        published,
        f"{key}{short}"[:200],
        tags="py3-none-any",
        requires_python=text,
        repeated=False,
        repeated_note=text,
        yanked=text,
    )
    plain = entries.wheel(session, published, f"hostile_{key}-2.0-py3-none-any.whl", published_at=ago())
    session.add(WheelAnatomy(filename=plain.filename, format=FORMAT, found=_anatomy(text)))
    plain.runtime_packages = [short]
    files = settings.site / "files"
    files.mkdir(parents=True, exist_ok=True)
    needs = (
        f"Requires-Dist: {' '.join(text.split())}\nRequires-Dist: {key}; os_name == '<script>window.pwned=1</script>'\n"
    )
    (files / f"{plain.filename}.metadata").write_bytes(needs.encode("utf-8", "surrogatepass"))
    leased = entries.build(
        session,
        added,
        short[:100],
        platform=short,
        state="leased",
        leased_to=f"{key}-{short}"[:255],
        leased_at=ago(minutes=1),
        lease_until=later(days=1),
        fence=1,
    )
    _attempt(session, leased, text)
    for state in ("held", "waiting", "withdrawn", "unneeded"):
        entries.build(session, added, f"3.0.{len(state)}", state=state, reason=text)
    for build in (failed, published, leased):
        _log(settings, build.id, text)
    return {"failed": failed.id, "published": published.id, "leased": leased.id}


def _anatomy(text: str) -> dict[str, object]:
    """As one would be if ``examine`` let everything through."""
    library = {"name": text, "versions": {text: text}}
    plain = {
        "name": text,
        "size_bytes": 1,
        "soname": text,
        "versions": {text: text},
        "rpath": [text],
        "runpath": [text],
    }
    guards = {"pie": None, "relro": text, "bind_now": False, "executable_stack": None}
    return {
        "format": FORMAT,
        "members": 1,
        "unpacked_bytes": 1,
        "portability": {
            "arch": text,
            "policy": text,
            "tags": [text],
            "beyond": [text],
            "outside": [text],
            "versions": {text: text},
        },
        "licenses": {"expression": text, "older": [text], "files": [text]},
        "grafted": [{"name": text, "size_bytes": 1, "package": text, "version": text, "licenses": [text]}],
        "packages": [{"name": text, "version": text}],
        "files": [
            {
                **plain,
                "kind": text,
                "kept": text,
                "fault": text,
                "libraries": [{**library, "place": place} for place in ("wheel", "policy", "outside", text)],
                "hardening": {**guards, "stack_protector": False, "fortified": True},
            },
            {**plain, "kind": "malformed", "kept": None, "fault": text, "libraries": [], "hardening": None},
        ],
        "files_left_out": 3,
        "others": [{"suffix": text, "files": 1, "size_bytes": 1}],
    }


def _attempt(session: Session, build: Build, text: str, **values: object) -> None:
    began = ago(seconds=30).isoformat()
    short = text[:200]
    entries.attempt(
        session,
        build,
        **{
            "node": short,
            "message": text,
            "evidence": text,
            "steps": [{"name": text, "started_at": began, "seconds": None, "note": text}, text, None, {"name": 7}],
            "materials": [{"kind": text, "name": text, "version": text, "sha256": None}, text, [text]],
            "environment": {short: text},
            "tries": [
                {"seconds": 1.0, "evidence": text[:2000], "failure_class": "build", "line": 3},
                {"seconds": 1.0, "added": [{"rung": "debian", "why": text[:1000], "debian_packages": ["a-dev"]}]},
                text,
            ],
            "resources": {short: 1.0, "wall_s": 3.0, "odd": text},
            "usage": [
                {"at_s": 2.0, "cpu_s": 1.0, "memory_bytes": 7},
                {"at_s": text, "cpu_s": [], "memory_bytes": -1},
                text,
            ],
            **values,
        },
    )


def _log(settings: Settings, build_id: int, text: str) -> None:
    file = settings.logs / str(build_id) / "1.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [text, "\r\nafter a carriage return\rover it\n", "x" * 100_000, "\n", "\udcff\udcfe\n", text]
    file.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
