from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName
from sqlalchemy import Engine, select

from builder import outbox as node_outbox
from master import builds, hear, steer
from master.collect import Collector
from master.dispatch import Dispatcher
from master.enrol import enrol
from master.keep.scrub import Shelf, scrub
from master.outboxes import Reach
from master.store import Store
from master.which import Which
from schema import outbox
from schema.attest import statement
from schema.attest.authority import Authority, NodeKey
from schema.db.models import Attempt, Build, DirtyPage, Node, Project, Request, RuleCount, Wheel, WheelAnatomy
from schema.db.session import transaction
from schema.errors import StoreError, TransferError
from schema.jobs import BuildJob, BuildResult, Lease, Limits, Material, Outcome, Sdist, Step, Usage, WheelFile
from schema.names import NodeName, Sha256, sha256_of
from schema.platforms import Platform
from schema.portability import Fate, Verdict
from schema.remedies import Remedy, Rung, Try
from schema.states import BuildState, FailureClass
from tests import hooks, rows
from tests.schema.wheels.forge import canonical, members, write

N1 = NodeName("n1")
PLATFORM = Platform.parse(rows.PLATFORM)
SDIST = Sha256("0" * 64)


class Shed:
    """A master's collector, one enrolled node with its key and outbox, and a build leased to it."""

    def __init__(self, folder: Path, database: Engine) -> None:
        self.folder, self.database = folder, database
        self.authority = Authority.create(folder / "authority")
        self.outbox = folder / "outbox"
        self.key = NodeKey.create(folder / "keys", N1)
        self.key.install(self._enrol(N1, self.key))
        with transaction(database) as session:
            session.get_one(Node, "n1").platforms = [rows.PLATFORM]
            self.project_id = rows.project(session).id
        self.collector = Collector(
            database=database,
            store=Store(folder / "store"),
            logs=folder / "logs",
            authority=self.authority,
            farm="test",
            limits=Limits(wheel_bytes=2**20, log_bytes=2**16),
            reach=Reach(identity=folder / "ssh"),
        )

    def _enrol(self, name: NodeName, key: NodeKey) -> str:
        return enrol(
            self.database,
            self.authority,
            node=name,
            csr_pem=key.csr_pem(),
            platforms=[PLATFORM],
            outbox=self.outbox,
        )

    def leased(self, *, build_number: int = 0) -> Lease:
        with transaction(self.database) as session:
            values: dict[str, Any] = {"build_number": build_number}
            known = session.scalars(select(Build.sdist_id)).first()
            if known is None:
                project = session.get_one(Project, self.project_id)
                build = rows.build(session, project, **values)
            else:
                first = session.scalars(select(Build)).first()
                assert first is not None
                build = Build(
                    project_id=first.project_id,
                    version=first.version,
                    platform=first.platform,
                    sdist_id=known,
                    policy="always",
                    state=BuildState.QUEUED,
                    created_at=first.created_at,
                    changed_at=first.changed_at,
                    **values,
                )
                builds.insert(session, build)
            lease = rows.lease(session, build, node=N1, lease_s=90)
            assert lease is not None
            return lease

    def leave(
        self,
        lease: Lease,
        wheel: Path,
        *,
        key: NodeKey | None = None,
        result: Callable[[BuildResult], BuildResult] = lambda same: same,
        **said: Any,
    ) -> None:
        """Put a result into the outbox as the node does; *said* and *result* change what it says of itself."""
        file = WheelFile(filename=wheel.name, sha256=sha256_of(wheel), size_bytes=wheel.stat().st_size)
        log = self.folder / "build.log"
        log.write_text("gcc -c demo.c\n")
        now = datetime.now(UTC)
        job = BuildJob(
            build_id=said.pop("build_id", lease.build_id),
            fence=lease.fence,
            project=NormalizedName("demo"),
            version="1.0",
            platform=said.pop("platform", rows.PLATFORM),
            sdist=Sdist(filename="demo-1.0.tar.gz", url="https://x.example/demo", sha256=said.pop("sdist", SDIST)),
        )
        materials = (Material(kind="sdist", name="demo-1.0.tar.gz", version="1.0", sha256=job.sdist.sha256),)
        signed = (key or self.key).sign(
            statement.provenance(
                job=job,
                farm="test",
                node=said.pop("node", N1),
                wheel=said.pop("signed", file),
                started_at=now,
                finished_at=now,
                materials=materials,
                environment={},
                log_sha256=sha256_of(log),
                isolation="none",
            )
        )
        built = BuildResult(
            node=N1,
            lease=lease,
            outcome=Outcome.BUILT,
            started_at=now,
            finished_at=now,
            steps=(Step(name="build", started_at=now, seconds=1.0),),
            log_sha256=sha256_of(log),
            wheel=file,
            materials=materials,
        )
        node_outbox.leave(self.outbox, result(built), log=log, wheel=wheel, attestation=signed)

    def build(self, lease: Lease) -> Build:
        with transaction(self.database) as session:
            return session.get_one(Build, lease.build_id)

    def node(self) -> Node:
        with transaction(self.database) as session:
            return session.get_one(Node, "n1")

    def wheels(self) -> list[Wheel]:
        with transaction(self.database) as session:
            return list(session.scalars(select(Wheel).order_by(Wheel.published_at)))


