"""Deliveries in a real browser, as they come: without a reload, by keyboard, on a phone and in the
dark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.deciding import decide

pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from store.delivery_records import WithoutEvent
from store.records import Decision, NewEvent, Term, new_event_id
from tests.support import browser
from tests.support.browser import await_true
from tests.support.sample import Sample
from tools.servers.processes import free_port

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [*browser.MARKS]


@pytest.fixture
def url(sample: Sample) -> Iterator[str]:
    with browser.serving(sample) as url:
        yield url


def arrive(sample: Sample) -> str:
    now = sample.store.now()
    event = NewEvent(new_event_id(), "slack", now, "{}", {}, {}, now)
    sample.store.deliveries.append([event])
    return event.id


def rows(driver: Chrome) -> list[str]:
    """The keys of the rows, from the top."""
    keys: list[str] = driver.execute_script(
        "return [...document.querySelectorAll('#deliveries tr')].map(row => row.dataset.key)"
    )
    return keys


def text(driver: Chrome, where: str) -> str:
    return driver.find_element(By.CSS_SELECTOR, where).text


def open_live(driver: Chrome, url: str) -> None:
    driver.get(f"{url}/deliveries")
    await_true(driver, lambda: text(driver, "#state") == "Live.")


def test_deliveries_appear_and_change_without_a_reload(
    driver: Chrome, url: str, sample: Sample
) -> None:
    driver.get_log("browser")
    open_live(driver, url)
    driver.execute_script("window.mark = 1")
    event_id = arrive(sample)
    await_true(driver, lambda: rows(driver)[0] == event_id)
    await_true(driver, lambda: text(driver, "#said") == "1 new delivery")
    hostile = "<img src=x onerror=\"document.title='owned'\">"
    sample.store.without_events.record(
        [WithoutEvent("orders", sample.store.now(), 401, hostile)], {}
    )
    await_true(driver, lambda: hostile in text(driver, "#deliveries tr"))
    link = driver.find_element(By.CSS_SELECTOR, f"tr[data-key='{event_id}'] a")
    driver.execute_script("arguments[0].focus()", link)
    decision = Decision(event_id, "expired", "no")
    decide(sample.store, Term("sample"), [decision], sample.store.now(), 0)
    await_true(driver, lambda: "expired" in text(driver, f"tr[data-key='{event_id}']"))
    assert rows(driver).count(event_id) == 1
    assert rows(driver)[1] == event_id, "in its place"
    assert driver.switch_to.active_element.text == event_id, "what had the focus has it still"
    assert driver.execute_script("return window.mark") == 1, "the page was not loaded again"
    assert "owned" not in driver.title
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_keyboard_pauses_and_resumes(driver: Chrome, url: str, sample: Sample) -> None:
    open_live(driver, url)
    reached = driver.find_element(By.TAG_NAME, "body")
    for _ in range(30):
        reached.send_keys(Keys.TAB)
        reached = driver.switch_to.active_element
        if reached.get_attribute("id") == "pause":
            break
    reached.send_keys(Keys.SPACE)
    assert reached.get_attribute("aria-pressed") == "true"
    assert text(driver, "#said") == "Paused."
    event_id = arrive(sample)
    await_true(driver, lambda: text(driver, "#state") == "Paused; 1 waiting.")
    assert event_id not in rows(driver)
    reached.send_keys(Keys.ENTER)
    await_true(driver, lambda: rows(driver)[0] == event_id)
    assert reached.get_attribute("aria-pressed") == "false"
    assert text(driver, "#state") == "Live."


def test_after_a_restart_of_the_page_it_goes_on(driver: Chrome, sample: Sample) -> None:
    settings, port = sample.settings, free_port()
    with browser.serving_page(settings, port) as url:
        open_live(driver, url)
    event_id = arrive(sample)
    with browser.serving_page(settings, port):
        await_true(driver, lambda: rows(driver)[0] == event_id)
