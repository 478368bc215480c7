"""Badges say where a project's newest version has a wheel."""

from __future__ import annotations

import dataclasses
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, event

from schema.db.session import transaction
from schema.sections import FarmSection
from schema.settings import Settings
from tests import entries
from tests.entries import ARM, HERE
from web import lettering
from web.app import create_app
from web.badges import Tone

_SVG = "{http://www.w3.org/2000/svg}"


def _read(client: FlaskClient, address: str) -> tuple[str, str, str]:
    """What is written on a badge: message, title, colour."""
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.mimetype == "image/svg+xml"
    root = ET.fromstring(answer.data)  # noqa: S314 - made by us
    title = root.find(f"{_SVG}title")
    assert title is not None
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == title.text
    texts = [item.text or "" for item in root.iter(f"{_SVG}text")]
    colours = [item.attrib["fill"] for item in root.iter(f"{_SVG}rect") if "fill" in item.attrib]
    return texts[1], (title.text or "").removeprefix("wheelfarm: "), colours[1]


@pytest.fixture
def filled(database: Engine) -> None:
    """cffi 2.0 here and failed on ARM, where 1.0 has a wheel; 1.5 was never built; click is pure; numpy is to come."""
    with transaction(database) as session:
        cffi = entries.project(session, "cffi")
        built = entries.build(session, cffi, "2.0", state="published")
        entries.wheel(session, built, "cffi-2.0-cp311-cp311-manylinux_2_34_x86_64.whl")
        entries.build(session, cffi, "2.0", platform=ARM, state="failed", reason="header: ffi.h: No such file")
        entries.build(session, cffi, "2.0", platform=ARM, state="withdrawn", build_number=-1)
        entries.build(session, cffi, "1.5", platform=ARM, state="poisoned")
        older = entries.build(session, cffi, "1.0", platform=ARM, state="published")
        entries.wheel(session, older, "cffi-1.0-cp311-cp311-manylinux_2_34_aarch64.whl")
        click = entries.build(session, entries.project(session, "click"), "8.0", state="published")
        entries.wheel(session, click, "click-8.0-py3-none-any.whl")
        numpy = entries.project(session, "numpy")
        entries.build(session, numpy, "2.4", state="unneeded")
        entries.build(session, numpy, "2.4", platform=ARM, state="leased", leased_to="pi4")
        yanked = entries.build(session, entries.project(session, "gone"), "1.0", state="published")
        entries.wheel(session, yanked, "gone-1.0-py3-none-any.whl", yanked="broken")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("address", "message", "title", "tone"),
    [
        ("cffi", "1 of 2 wheels", "cffi 2.0: 1 of 2 wheels", Tone.SOME),
        ("click", "2 of 2 wheels", "click 8.0: 2 of 2 wheels", Tone.GOOD),
        ("numpy", "1 of 2 wheels", "numpy 2.4: 1 of 2 wheels, 1 to come", Tone.BUSY),
        ("gone", "0 of 2 wheels", "gone 1.0: 0 of 2 wheels", Tone.BAD),
        ("nobody-asked", "unknown", "nobody-asked: nobody asked this farm for it", Tone.UNKNOWN),
        (f"cffi/{HERE}", "2.0", f"cffi 2.0 has a wheel on {HERE}", Tone.GOOD),
        (
            "cffi/debian12-aarch64",
            "1.0, not 2.0",
            f"cffi 1.0 has a wheel on {ARM}, 2.0 has none: failed (header)",
            Tone.SOME,
        ),
        (f"gone/{ARM}", "no wheel: not asked for", f"gone 1.0 has no wheel on {ARM}: not asked for", Tone.UNKNOWN),
        (f"gone/{HERE}", "no wheel: published", f"gone 1.0 has no wheel on {HERE}: published", Tone.BAD),
        (f"numpy/{ARM}", "no wheel: building", f"numpy 2.4 has no wheel on {ARM}: building", Tone.BUSY),
    ],
)
def test_a_badge_says_where_there_is_a_wheel_and_why_not(
    client: FlaskClient, address: str, message: str, title: str, tone: Tone
) -> None:
    assert _read(client, f"/badge/{address}.svg") == (message, title, tone)