@pytest.fixture
def shed(tmp_path: Path, database: Engine) -> Shed:
    return Shed(tmp_path, database)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return canonical(tmp_path / "built", members())


def _rots(shed: Shed) -> None:
    """The stored wheel rots, and the scrub finds it."""
    [wheel] = shed.wheels()
    stored = shed.collector.store.path(Sha256(wheel.sha256))
    stored.chmod(0o644)
    stored.write_bytes(b"rotten")
    scrub(Shelf(database=shed.database, store=shed.collector.store, site=shed.folder / "site"))


def _leased_again(shed: Shed, build_id: int) -> Lease:
    with transaction(shed.database) as session:
        lease = rows.lease(session, session.get_one(Build, build_id), node=N1, lease_s=90)
        assert lease is not None
        return lease


def test_a_damaged_wheel_whose_build_gives_the_same_bytes_again_comes_back_under_its_name(
    shed: Shed, wheel: Path
) -> None:
    first = shed.leased()
    shed.leave(first, wheel)
    shed.collector.collect(N1, first)
    provenance = shed.wheels()[0].provenance_sha256
    _rots(shed)
    second = _leased_again(shed, first.build_id)
    shed.leave(second, wheel)

    shed.collector.collect(N1, second)

    [healed] = shed.wheels()
    assert (healed.filename, healed.removed_at, healed.removed_because) == (wheel.name, None, "")
    assert sha256_of(shed.collector.store.path(Sha256(healed.sha256))) == healed.sha256 == sha256_of(wheel)
    assert healed.provenance_sha256 != provenance
    assert shed.build(second).state == BuildState.PUBLISHED


def test_webhooks_are_told_of_a_wheel_when_it_is_published_when_it_is_damaged_and_when_it_is_back(
    shed: Shed, wheel: Path
) -> None:
    with transaction(shed.database) as session:
        hooks.hook(session)
    first = shed.leased()
    shed.leave(first, wheel)
    shed.collector.collect(N1, first)
    shed.collector.collect(N1, first)  # it was told twice
    _rots(shed)
    second = _leased_again(shed, first.build_id)
    shed.leave(second, wheel)
    shed.collector.collect(N1, second)

    with transaction(shed.database) as session:
        told = hooks.told(session)
    assert [event for event, _ in told] == ["wheel.published", "wheel.withdrawn", "wheel.published"]
    assert {(data["filename"], data["sha256"], data["build"]) for _, data in told} == {
        (wheel.name, sha256_of(wheel), first.build_id)
    }
    assert "damaged" in told[1][1]["reason"]
    assert told[0][1]["size_bytes"] == wheel.stat().st_size


def test_a_damaged_wheel_whose_build_gives_other_bytes_leaves_its_name_taken(
    shed: Shed, wheel: Path, tmp_path: Path
) -> None:
    first = shed.leased()
    shed.leave(first, wheel)
    shed.collector.collect(N1, first)
    _rots(shed)
    second = _leased_again(shed, first.build_id)
    shed.leave(second, canonical(tmp_path / "other", {**members(), "demo/new.py": b"NEW = 1\n"}))

    shed.collector.collect(N1, second)

    [tombstone] = shed.wheels()
    assert tombstone.removed_at is not None
    build = shed.build(second)
    assert (build.state, build.build_number) == (BuildState.QUEUED, 1)


