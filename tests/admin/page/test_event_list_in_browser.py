"""The list of events in a real browser: filtered and ticked with nothing but the keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support import browser
from tests.support.browser import await_true, tab_to
from tests.support.sample import Sample

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [*browser.MARKS]


def test_events_are_filtered_ticked_and_replayed_by_keyboard(
    driver: Chrome, sample: Sample
) -> None:
    with browser.serving_page(sample.settings) as url:
        driver.get(url + "/events")
        condition = driver.find_element(By.NAME, "where")
        condition.send_keys("$.ref=refs/tags/v2", Keys.ENTER)
        await_true(driver, lambda: "where=" in driver.current_url)
        [tick] = driver.find_elements(By.NAME, "event")
        assert tick.get_attribute("value") == sample.events["refused"]
        tick.send_keys(Keys.SPACE)
        tick.send_keys(Keys.ENTER)  # the form's first button replays
        await_true(
            driver,
            lambda: "Replay 1 event?" in driver.title + driver.find_element(By.TAG_NAME, "h1").text,
        )
        assert driver.current_url.endswith(f"/replay?event={sample.events['refused']}")
        driver.find_element(By.XPATH, "//button[starts-with(., 'Yes')]").send_keys(Keys.ENTER)
        await_true(
            driver, lambda: "1 of 1 events replayed" in driver.find_element(By.TAG_NAME, "h1").text
        )


def test_ticked_events_can_be_acknowledged_on_a_phone(driver: Chrome, sample: Sample) -> None:
    browser.resize(driver, 390, 900)
    with browser.serving_page(sample.settings) as url:
        driver.get(url + "/events?status=unresolved")
        assert driver.execute_script(
            "return document.documentElement.scrollWidth <= window.innerWidth"
        )
        for tick in driver.find_elements(By.NAME, "event"):
            tick.send_keys(Keys.SPACE)
        driver.find_element(By.XPATH, "//button[.='Acknowledge']").send_keys(Keys.ENTER)
        await_true(
            driver, lambda: "Acknowledge 1 event?" in driver.find_element(By.TAG_NAME, "h1").text
        )
        tab_to(driver, "reason").send_keys("a test", Keys.ENTER)
        await_true(
            driver,
            lambda: "1 of 1 events acknowledged" in driver.find_element(By.TAG_NAME, "h1").text,
        )
    assert sample.store.queries.unresolved() == 0
    browser.resize(driver, 1280, 900)
