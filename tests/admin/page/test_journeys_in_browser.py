"""What people come for, in a real browser, by how many clicks and inputs it takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from platforms.verifiers import Draft
from tests.support import browser
from tests.support.answers_of_conductor import standing_in
from tests.support.browser import await_true
from tests.support.sample import Sample, make_sample
from tests.support.webhook_page import Page
from tests.support.webhook_page import page as page
from tests.support.webhook_page import relay as relay

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [*browser.MARKS, pytest.mark.usefixtures("patient_forms")]

WAIT = {
    "type": "WAIT_FOR_WEBHOOK",
    "taskReferenceName": "wait_for_push",
    "inputParameters": {"matches": {"$.repository.full_name": "acme/shop"}},
}


class Hand:
    """Clicks and types, and counts how often."""

    def __init__(self, driver: Chrome):
        self._driver = driver
        self.used = 0

    def click(self, xpath: str, then: str) -> None:
        """Clicks, and waits for a page that says this."""
        self.used += 1
        self._driver.find_element(By.XPATH, xpath).click()
        self._await(then)

    def type(self, *keys: str, then: str) -> None:
        """Types into what has the focus; Enter counts by itself."""
        self.used += len(keys)
        self._driver.switch_to.active_element.send_keys(*keys)
        self._await(then)

    def _await(self, then: str) -> None:
        main = (By.TAG_NAME, "main")
        await_true(self._driver, lambda: then in self._driver.find_element(*main).text)


@pytest.mark.parametrize("width", [1440, 390])
def test_the_reason_of_a_failed_event_is_two_clicks_from_the_overview(
    driver: Chrome, tmp_path: Path, width: int
) -> None:
    sample: Sample = make_sample(tmp_path)
    browser.resize(driver, width, 900)
    with browser.serving(sample) as url:
        driver.get(url)
        hand = Hand(driver)
        hand.click(
            "//ul[@class='numbers']//a[contains(., 'failed')]", then="start of on_push failed"
        )
        hand.click("//td[@data-label='What happened']/a", then="No such workflow defined")
        assert hand.used == 2
        assert sample.events["refused"] in driver.current_url
    sample.store.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_a_first_webhook_takes_at_most_ten_clicks_and_inputs(
    driver: Chrome, tmp_path: Path, relay: list[Draft], width: int
) -> None:
    browser.resize(driver, width, 900)
    with standing_in() as conductor:
        conductor.has("build", "deploy")
        conductor.defines("build", {"type": "SIMPLE"})
        conductor.defines("deploy", WAIT)
        page = Page(tmp_path, conductor_server_url=conductor.url)
        with browser.serving_page(page.settings) as url:
            driver.get(url)
            hand = Hand(driver)
            hand.click("//a[text()='Create the first one']", then="Which platform")
            hand.type("githu", then="GitHub")
            hand.type(Keys.ENTER, then="wait_for_push waits for $.repository.full_name")
            hand.click("//input[@name='receiver'][@value='deploy']", then="deploy")
            hand.type(Keys.ENTER, then="fits deploy, version 2, whose task wait_for_push")
            hand.click("//button[text()='Create']", then="Send a test event")
            hand.click("//button[text()='Send a test event']", then="The webhook is Verified")
            assert hand.used <= 10
    assert relay[0].headers["X-GitHub-Event"] == "push"
    assert page.defined["github"].receivers == {"deploy": None}


def test_a_platform_is_found_by_a_senders_name_and_one_that_is_not_by_a_hint(
    driver: Chrome, page: Page
) -> None:
    with browser.serving_page(page.settings) as url:
        driver.get(f"{url}/new")
        search = driver.find_element(By.ID, "search-platforms")
        search.send_keys("lithic")
        found = "//ul[@class='platforms']/li[not(@hidden)]"
        assert "signs as Standard Webhooks does" in driver.find_element(By.XPATH, found).text
        search.send_keys("-of-nobody")
        assert not driver.find_elements(By.XPATH, found)
        assert driver.find_element(By.ID, "no-platform").is_displayed()
        search.clear()
        search.send_keys("forgejo", Keys.ENTER)
        await_true(driver, lambda: "platform=forgejo" in driver.current_url)