def test_a_sound_result_is_published_once_with_both_signatures(shed: Shed, wheel: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, wheel)

    shed.collector.collect(N1, lease)
    shed.collector.collect(N1, lease)

    [published] = shed.wheels()
    assert (published.filename, published.sha256) == (wheel.name, sha256_of(wheel))
    assert shed.build(lease).state == BuildState.PUBLISHED
    provenance = json.loads(shed.collector.store.path(Sha256(published.provenance_sha256)).read_text())
    assert len(provenance["attestation_bundles"][0]["attestations"]) == 2
    assert (shed.folder / "logs" / str(lease.build_id) / "1.log").read_text() == "gcc -c demo.c\n"
    with transaction(shed.database) as session:
        attempt = session.scalars(select(Attempt)).one()
        assert (attempt.outcome, attempt.steps[0]["name"]) == ("built", "build")
        assert session.get(DirtyPage, published.project_id) is not None
        kept = session.get(WheelAnatomy, published.filename)
        assert kept is not None
        assert (kept.found["sha256"], kept.found["members"]) == (published.sha256, 4)


def test_what_a_build_took_is_kept_for_the_next_of_its_project(shed: Shed, wheel: Path) -> None:
    lease = shed.leased()
    took = {"wall_s": 600.0, "peak_memory_bytes": 2.0 * 2**30, "disk_bytes": 2.0**20}
    course = (Usage(at_s=1.0, cpu_s=0.5, memory_bytes=2**30), Usage(at_s=600.0, cpu_s=90.0, memory_bytes=2**31))
    shed.leave(lease, wheel, result=lambda built: replace(built, resources=took, usage=course))

    shed.collector.collect(N1, lease)

    assert (shed.build(lease).size, shed.build(lease).expected_s) == (2, 600.0)
    with transaction(shed.database) as session:
        assert session.scalars(select(Attempt.usage)).one() == [point.to_json() for point in course]


@pytest.mark.parametrize("built", [True, False])
def test_what_came_of_the_rules_of_an_attempt_is_counted(shed: Shed, wheel: Path, *, built: bool) -> None:
    lease = shed.leased()
    with transaction(shed.database) as session:
        builds.attempt_of(session, lease).rules = ["demo/one"]

    def ended(result: BuildResult) -> BuildResult:
        if built:
            return result
        return replace(result, outcome=Outcome.FAILED, wheel=None, failure_class=FailureClass.BUILD)

    shed.leave(lease, wheel, result=ended)

    shed.collector.collect(N1, lease)
    shed.collector.collect(N1, lease)

    with transaction(shed.database) as session:
        counted = session.scalars(select(RuleCount)).one()
        assert (counted.id, counted.uses, counted.successes) == ("demo/one", 1, int(built))


LIBRARY = Remedy(rung=Rung.DEBIAN, why="lber.h is missing", debian_packages=("libldap-dev",))
BARE = Try(seconds=1.0, failure_class=FailureClass.HEADER, evidence="fatal error: lber.h: No such file", line=7)


def test_what_was_tried_is_kept_with_the_attempt_and_what_worked_goes_with_the_next_job(
    shed: Shed, wheel: Path
) -> None:
    lease = shed.leased()
    tries = (BARE, Try(seconds=2.0, added=(LIBRARY,), helped=True))
    shed.leave(lease, wheel, result=lambda built: replace(built, tries=tries, remedies=(LIBRARY,)))

    shed.collector.collect(N1, lease)

    with transaction(shed.database) as session:
        kept = builds.attempt_of(session, lease).tries
        assert tuple(map(Try.from_json, kept)) == tries
        again = rows.build(session, session.get_one(Project, shed.project_id), version="1.1")
        dispatcher = Dispatcher(recipe_folders=(), limits=Limits(), lease_s=90, silent_after_s=1e9)
        node = session.get_one(Node, "n1")
        node.slots, node.heard_at = 1, again.created_at
        [(_, job)] = dispatcher.dispatch(session)
        assert (job.build_id, job.known) == (again.id, (LIBRARY,))


def test_what_a_node_says_of_a_failure_fits_into_the_database_whatever_it_is(shed: Shed, wheel: Path) -> None:
    build = fails(shed, wheel, FailureClass.HEADER, INSTEAD, message="a\0b", evidence="c\0d", line=2**31 - 1)

    assert build.reason == "header: c\u2400d"
    with transaction(shed.database) as session:
        assert session.scalars(select(Attempt.message)).one() == "a\u2400b"