@pytest.mark.usefixtures("filled")
def test_a_badge_is_kept_for_five_minutes_and_then_compared(client: FlaskClient) -> None:
    first = client.get("/badge/cffi.svg")
    second = client.get("/badge/cffi.svg", headers={"If-None-Match": first.headers["ETag"]})

    assert first.headers["Cache-Control"] == "max-age=300"
    assert (second.status_code, second.data) == (304, b"")


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/badge/Zope.Interface.svg", 301),
        ("/badge/Zope_Interface/debian12-x86_64.svg", 301),
        ("/badge/cffi/no-such-platform.svg", 404),
        ("/badge/%3Cscript%3E.svg", 404),
        ("/badge/a%22onload=%22x.svg", 404),
        ("/badge/..%2F..%2Fetc.svg", 404),
    ],
)
def test_other_spellings_lead_to_the_badge_and_what_is_no_name_is_404(
    client: FlaskClient, address: str, status: int
) -> None:
    assert client.get(address).status_code == status


@pytest.mark.usefixtures("database")
def test_a_very_long_name_makes_no_very_long_badge(client: FlaskClient) -> None:
    assert len(client.get(f"/badge/{'a' * 3000}.svg").data) < 2000


def test_a_hostile_name_of_the_farm_and_a_hostile_reason_are_only_letters(settings: Settings, database: Engine) -> None:
    hostile = '"><script>alert(1)</script>\x1b\u202e' * 3
    with transaction(database) as session:
        evil = entries.project(session, "evil")
        entries.build(session, evil, state="failed", reason=f"{hostile}: {hostile}")
    farm = dataclasses.replace(settings.farm, name=hostile)
    assert isinstance(farm, FarmSection)
    app = create_app(dataclasses.replace(settings, farm=farm))

    text = app.test_client().get(f"/badge/evil/{HERE}.svg").text

    app.extensions["database"].close()
    assert "<script" not in text
    assert "\u202e" not in text
    assert "no wheel: failed<" in text
    ET.fromstring(text)  # noqa: S314 - it is well-formed


def test_as_many_questions_are_asked_however_many_versions_there_are(client: FlaskClient, database: Engine) -> None:
    asked: list[Any] = []
    with transaction(database) as session:
        cffi = entries.project(session, "cffi")
        for number in range(60):
            build = entries.build(session, cffi, f"1.{number}", state="published")
            entries.wheel(session, build, f"cffi-1.{number}-py3-none-any.whl")
    client.get("/badge/cffi.svg")
    engine = client.application.extensions["database"]._connected()
    event.listen(engine, "before_cursor_execute", lambda *call: asked.append(call[2]))

    assert _read(client, "/badge/cffi.svg")[1] == "cffi 1.59: 2 of 2 wheels"
    assert len(asked) <= 5


def test_a_projects_page_has_the_lines_to_copy(client: FlaskClient, filled: None) -> None:  # noqa: ARG001
    page = client.get("/project/cffi/").text

    url = "http://localhost/badge/cffi.svg"
    assert f"[![wheels]({url})](http://localhost/project/cffi/)" in page
    assert f".. image:: {url}\n   :target: http://localhost/project/cffi/\n   :alt: wheels" in page
    assert "&lt;a href=&#34;http://localhost/project/cffi/&#34;&gt;&lt;img src=&#34;http://localhost/badge" in page


@pytest.mark.parametrize("tone", Tone)
def test_white_letters_can_be_read_on_every_colour(tone: Tone) -> None:
    red, green, blue = (int(tone[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]

    assert 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05) >= 4.5  # WCAG 2.2, 1.4.3


def test_the_width_of_letters() -> None:
    assert lettering.width("", size=11) == 0
    assert lettering.width("wheelfarm", size=1000) == 818 + 634 + 615 + 615 + 278 + 352 + 613 + 411 + 974
    assert lettering.width("é\n", size=10) == 20
