"""An event's story, acknowledging it, and replaying one of its targets, in Chromium, by the
keyboard alone."""

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


def wait_for_words(driver: Chrome, selector: str, words: str) -> None:
    """Waits until the page that is on its way says this there."""
    await_true(driver, lambda: words in driver.find_element(By.CSS_SELECTOR, selector).text)


def story(driver: Chrome) -> list[str]:
    return [line.text for line in driver.find_elements(By.CSS_SELECTOR, ".story li")]


def test_an_event_is_acknowledged_and_reopened_by_keyboard(driver: Chrome, sample: Sample) -> None:
    with browser.serving(sample) as url:
        driver.get(f"{url}/events/{sample.events['refused']}")
        tab_to(driver, "reason")
        driver.switch_to.active_element.send_keys("refunded by hand", Keys.ENTER)
        wait_for_words(driver, ".meaning", "it no longer counts as failed")
        assert story(driver)[-1].endswith("Acknowledged by local: refunded by hand")
        tab_to(driver, "Reopen")
        driver.switch_to.active_element.send_keys(Keys.SPACE)
        wait_for_words(driver, ".meaning", "Fix the cause")
        assert story(driver)[-1].endswith("Reopened by local.")
        tab_to(driver, "Acknowledge")
        driver.switch_to.active_element.send_keys(Keys.ENTER)
        assert driver.switch_to.active_element.get_attribute("name") == "reason", (
            "it must be said why"
        )


@pytest.mark.parametrize("width", [1280, 390])
def test_one_target_is_replayed_by_keyboard(driver: Chrome, sample: Sample, width: int) -> None:
    browser.resize(driver, width, 900)
    with browser.serving(sample) as url:
        driver.get(f"{url}/events/{sample.events['refused']}")
        assert driver.execute_script(
            "return document.documentElement.scrollWidth <= window.innerWidth"
        )
        tab_to(driver, "Replay only this one: target 1")
        driver.switch_to.active_element.send_keys(Keys.ENTER)
        wait_for_words(driver, ".meaning", "to one target only: the start of on_push")
        assert len(story(driver)) == 1