def test_packages_that_a_wheel_needs_where_it_is_used_are_kept_with_it(shed: Shed, wheel: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, wheel, result=lambda built: replace(built, runtime_packages=("libxrender1",)))

    shed.collector.collect(N1, lease)

    with transaction(shed.database) as session:
        assert session.scalars(select(Wheel.runtime_packages)).one() == ["libxrender1"]


def test_how_a_wheel_fared_elsewhere_is_kept_with_it(shed: Shed, wheel: Path) -> None:
    lease = shed.leased()
    verdict = Verdict(image="debian13-x86_64", fate=Fate.BROKEN, why="ImportError: a\0b")
    shed.leave(lease, wheel, result=lambda built: replace(built, portability=(verdict,)))

    shed.collector.collect(N1, lease)

    with transaction(shed.database) as session:
        assert session.scalars(select(Wheel.portability)).one() == [
            {"image": "debian13-x86_64", "fate": "broken", "why": "ImportError: a\u2400b"}
        ]


INSTEAD = """
[[rule]]
id = "older"
why = "0.9 has no such test"
after = ["tests"]
log = "gcc -c demo.c"
build_instead = "0.9"
"""


def fails(shed: Shed, wheel: Path, failure_class: FailureClass, recipe: str, **said: Any) -> Build:
    """A build that ended so, of a farm with that recipe."""
    (shed.folder / "demo.toml").write_text(recipe)
    shed.collector = replace(shed.collector, recipe_folders=(shed.folder,))
    lease = shed.leased()

    def ended(result: BuildResult) -> BuildResult:
        return replace(
            result,
            outcome=Outcome.FAILED,
            wheel=None,
            failure_class=failure_class,
            **{"message": "FAIL: pwhash", **said},
        )

    shed.leave(lease, wheel, result=ended)
    shed.collector.collect(N1, lease)
    return shed.build(lease)


def asked_for(shed: Shed) -> list[tuple[str, str, str]]:
    with transaction(shed.database) as session:
        return [(item.specifier, item.platform, item.because) for item in session.scalars(select(Request))]


def test_after_a_failure_that_a_rule_is_for_another_version_is_asked_for_and_the_build_says_so(
    shed: Shed, wheel: Path
) -> None:
    build = fails(shed, wheel, FailureClass.TESTS, INSTEAD)

    assert build.state == BuildState.FAILED
    assert build.reason == (
        "built instead: 0.9, for 0.9 has no such test (demo/older); it failed with tests: FAIL: pwhash"
    )
    assert asked_for(shed) == [
        ("==0.9", rows.PLATFORM, "instead of demo 1.0, which failed: rule demo/older"),
    ]


@pytest.mark.parametrize(
    ("failure_class", "recipe"),
    [
        (FailureClass.HEADER, INSTEAD),
        (FailureClass.TESTS, INSTEAD.replace("gcc -c demo.c", "something else")),
        (FailureClass.TESTS, INSTEAD.replace("why", 'versions = "<1.0"\nwhy')),
        (FailureClass.TESTS, INSTEAD.replace("why", 'expires = "2020-01-01"\nwhy')),
        (FailureClass.TESTS, "this is no recipe"),
        (FailureClass.NODE, INSTEAD.replace('"tests"', '"node"')),  # it is tried again elsewhere
    ],
)
def test_otherwise_no_other_version_is_built(shed: Shed, wheel: Path, failure_class: FailureClass, recipe: str) -> None:
    build = fails(shed, wheel, failure_class, recipe)

    assert "instead" not in build.reason
    assert asked_for(shed) == []


def test_a_result_of_a_lease_that_is_gone_changes_nothing(shed: Shed, wheel: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, wheel)
    with transaction(shed.database) as session:
        builds.give_back(session, session.get_one(Build, lease.build_id), why="silent")

    shed.collector.collect(N1, lease)

    assert shed.wheels() == []
    assert shed.build(lease).state == BuildState.QUEUED


