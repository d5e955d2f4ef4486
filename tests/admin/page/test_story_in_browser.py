"""An event's story, acknowledging it, and replaying one of its targets, in Chromium, by the keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.admin.page import browser
from tests.admin.sample import Sample, make_sample

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with browser.browser() as driver:
        yield driver


@pytest.fixture
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    sample = make_sample(tmp_path_factory.mktemp("bridge"))
    yield sample
    sample.store.close()


def tab_to(driver: Chrome, name: str) -> None:
    """Presses Tab until what has this name, or label, has the focus."""
    for _ in range(60):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        focused = driver.switch_to.active_element
        if name in (focused.text, focused.get_attribute("aria-label"), focused.get_attribute("name")):
            return
    pytest.fail(f"Tab doesn't reach {name}")


def status_line(driver: Chrome) -> str:
    return driver.find_element(By.CSS_SELECTOR, ".meaning").text


def story(driver: Chrome) -> list[str]:
    return [line.text for line in driver.find_elements(By.CSS_SELECTOR, ".story li")]


def test_an_event_is_acknowledged_and_reopened_by_keyboard(driver: Chrome, sample: Sample) -> None:
    with browser.serving(sample) as url:
        driver.get(f"{url}/events/{sample.events['refused']}")
        tab_to(driver, "reason")
        driver.switch_to.active_element.send_keys("refunded by hand", Keys.ENTER)
        assert "it no longer counts as failed" in status_line(driver)
        assert story(driver)[-1].endswith("Acknowledged by local: refunded by hand")
        tab_to(driver, "Reopen")
        driver.switch_to.active_element.send_keys(Keys.SPACE)
        assert "Fix the cause" in status_line(driver)
        assert story(driver)[-1].endswith("Reopened by local.")
        tab_to(driver, "Acknowledge")
        driver.switch_to.active_element.send_keys(Keys.ENTER)
        assert driver.switch_to.active_element.get_attribute("name") == "reason", "it must be said why"


def test_many_are_acknowledged_from_the_list(driver: Chrome, sample: Sample) -> None:
    with browser.serving(sample) as url:
        driver.get(f"{url}/acknowledge?status=failed")
        tab_to(driver, "reason")
        driver.switch_to.active_element.send_keys("a test", Keys.ENTER)
        assert driver.find_element(By.TAG_NAME, "h1").text == "1 of 1 events acknowledged"
    assert sample.store.queries.unresolved() == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_one_target_is_replayed_by_keyboard(driver: Chrome, sample: Sample, width: int) -> None:
    browser.resize(driver, width, 900)
    with browser.serving(sample) as url:
        driver.get(f"{url}/events/{sample.events['refused']}")
        assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        tab_to(driver, "Replay only this one: target 1")
        driver.switch_to.active_element.send_keys(Keys.ENTER)
        assert "to one target only: the start of on_push" in status_line(driver)
        assert len(story(driver)) == 1
