"""The page of a wheel: its anatomy for people and for scripts, and what it says where there is none."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from schema.db.models import Repeat, Wheel, WheelAnatomy
from schema.db.session import now, transaction
from schema.wheels.anatomy import FORMAT
from tests import entries
from tests.web import seed

CFFI = seed.ANATOMY.filename


def _text(client: FlaskClient, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", response.text)))


@pytest.mark.usefixtures("farm")
def test_the_page_tells_where_a_wheel_runs_and_what_is_in_it(client: FlaskClient) -> None:
    text = _text(client, f"/wheel/{CFFI}/")

    for part in (
        f"Anatomy of {CFFI}",
        "manylinux_2_17_x86_64 the oldest whose promises are enough",
        "needs GLIBC_2.14 of libc.so.6",
        "libffi-1a2b3c4d.so.8.1.2 libffi8 3.4.4-1",
        "RPATH $ORIGIN/cffi.libs",
        "libffi-1a2b3c4d.so.8.1.2 in the wheel LIBFFI_BASE_8.0",
        "full RELRO BIND_NOW stack not executable stack protector no FORTIFY seen",
        "extension module, 1.1 MB, stripped",
        "malformed, 4 B not an ELF header",
        "44 files, 1.5 MB unpacked",
        "Expression MIT",
    ):
        assert part in text, part
    assert "PIE" not in text


def test_it_tells_how_the_wheel_fared_elsewhere_and_whether_its_build_repeats(
    client: FlaskClient, database: Engine
) -> None:
    with transaction(database) as session:
        project = entries.project(session, "demo")
        build = entries.build(session, project, "1.0", state="published")
        again = entries.build(session, project, "1.0", build_number=-1, origin="repeat")
        wheel = entries.wheel(session, build, "demo-1.0-py3-none-any.whl")
        wheel.portability = [{"image": "debian13-x86_64", "fate": "broken", "why": "libold.so.1 is not there"}]
        told = {"verdict": "differs", "detail": "demo/_c.so, section .rodata", "node": "n2", "told_at": now(session)}
        session.add(Repeat(build_id=build.id, again_id=again.id, **told))

    text = _text(client, "/wheel/demo-1.0-py3-none-any.whl/")

    assert "Tried elsewhere broken debian13-x86_64 libold.so.1 is not there" in text
    assert "Built twice differs demo/_c.so, section .rodata" in text


@pytest.mark.usefixtures("farm")
def test_scripts_get_what_the_page_is_made_of(client: FlaskClient) -> None:
    found = client.get(f"/wheel/{CFFI}/anatomy.json")

    assert found.mimetype == "application/json"
    assert found.json == json.loads(json.dumps(seed.ANATOMY.to_json()))


@pytest.mark.parametrize("place", ["build", "project"])
def test_the_build_and_the_project_lead_to_it(client: FlaskClient, farm: dict[str, int], place: str) -> None:
    page = client.get({"build": f"/build/{farm['published']}/", "project": "/project/cffi/"}[place]).text

    assert f'href="/wheel/{CFFI}/"' in page


@pytest.mark.usefixtures("farm")
@pytest.mark.parametrize("kept", [False, True])
def test_a_wheel_without_an_anatomy_of_this_format_says_how_it_gets_one(
    client: FlaskClient, database: Engine, *, kept: bool
) -> None:
    name = "click-8.3.1-py3-none-any.whl"
    if kept:
        with transaction(database) as session:
            session.add(WheelAnatomy(filename=name, format=FORMAT - 1, found={"of": "an older shape"}))

    text = _text(client, f"/wheel/{name}/")

    assert "not examined yet" in text
    assert "wheelfarm anatomy --missing" in text
    assert client.get(f"/wheel/{name}/anatomy.json").status_code == 404


@pytest.mark.usefixtures("farm")
def test_debian_packages_are_told_with_the_version_that_it_was_built_with(
    client: FlaskClient, database: Engine
) -> None:
    with transaction(database) as session:
        wheel = session.get(Wheel, CFFI)
        assert wheel is not None
        wheel.runtime_packages = ["libffi-dev", "libother1"]

    text = _text(client, f"/wheel/{CFFI}/")

    assert "libffi-dev (built with 3.4.4-1) libother1 Debian packages" in text


@pytest.mark.usefixtures("farm")
def test_a_removed_wheel_says_so_and_leads_to_no_file(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        wheel = session.get(Wheel, CFFI)
        assert wheel is not None
        wheel.removed_at = now(session)

    page = client.get(f"/wheel/{CFFI}/").text

    assert "Removed since." in page
    assert f"/files/{CFFI}" not in page


@pytest.mark.usefixtures("farm")
@pytest.mark.parametrize("tail", ["", "anatomy.json"])
@pytest.mark.parametrize("name", ["nothing-1.0-py3-none-any.whl", "%00", "%FF", "..", "a" * 4000])
def test_a_wheel_that_never_was_is_not_found(client: FlaskClient, name: str, tail: str) -> None:
    assert client.get(f"/wheel/{name}/{tail}").status_code == 404


def test_a_name_with_a_plus_has_its_page(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        build = entries.build(session, entries.project(session, "demo"), "1.0+local", state="published", fence=1)
        entries.wheel(session, build, "demo-1.0+local-py3-none-any.whl")

    assert "demo-1.0+local-py3-none-any.whl" in _text(client, "/wheel/demo-1.0%2Blocal-py3-none-any.whl/")
    assert "demo-1.0+local-py3-none-any.whl" in _text(client, "/wheel/demo-1.0+local-py3-none-any.whl/")