def test_a_failure_is_recorded_with_its_class_and_its_log(shed: Shed, wheel: Path) -> None:
    lease = shed.leased()
    shed.leave(
        lease,
        wheel,
        result=lambda built: replace(
            built,
            outcome=Outcome.FAILED,
            wheel=None,
            failure_class=FailureClass.BACKEND,
            message="there is no backend nowhere.at.all",
            evidence="ModuleNotFoundError: nowhere",
        ),
    )

    shed.collector.collect(N1, lease)

    build = shed.build(lease)
    assert (build.state, build.reason) == (BuildState.FAILED, "backend: ModuleNotFoundError: nowhere")
    with transaction(shed.database) as session:
        assert session.scalars(select(Attempt.evidence)).one() == "ModuleNotFoundError: nowhere"
    assert shed.node().state == "active"


def test_a_node_that_cannot_work_gives_the_build_back(shed: Shed, wheel: Path) -> None:
    lease = shed.leased()
    shed.leave(
        lease, wheel, result=lambda built: replace(built, outcome=Outcome.NODE, wheel=None, message="no space left")
    )

    shed.collector.collect(N1, lease)

    build = shed.build(lease)
    assert (build.state, build.reason) == (BuildState.WAITING, "again after node: no space left")
    assert shed.node().state == "active"


def _other_bytes(shed: Shed, lease: Lease, wheel: Path) -> None:
    shed.leave(lease, wheel)
    other = canonical(shed.folder / "other", members() | {"demo/evil.py": b"import os\n"})
    shutil.copyfile(other, outbox.entry(shed.outbox, lease) / wheel.name)


def _other_bytes_with_a_true_digest(shed: Shed, lease: Lease, wheel: Path) -> None:
    other = canonical(shed.folder / "other", members() | {"demo/evil.py": b"import os\n"})
    signed = WheelFile(filename=wheel.name, sha256=sha256_of(wheel), size_bytes=wheel.stat().st_size)
    shed.leave(lease, other, signed=signed)


def _a_stranger(shed: Shed, lease: Lease, wheel: Path) -> None:
    stranger = Authority.create(shed.folder / "elsewhere")
    key = NodeKey.create(shed.folder / "stolen", N1)
    key.install(stranger.certify(key.csr_pem(), node=N1, platforms=[rows.PLATFORM]))
    shed.leave(lease, wheel, key=key)


def _another_node(shed: Shed, lease: Lease, wheel: Path) -> None:
    other = NodeName("n2")
    key = NodeKey.create(shed.folder / "keys2", other)
    key.install(shed.authority.certify(key.csr_pem(), node=other, platforms=[rows.PLATFORM]))
    shed.leave(lease, wheel, key=key, node=other)


def _another_sdist(shed: Shed, lease: Lease, wheel: Path) -> None:
    shed.leave(lease, wheel, sdist=Sha256("f" * 64))


def _another_build(shed: Shed, lease: Lease, wheel: Path) -> None:
    shed.leave(lease, wheel, build_id=lease.build_id + 1)


def _another_platform(shed: Shed, lease: Lease, wheel: Path) -> None:
    shed.leave(lease, wheel, platform="debian12-aarch64-cp311")


def _another_project(shed: Shed, lease: Lease, _wheel: Path) -> None:
    files = {name.replace("demo-1.0", "requests-9.9"): data for name, data in members().items()}
    metadata = b"Metadata-Version: 2.1\nName: requests\nVersion: 9.9\n"
    files["requests-9.9.dist-info/METADATA"] = metadata
    name = "requests-9.9-py3-none-any.whl"
    shed.leave(lease, write(shed.folder / "lie", files, filename=name, info="requests-9.9.dist-info"))


def _not_canonical(shed: Shed, lease: Lease, wheel: Path) -> None:
    shed.leave(lease, write(shed.folder / "raw", members(), filename=wheel.name))


def _not_a_wheel(shed: Shed, lease: Lease, wheel: Path) -> None:
    wheel.write_bytes(b"PK\5\6 this is no archive")
    shed.leave(lease, wheel)


def _a_link(shed: Shed, lease: Lease, wheel: Path) -> None:
    shed.leave(lease, wheel)
    left = outbox.entry(shed.outbox, lease) / wheel.name
    left.unlink()
    left.symlink_to(wheel)


def _a_pipe(shed: Shed, lease: Lease, wheel: Path) -> None:
    shed.leave(lease, wheel)
    left = outbox.entry(shed.outbox, lease) / outbox.RESULT
    left.unlink()
    os.mkfifo(left)


