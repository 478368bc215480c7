"""Whatever the pages show and do is at the API, too: by address, and, of a filled farm, by content."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from schema.db.models import Attempt, Demand, FailureCluster, Leadership, Order, Repeat
from schema.db.session import now, transaction
from schema.people import Role, Scope
from schema.repeats import Repeated
from schema.sections import FarmSection, RedisSection, UpstreamSection
from schema.settings import Settings
from tests import entries, hooks
from tests.web import seed
from tests.web.people_kit import Program
from web.api.endpoints import ENDPOINTS
from web.app import create_app

Programs = Callable[..., Program]

# Page → the operations that tell and do the same.
BESIDE: Final = {
    "pages.home": ("status", "days", "builds", "failures", "alarms", "nodes", "wheels", "views"),
    "pages.install": ("views",),
    "pages.search": ("projects",),
    "pages.project": ("project", "downloads", "wheels"),
    "pages.portability": ("wheels",),
    "pages.builds": ("builds",),
    "pages.build": ("build", "materials", "log", "wheels", "audit"),
    "pages.progress": ("build", "log"),
    "pages.log": ("log",),
    "pages.queue": ("queue",),
    "pages.platforms": ("platforms",),
    "pages.failures": ("failures",),
    "pages.failure": ("failure",),
    "pages.nodes": ("nodes",),
    "pages.farm": ("farm", "alarms", "status", "audit"),
    "pages.audit": ("audit",),
    "pages.recipes": ("recipes",),
    "pages.settings": ("settings", "webhooks"),
    "pages.wheel": ("wheel",),
    "pages.wheel_anatomy": ("wheel",),
    "pages_orders.orders": ("orders",),
    "pages_orders.order": ("order",),
    "pages_orders.ask": ("order_hold", "order_request", "order_priority", "order_try_recipe"),
    "webhooks.add": ("add_webhook",),
    "webhooks.test": ("test_webhook",),
    "webhooks.enable": ("enable_webhook",),
    "webhooks.remove": ("remove_webhook",),
}
# Pictures, streams of fragments of pages, what monitors ask, and what only a person at a browser may do.
APART: Final = {
    "pages.badge", "pages.badge_of", "pages.events", "pages.build_events", "pages.health", "pages.figures", "static",
}  # fmt: skip
OF_A_PERSON: Final = ("people.", "account.")


def test_each_page_and_each_form_has_operations_of_the_api_beside_it(app: Flask) -> None:
    found = {rule.endpoint for rule in app.url_map.iter_rules() if not rule.build_only}
    pages = {name for name in found if not name.startswith(("api.", *OF_A_PERSON))}
    known = {item.name for item in ENDPOINTS}

    assert pages - APART == set(BESIDE)
    assert {name for names in BESIDE.values() for name in names} <= known


def told(program: Program, path: str) -> Any:
    answer = program.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_what_went_into_a_build_is_told(farm: dict[str, int], anybody: Program, database: Engine) -> None:
    with transaction(database) as session:
        attempt = session.scalars(select(Attempt).where(Attempt.build_id == farm["published"])).one()
        attempt.rules = ["cffi/needs"]
        attempt.materials = [*seed.MATERIALS, {"kind": "tool"}, "no material"]

    found = told(anybody, f"/builds/{farm['published']}/materials")

    assert (found["attempt"], found["policy"]) == (1, "always")
    assert (found["source"]["filename"], found["source"]["size_bytes"]) == ("cffi-1.17.1.tar.gz", 516_621)
    assert found["recipe"] == ["cffi/needs"]
    assert [item["kind"] for item in found["materials"]] == ["debian", "image", "requirement"]
    assert all(item in seed.MATERIALS for item in found["materials"])
    assert found["environment"] == seed.ENVIRONMENT


def test_a_build_that_no_node_has_begun_has_a_source_and_nothing_else(farm: dict[str, int], anybody: Program) -> None:
    found = told(anybody, f"/builds/{farm['queued']}/materials")

    assert found["attempt"] is found["source"] is None
    assert (found["materials"], found["recipe"], found["environment"]) == ([], [], {})


@pytest.mark.parametrize("path", ["/builds/99/materials", "/builds/1/materials?attempt=7", "/builds/1?attempt=7"])
def test_a_build_or_an_attempt_that_is_not_there_is_told(
    farm: dict[str, int],  # noqa: ARG001
    anybody: Program,
    path: str,
) -> None:
    assert anybody.get(path).status_code == 404


def test_any_attempt_of_a_build_is_told_in_full(farm: dict[str, int], anybody: Program, database: Engine) -> None:
    with transaction(database) as session:
        last = session.scalars(select(Attempt).where(Attempt.build_id == farm["failed"], Attempt.fence == 2)).one()
        last.tries = []

    first, latest = (told(anybody, f"/builds/{farm['failed']}{query}") for query in ("?attempt=1", ""))
    published = told(anybody, f"/builds/{farm['published']}")

    assert (first["attempt"], latest["attempt"]) == (1, 2)
    assert [item["ended"] for item in first["tries"]] == ["header", "build"]
    assert first["tries"][1]["added"] == [{"source": "debian", "why": "the header ffi.h is missing: libffi-dev"}]
    assert latest["tries"] == []
    assert first["attempts"][0]["line"] == 18
    assert told(anybody, f"/failures/{first['failure']}")["builds"]["items"][0]["id"] == farm["failed"]
    assert published["failure"] is published["repeat"] is None
    assert published["resources"] == seed.RESOURCES
    assert published["usage"] == seed.USAGE


def test_what_building_twice_has_shown_is_told_of_the_build_and_of_its_wheel(
    farm: dict[str, int], anybody: Program, database: Engine
) -> None:
    with transaction(database) as session:
        again = farm["queued"]
        detail = "a\x1b[31m date"
        session.add(Repeat(build_id=farm["published"], again_id=again, verdict=Repeated.DIFFERS, detail=detail))

    found = told(anybody, f"/builds/{farm['published']}")
    wheel = told(anybody, f"/wheels/{found['wheels'][0]}")

    assert found["repeat"] == wheel["repeat"]
    assert (found["repeat"]["again"], found["repeat"]["verdict"]) == (farm["queued"], "differs")
    assert "\x1b" not in found["repeat"]["detail"]
    assert told(anybody, "/status")["repeats"] == {"differs": 1}


def test_how_a_wheel_fared_elsewhere_and_what_it_needs_is_told(
    farm: dict[str, int], anybody: Program, database: Engine
) -> None:
    with transaction(database) as session:
        attempt = session.scalars(select(Attempt).where(Attempt.build_id == farm["published"])).one()
        attempt.materials = [{"kind": "debian", "name": "libffi8", "version": "3.4.4-1"}]
        for wheel in attempt.build.wheels:
            wheel.runtime_packages = ["libffi8"]

    [filename] = told(anybody, f"/builds/{farm['published']}")["wheels"]
    found = told(anybody, f"/wheels/{filename}")

    assert found["runtime_packages"] == {"libffi8": "3.4.4-1"}
    assert found["wheel"]["runtime_packages"] == ["libffi8"]
    assert found["wheel"]["portability"] == seed.PORTABILITY


def test_the_newest_wheels_come_first_where_that_is_asked_page_by_page(
    farm: dict[str, int],  # noqa: ARG001
    anybody: Program,
) -> None:
    def names(query: str) -> list[str]:
        found: list[str] = []
        cursor = "x"
        while cursor:
            page = told(anybody, f"/wheels?limit=1&{query}" + (f"&cursor={cursor}" if found else ""))
            found += [item["filename"] for item in page["items"]]
            cursor = page["next"]
        return found

    everything, of_cffi = names("order=newest"), names("order=newest&project=cffi")

    assert (everything[-1], len(everything)) == ("cffi-1.17.0-cp311-cp311-manylinux_2_34_aarch64.whl", 3)
    assert sorted(everything) == names("order=name")
    assert of_cffi == [name for name in everything if name.startswith("cffi-")]
    assert names("project=unknown") == []


def test_what_is_known_of_a_project_beside_its_versions_is_told(
    farm: dict[str, int],  # noqa: ARG001
    anybody: Program,
) -> None:
    found = told(anybody, "/projects/cffi?versions=all")

    assert (found["wheels"], found["requires_python"], found["hidden"]) == (2, ">=3.8", 0)
    assert found["unasked"] == ["1.16.0", "1.15.1", "1.15.0"]
    assert found["needs"] == [{"text": "pycparser; os_name != 'nt'", "name": "pycparser"}]
    assert found["held_back"] == []
    assert [wish["because"] for wish in found["wishes"]] == ["PyNaCl 1.6.2 needs it", ""]
    assert len(told(anybody, "/projects/cffi/downloads?days=7")["items"]) == 7
    assert anybody.get("/projects/unknown/downloads").status_code == 404
    assert anybody.get("/projects/-/downloads").status_code == 404


def test_what_the_farm_does_from_day_to_day_is_told(farm: dict[str, int], anybody: Program) -> None:  # noqa: ARG001
    status, days = told(anybody, "/status"), told(anybody, "/days?days=3")["items"]

    assert status["ended"]["built"] == 90
    assert status["empty_in_s"] is not None
    assert status["last_published_at"] is not None
    assert len(days) == 3
    assert days[-1]["ended"]["built"] == 90
    assert anybody.get("/days?days=61").status_code == 400


def test_no_master_leads_whose_lease_is_over(anybody: Program, database: Engine) -> None:
    with transaction(database) as session:
        session.add(Leadership(id=1, holder="one", epoch=1, until=entries.ago(minutes=1)))

    assert told(anybody, "/status")["leader"] is None
    assert told(anybody, "/farm")["leader"]["leads"] is False


def test_long_walks_upstream_and_what_is_asked_in_vain_are_told(anybody: Program, database: Engine) -> None:
    assert told(anybody, "/farm") == {"leader": None, "feed": None, "walks": [], "asked": []}
    with transaction(database) as session:
        entries.mark(session, "scrub", done=10, total=40, started_at=now(session), changed_at=now(session))
        entries.mark(session, "feed", cursor="rss", serial=7, changed_at=now(session))
        session.add(Demand(name="scipy", view="", asks=3, asked_at=now(session)))

    found = told(anybody, "/farm")

    assert [(walk["name"], walk["share"]) for walk in found["walks"] if walk["total"]] == [("scrub", 25)]
    assert (found["feed"]["followed"], found["feed"]["serial"]) == ("rss", 7)
    assert [(item["name"], item["asks"]) for item in found["asked"]] == [("scipy", 3)]


def test_the_lines_that_make_an_installer_use_the_farm_are_told(anybody: Program) -> None:
    found = told(anybody, "/views?name=CFFI")["items"]

    assert [view["name"] for view in found] == ["debian12-x86_64", "debian12-aarch64", ""]
    assert found[0]["index"].endswith("/debian12-x86_64/simple/")
    assert found[0]["ways"][0]["text"].endswith(" cffi")
    assert anybody.get("/views?name=-%3B").status_code == 404


def test_what_a_node_is_and_what_to_mend_there_is_told(
    farm: dict[str, int],  # noqa: ARG001
    anybody: Program,
    database: Engine,
) -> None:
    with transaction(database) as session:
        entries.node(session, "hot", facts={"ker\x1bnel": 6}, health={"temperature_c": 91.0})

    nodes = {item["name"]: item for item in told(anybody, "/nodes")["items"]}

    assert nodes["hot"]["facts"] == {"ker␛nel": "6"}
    assert nodes["hot"]["troubles"][0].startswith("it has 91 °C")
    assert (nodes["pi4-a"]["busy"], nodes["pi4-a"]["slots"]) == (1, 2)
    assert nodes["pi4-a"]["memory_free_bytes"] == 3_100_000_000
    assert nodes["pi4-a"]["images"] == ["debian12-aarch64", "debian12-x86_64"]


def test_what_helps_against_a_cause_is_told(farm: dict[str, int], anybody: Program, database: Engine) -> None:
    with transaction(database) as session:
        number = session.scalars(select(FailureCluster.id).where(FailureCluster.builds > 0)).first()

    found = told(anybody, f"/failures/{number}")

    assert (found["line"], found["cured"], found["cured_at"]) == (18, 0, None)
    assert [item["ended"] for item in found["tries"]] == ["header", "build"]
    assert found["failure"]["projects"] == 1
    assert found["failure"]["sample"] == farm["failed"]


def test_files_of_recipes_that_are_faulty_are_told(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "cffi.toml").write_text("nonsense", encoding="utf-8")
    app = create_app(dataclasses.replace(settings, farm=FarmSection(recipes=(folder,))))

    found = told(Program(app, ""), "/recipes")

    assert "cffi.toml" in found["faults"][0]
    assert not any(item["id"].startswith("cffi/") for item in found["items"])
    app.extensions["database"].close()


def test_an_order_tells_what_was_asked_and_a_list_of_them_does_not(program: Programs, database: Engine) -> None:
    ci = program(Role.OPERATOR, Scope.JOBS, Scope.READ)
    ci.order("hold", {"builds": "12", "reason": "too hot"})

    with transaction(database) as session:
        number = session.scalars(select(Order.id)).one()
    assert told(ci, f"/orders/{number}")["arguments"] == {"builds": "12", "platform": "", "reason": "too hot"}
    assert [item["arguments"] for item in told(ci, "/orders")["items"]] == [{}]


def test_a_webhook_that_is_off_is_told_of_events_again(program: Programs, app: Flask, database: Engine) -> None:
    ci, client = program(Role.ADMIN, Scope.ADMIN), app.test_client()
    with transaction(database) as session:
        hooks.hook(session).disabled_at = now(session)

    assert told(ci, "/webhooks")[0]["disabled_at"]
    answer = client.post("/api/v1/webhooks/chat/enable", headers=ci.headers)

    assert answer.json is not None
    assert (answer.status_code, answer.json["state"], answer.json["disabled_at"]) == (200, "on", None)
    assert client.post("/api/v1/webhooks/other/enable", headers=ci.headers).status_code == 404


SECRETS: Final[dict[str, Any]] = {
    "redis": RedisSection(url="rediss://:hunter2@redis/0"),
    "upstream": UpstreamSection(index_url="https://me:hunter2@index.example/simple/?token=hunter2"),
}


def test_administrators_see_the_settings_without_what_is_secret(program: Programs, settings: Settings) -> None:
    ci = program(Role.ADMIN, Scope.ADMIN)
    app = create_app(dataclasses.replace(settings, **SECRETS))

    answer = Program(app, ci.token).get("/settings")

    assert answer.json is not None
    assert set(answer.json) == {section.name for section in dataclasses.fields(Settings)}
    [url] = [item for item in answer.json["redis"] if item["key"] == "url"]
    assert url == {"key": "url", "value": "set, not shown", "changed": True}
    assert "hunter2" not in answer.text
    app.extensions["database"].close()


def test_nobody_else_sees_the_settings(program: Programs, client: FlaskClient) -> None:
    others = [
        program(Role.ADMIN, Scope.READ, Scope.JOBS, Scope.NODES),
        program(Role.OPERATOR, Scope.READ, Scope.JOBS, Scope.NODES),
        program(Role.VIEWER, Scope.READ),
    ]

    assert [other.get("/settings").status_code for other in others] == [403] * 3
    assert client.get("/api/v1/settings").status_code == 401
