"""Logging in, the account and orders in a real browser: as the other pages, and a whole visit by forms."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pyotp
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.ui import WebDriverWait

from schema.db.models import Order
from schema.db.people import users
from schema.db.session import now, transaction
from schema.people import Role
from schema.webhooks import MOST_WEBHOOKS
from tests import hooks
from tests.web.browser.conftest import Farm
from tests.web.browser.test_in_chromium import (
    _AXE,
    _OVERFLOW,
    GRAVE,
    SCHEMES,
    WIDTHS,
    _reports,
    _scheme,
    look,
)
from tests.web.hostile import PAYLOADS
from tests.web.people_kit import GOOD

pytestmark = [pytest.mark.browser, pytest.mark.slow]

__all__ = ["look"]

Look = Callable[..., webdriver.Chrome]


@pytest.fixture(scope="module")
def person(farm: Farm) -> str:
    """The name of an administrator, and an order and a webhook with each kind of text that somebody may write."""
    with transaction(farm.database) as session:
        users.add(session, "ada", Role.ADMIN, password=GOOD, who="ada@host")
        moment = now(session)
        for number, text in enumerate(PAYLOADS.values()):
            if number < MOST_WEBHOOKS:
                failing = hooks.hook(session, f"hook-{number}")
                failing.failures, failing.failing_since, failing.trouble = 1, moment, text
            ended = {"done_at": moment, "outcome": "done", "told": text, "result": {text: text}}
            arguments = {"builds": "1", "reason": text}
            session.add(Order(who=text[:255], action="hold", arguments=arguments, asked_at=moment, **ended))
    return "ada"


def _fill(browser: webdriver.Chrome, **fields: str) -> None:
    for name, text in fields.items():
        browser.find_element(By.NAME, name).send_keys(text)


def _press(browser: webdriver.Chrome, label: str) -> None:
    [button] = [item for item in browser.find_elements(By.TAG_NAME, "button") if item.text == label]
    _click(browser, button)


def _click(browser: webdriver.Chrome, button: WebElement) -> None:
    """A button of a form: wait until the page that it leads to is there."""
    button.click()
    WebDriverWait(browser, 10).until(staleness_of(button))
    WebDriverWait(browser, 10).until(lambda page: page.execute_script("return document.readyState") == "complete")


def _log_in(browser: webdriver.Chrome, name: str) -> None:
    _fill(browser, name=name, password=GOOD)
    _click(browser, browser.find_element(By.CSS_SELECTOR, ".form button"))


def test_a_person_logs_in_makes_a_token_sets_a_second_factor_up_and_logs_out(
    look: Look, farm: Farm, person: str
) -> None:
    browser = look("/account/")
    assert browser.current_url == f"{farm.url}/login?next=/account/"
    _log_in(browser, person)
    assert browser.current_url == f"{farm.url}/account/"
    _fill(browser, label="ci")
    _press(browser, "Make a token")
    assert browser.find_element(By.CSS_SELECTOR, ".told code").text.startswith("wf_")
    _press(browser, "Set one up")
    secret = browser.find_element(By.CSS_SELECTOR, ".qr + .copy code").text
    assert browser.execute_script("return document.querySelector('.qr').naturalWidth") > 0
    for path, width in product(("/account/", "/orders/", "/settings/", "/api/v1/"), WIDTHS):
        assert _faults(look, path, width) == [], (path, width)
    look("/account/")
    _fill(browser, code=pyotp.TOTP(secret).now())
    _press(browser, "Set it up")
    assert "takes a code" in browser.find_element(By.ID, "main").text
    _press(browser, "Log out")
    assert "Log in" in browser.find_element(By.TAG_NAME, "header").text
    assert _reports(browser) == []


def test_the_pages_of_login_and_orders_fit_and_run_nothing_that_somebody_wrote(
    look: Look,
    person: str,  # noqa: ARG001
) -> None:
    paths = ["/login", "/orders/", *(f"/orders/{number}/" for number in range(1, len(PAYLOADS) + 1))]
    for path, width in product(paths, (WIDTHS[0], WIDTHS[-1])):
        assert _faults(look, path, width) == [], (path, width)


def test_logging_in_works_without_scripts(look: Look, farm: Farm) -> None:
    with transaction(farm.database) as session:
        users.add(session, "bob", Role.VIEWER, password=GOOD, who="ada@host")
    browser = look("/login?next=/builds/", scripts=False)

    _log_in(browser, "bob")

    assert browser.current_url == f"{farm.url}/builds/"
    browser.delete_all_cookies()


def _faults(look: Look, path: str, width: int) -> list[str]:
    """What is wrong with a page: wider than the screen, grave findings of axe, reports on the console."""
    browser = look(path, width=width)
    across, wide = browser.execute_script(_OVERFLOW)
    found = browser.execute_async_script(_AXE, None)
    _scheme(browser, SCHEMES[1])
    found += browser.execute_async_script(_AXE, "color-contrast")
    grave = [text for impact, text in found if impact in GRAVE]
    return [*([f"{across} wide: {wide}"] if across > width or wide else []), *grave, *map(str, _reports(browser))]