def _too_big(shed: Shed, lease: Lease, wheel: Path) -> None:
    shed.leave(lease, wheel)
    with (outbox.entry(shed.outbox, lease) / wheel.name).open("ab") as file:
        file.truncate(2**21)


def _no_log(shed: Shed, lease: Lease, wheel: Path) -> None:
    shed.leave(lease, wheel)
    (outbox.entry(shed.outbox, lease) / outbox.LOG).unlink()


def _nonsense(shed: Shed, lease: Lease, wheel: Path) -> None:
    shed.leave(lease, wheel)
    (outbox.entry(shed.outbox, lease) / outbox.RESULT).write_text("[" * 100_000)


def _someone_elses_result(shed: Shed, lease: Lease, wheel: Path) -> None:
    shed.leave(lease, wheel, result=lambda built: replace(built, node=NodeName("n2")))


def _other_log(shed: Shed, lease: Lease, wheel: Path) -> None:
    shed.leave(lease, wheel)
    (outbox.entry(shed.outbox, lease) / outbox.LOG).write_text("nothing to see\n")


def _no_signature(shed: Shed, lease: Lease, wheel: Path) -> None:
    shed.leave(lease, wheel)
    (outbox.entry(shed.outbox, lease) / outbox.ATTESTATION).write_text("{}")


# What may have been damaged on the way is fetched again; what a valid signature covers, or no transfer can do, is not.
_MAY_BE_DAMAGE = [
    _other_bytes, _other_bytes_with_a_true_digest, _a_stranger, _nonsense, _someone_elses_result,
    _other_log, _no_signature,
]  # fmt: skip
_LIES = [
    _another_node, _another_sdist, _another_build, _another_platform, _another_project, _not_canonical, _not_a_wheel,
    _a_link, _a_pipe, _too_big, _no_log,
]  # fmt: skip


@pytest.mark.parametrize("damage", _MAY_BE_DAMAGE)
def test_bytes_that_are_not_the_promised_ones_are_fetched_three_times_more_before_the_node_is_set_aside(
    damage: Callable[[Shed, Lease, Path], None], shed: Shed, wheel: Path
) -> None:
    lease = shed.leased()
    damage(shed, lease, wheel)

    for _ in range(3):
        with pytest.raises(TransferError):
            shed.collector.collect(N1, lease)
        assert (shed.build(lease).state, shed.node().state) == (BuildState.COLLECTING, "active")
    shed.collector.collect(N1, lease)

    assert shed.wheels() == []
    assert shed.build(lease).state == BuildState.WAITING
    assert shed.node().state == "quarantined"


@pytest.mark.parametrize("damage", [_other_bytes, _nonsense, _other_log, _no_signature])
def test_a_damaged_transfer_harms_nobody_once_the_bytes_come_over(
    damage: Callable[[Shed, Lease, Path], None], shed: Shed, wheel: Path
) -> None:
    lease = shed.leased()
    damage(shed, lease, wheel)
    with pytest.raises(TransferError):
        shed.collector.collect(N1, lease)
    shed.leave(lease, wheel)

    shed.collector.collect(N1, lease)

    assert [found.sha256 for found in shed.wheels()] == [sha256_of(wheel)]
    assert (shed.node().state, shed.collector.damaged) == ("active", {})
    assert (shed.folder / "logs" / str(lease.build_id) / "1.log").read_text() == "gcc -c demo.c\n"


def _cancelled(shed: Shed, lease: Lease) -> None:
    with transaction(shed.database) as session:
        steer.cancel(session, Which(one=lease.build_id), who="ada@farm", reason="wrong sdist")


def test_the_late_result_of_a_cancelled_build_is_not_published(shed: Shed, wheel: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, wheel)
    _cancelled(shed, lease)

    shed.collector.collect(N1, lease)

    assert shed.wheels() == []
    build = shed.build(lease)
    assert (build.state, build.reason) == (BuildState.HELD, "cancelled by ada@farm: wrong sdist")
    with transaction(shed.database) as session:
        heard = hear.heartbeat(session, rows.heartbeat(finished=(lease,)), lease_s=90, lost_message_s=20)
    assert heard.forget == (lease,)


