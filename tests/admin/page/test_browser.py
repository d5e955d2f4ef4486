"""The page in a real browser: no script runs, it fits a phone, the keyboard is enough."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support import browser
from tests.support.browser import await_true
from tests.support.sample import Sample, make_sample

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [*browser.MARKS]

TOKEN = "the-token-of-the-admin-page"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    sample = make_sample(tmp_path_factory.mktemp("bridge"))
    yield sample
    sample.store.close()


@pytest.fixture(scope="module")
def url(shared: Sample) -> Iterator[str]:
    with browser.serving(shared) as url:
        yield url


def paths(sample: Sample) -> list[str]:
    events = [f"/events/{event_id}" for event_id in sample.events.values()]
    return ["/", "/events", "/tasks", "/rejections", "/tasks/task-other", *events]


def test_no_script_of_a_payload_runs_nothing_is_fetched_from_elsewhere_and_every_page_fits(
    driver: Chrome, url: str, shared: Sample
) -> None:
    driver.get_log("browser")
    for path in paths(shared):
        driver.get(url + path)
        assert driver.title != "owned"
        assert driver.title.endswith("Webhook Bridge")
        assert driver.find_elements(By.CSS_SELECTOR, "script, iframe, object, embed, base") == []
        fetched = driver.execute_script(
            "return performance.getEntriesByType('resource').map(entry => entry.name)"
        )
        assert all(name.startswith(url) for name in fetched)
        for width in (1280, 768, 360):
            browser.resize(driver, width, 800)
            assert driver.execute_script("return document.documentElement.scrollWidth") <= width, (
                path,
                width,
            )
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_policy_would_stop_a_script_that_got_in(driver: Chrome, url: str) -> None:
    driver.get(url)
    driver.execute_script(
        "const script = document.createElement('script');"
        "script.textContent = \"document.title = 'owned'\"; document.body.append(script)"
    )
    assert driver.title != "owned"


def test_the_keyboard_is_enough(driver: Chrome, url: str) -> None:
    driver.get(f"{url}/events")
    page = driver.find_element(By.TAG_NAME, "body")
    page.send_keys(Keys.TAB)
    skip = driver.switch_to.active_element
    assert skip.text == "Skip to content"
    assert skip.location["x"] >= 0
    skip.send_keys(Keys.ENTER)
    assert driver.switch_to.active_element.tag_name == "main"
    reached: list[str] = []
    while (
        "/events/0" not in str(driver.switch_to.active_element.get_attribute("href"))
        and len(reached) < 20
    ):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(driver.switch_to.active_element.tag_name)
    assert reached[:3] == ["select", "select", "input"]
    assert "button" in reached
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    await_true(
        driver, lambda: "/events/0" in driver.current_url and driver.find_element(By.ID, "story")
    )


def test_replay_from_the_page(driver: Chrome, url: str, shared: Sample) -> None:
    old_id = shared.events["refused"]
    driver.get(f"{url}/events/{old_id}")
    driver.find_element(By.XPATH, "//button[text()='Replay']").click()
    await_true(
        driver,
        lambda: f"A replay of event {old_id}." in driver.find_element(By.CLASS_NAME, "story").text,
    )
    assert driver.current_url.rpartition("/")[2] != old_id


def test_log_in_with_the_token(driver: Chrome, tmp_path: Path) -> None:
    sample = make_sample(tmp_path)
    with browser.serving(sample, TOKEN) as url:
        driver.get(f"{url}/events?status=failed")
        # The field has the focus, so that the token can be typed at once.
        await_true(driver, lambda: driver.switch_to.active_element.get_attribute("name") == "token")
        driver.switch_to.active_element.send_keys("wrong", Keys.ENTER)
        await_true(driver, lambda: "Wrong token." in driver.find_element(By.TAG_NAME, "main").text)
        driver.find_element(By.NAME, "token").send_keys(TOKEN, Keys.ENTER)
        await_true(driver, lambda: driver.current_url == f"{url}/events?status=failed")
        assert sample.events["refused"] in driver.page_source
        cookies = driver.execute_script("return document.cookie")
        assert re.fullmatch(r"zone=[\w/+-]+", cookies), "no script can read the session's"
        driver.find_element(By.XPATH, "//button[starts-with(text(), 'Log out')]").click()
        await_true(driver, lambda: "/login" in driver.current_url)
        driver.get(url)
        assert "/login" in driver.current_url
    sample.store.close()


def test_the_pictures_of_the_documentation_can_be_made(driver: Chrome, tmp_path: Path) -> None:
    browser.save_pictures(driver, tmp_path, hours=2)
    assert {file.name for file in tmp_path.iterdir()} == {
        "overview.png",
        "explain.png",
        "new.png",
        "webhook.png",
        "phone.png",
    }
