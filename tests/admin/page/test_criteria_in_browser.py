"""Trying criteria, comparing and sending in a real browser: by keyboard alone, and on a phone in
the dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from relay.app import create_app as create_relay
from tests.support import browser
from tests.support.browser import await_true, tab_to
from tests.support.sample import Sample, make_sample, settings_for

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [*browser.MARKS, pytest.mark.usefixtures("patient_trials")]


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Sample]:
    sample = make_sample(tmp_path)
    yield sample
    sample.store.close()


def text(driver: Chrome) -> str:
    return driver.find_element(By.TAG_NAME, "main").text


def press(driver: Chrome, key: str) -> None:
    driver.switch_to.active_element.send_keys(key)


def test_criteria_are_written_by_keyboard_alone(driver: Chrome, sample: Sample) -> None:
    with browser.serving(sample) as url:
        driver.get(f"{url}/events/{sample.events['delivered']}")
        tab_to(driver, "Try criteria on its payload")
        press(driver, Keys.ENTER)
        await_true(driver, lambda: "Try criteria of" in driver.title)
        tab_to(driver, 'ref: "refs/heads/main"')
        press(driver, Keys.ENTER)
        await_true(driver, lambda: "1 of the last 4 events would have fitted" in text(driver))
        tab_to(driver, "Another JSONPath")
        press(driver, "$.pusher.name")
        press(driver, Keys.TAB)
        press(driver, "bob")
        press(driver, Keys.ENTER)
        await_true(driver, lambda: "0 of the last 4 events would have fitted" in text(driver))
        assert '"$.pusher.name": "bob"' in text(driver)
        assert '$.pusher.name is "ada", expected is "bob"' in text(driver)
        tab_to(driver, "Remove $.pusher.name")
        press(driver, Keys.ENTER)
        await_true(driver, lambda: "1 of the last 4 events would have fitted" in text(driver))


def test_a_delivery_is_sent_from_a_phone_in_the_dark(driver: Chrome, sample: Sample) -> None:
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    browser.resize(driver, 390, 844)
    with (
        browser.serving_app(create_relay(sample.settings)) as relay,
        browser.serving_page(settings_for(sample.folder, bridge_relay_url=relay)) as url,
    ):
        driver.get(f"{url}/events/{sample.events['delivered']}")
        driver.find_element(By.LINK_TEXT, "Edit and send").click()
        await_true(driver, lambda: "Send to" in driver.title)
        body = driver.find_element(By.NAME, "body")
        body.clear()
        body.send_keys('{"ref": "refs/heads/phone"')
        driver.find_element(By.CSS_SELECTOR, "button[value=send]").click()
        await_true(driver, lambda: "is not JSON" in text(driver))
        driver.find_element(By.NAME, "body").send_keys(Keys.END, "}")
        driver.find_element(By.CSS_SELECTOR, "button[value=send]").click()
        await_true(driver, lambda: "The relay answered 200 OK" in text(driver))
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        driver.find_element(By.CSS_SELECTOR, ".notice a.id").click()
        await_true(driver, lambda: "refs/heads/phone" in text(driver))

        def is_followed_no_more() -> bool:  # else the page may be loaded again in between
            for stop in driver.find_elements(By.LINK_TEXT, "Stop"):
                stop.click()
            return "follow" not in driver.current_url

        await_true(driver, is_followed_no_more)
        driver.find_element(By.LINK_TEXT, "Compare with the previous event of this webhook").click()
        await_true(driver, lambda: "refs/heads/phone" in text(driver) and "differ" in text(driver))
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        driver.get(f"{url}/webhooks/github-deploys/try?path=$.ref&value=x")
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_no_name_or_value_of_a_payload_becomes_a_script(driver: Chrome, sample: Sample) -> None:
    with browser.serving(sample) as url:
        hostile = sample.events["hostile"]
        for path in (
            f"/webhooks/slack/try?of={hostile}",
            f"/events/{hostile}/compare?with=sample:message",
            f"/webhooks/slack/send?event={hostile}",
        ):
            driver.get(url + path)
            assert "owned" not in driver.title
            assert (
                driver.find_elements(By.CSS_SELECTOR, "main script, main img, main svg, iframe")
                == []
            )