class _SlowStore(Store):
    """A store that takes its time: meanwhile a person cancels the build."""

    def __init__(self, folder: Path, meanwhile: Callable[[], None]) -> None:
        super().__init__(folder)
        self._meanwhile = meanwhile

    def put(self, source: Path, *, expected: Sha256 | None = None) -> Sha256:
        self._meanwhile()
        return super().put(source, expected=expected)


def test_a_build_that_is_cancelled_while_its_wheel_is_stored_is_not_published(shed: Shed, wheel: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, wheel)
    store = _SlowStore(shed.folder / "store", lambda: _cancelled(shed, lease))

    replace(shed.collector, store=store).collect(N1, lease)

    assert shed.wheels() == []
    assert shed.build(lease).state == BuildState.HELD
    with transaction(shed.database) as session:
        assert session.scalars(select(Attempt.outcome)).one() == "cancelled"


@pytest.mark.parametrize("lie", _LIES)
def test_a_node_that_lies_is_set_aside_and_publishes_nothing(
    lie: Callable[[Shed, Lease, Path], None], shed: Shed, wheel: Path
) -> None:
    lease = shed.leased()
    lie(shed, lease, wheel)

    shed.collector.collect(N1, lease)

    assert shed.wheels() == []
    build = shed.build(lease)
    assert build.state == BuildState.WAITING
    assert "refused" in build.reason
    node = shed.node()
    assert node.state == "quarantined"
    assert f"build {lease.build_id}" in node.state_reason


def test_a_result_that_is_gone_is_built_again_and_nobody_lied(shed: Shed, wheel: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, wheel)
    shutil.rmtree(outbox.entry(shed.outbox, lease))

    shed.collector.collect(N1, lease)

    assert shed.build(lease).reason == "again: its result is gone from the outbox of node n1"
    assert shed.node().state == "active"


def test_a_rebuild_that_gives_the_same_bytes_publishes_nothing_and_says_so(shed: Shed, wheel: Path) -> None:
    first = shed.leased()
    shed.leave(first, wheel)
    shed.collector.collect(N1, first)
    second = shed.leased(build_number=1)
    shed.leave(second, canonical(shed.folder / "again", members(), build_number=1))

    shed.collector.collect(N1, second)

    [published] = shed.wheels()
    assert (published.repeated, shed.build(second).state) == (True, BuildState.UNNEEDED)
    assert "gives the very bytes" in shed.build(second).reason


def test_a_rebuild_that_gives_other_bytes_is_published_beside_the_first_and_names_what_differs(
    shed: Shed, wheel: Path
) -> None:
    first = shed.leased()
    shed.leave(first, wheel)
    shed.collector.collect(N1, first)
    second = shed.leased(build_number=1)
    changed = members() | {"demo/stamp.py": b"now = 1\n"}
    shed.leave(second, canonical(shed.folder / "again", changed, build_number=1))

    shed.collector.collect(N1, second)

    earlier, later = shed.wheels()
    assert later.filename == "demo-1.0-1-py3-none-any.whl"
    assert (earlier.repeated, earlier.repeated_note) == (
        False,
        f"build {second.build_id} gave other bytes in demo/stamp.py",
    )


def test_a_name_that_is_taken_by_other_bytes_is_built_again_under_the_next_number(shed: Shed, wheel: Path) -> None:
    first = shed.leased()
    shed.leave(first, wheel)
    shed.collector.collect(N1, first)
    with transaction(shed.database) as session:
        row = session.scalars(select(Wheel)).one()
        row.sha256 = "e" * 64
        session.get_one(Build, first.build_id).build_number = 5
    second = shed.leased()
    shed.leave(second, wheel)

    shed.collector.collect(N1, second)

    build = shed.build(second)
    assert (build.state, build.build_number) == (BuildState.QUEUED, 6)
    assert "is taken by other bytes" in build.reason


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_full_store_keeps_the_result_with_the_node_and_takes_it_later(shed: Shed, wheel: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, wheel)
    small = shed.folder / "store"
    small.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
    try:
        (small / "ballast").write_bytes(b"x" * 60_000)

        with pytest.raises(StoreError):
            shed.collector.collect(N1, lease)

        assert shed.wheels() == []
        assert (shed.build(lease).state, shed.node().state) == (BuildState.COLLECTING, "active")
        (small / "ballast").unlink()
        shed.collector.collect(N1, lease)
        assert len(shed.wheels()) == 1
    finally:
        subprocess.run(["umount", small], check=True)
