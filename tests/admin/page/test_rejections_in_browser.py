"""A rejected delivery is accepted in a real browser: from the overview to its event."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")

from selenium.webdriver.common.by import By

from store.sql.event_search import EventFilter
from tests.support import browser
from tests.support.browser import await_true
from tests.support.sample import keep_refused, make_sample

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [*browser.MARKS]


def test_refused_deliveries_are_found_on_the_overview_and_accepted(
    driver: Chrome, tmp_path: Path
) -> None:
    sample = make_sample(tmp_path)
    keep_refused(sample)
    before = len(sample.store.queries.events(EventFilter(limit=1000)))
    with browser.serving(sample) as url:
        driver.get(f"{url}/")
        driver.find_element(By.CSS_SELECTOR, "a[href^='/rejections/retry']").click()
        await_true(driver, lambda: driver.current_url.startswith(f"{url}/rejections/retry"))
        driver.find_element(By.CSS_SELECTOR, "main form button").click()
        await_true(driver, lambda: "Retried" in driver.title)
        assert (
            "1 rejected delivery of github-deploys accepted"
            in driver.find_element(By.TAG_NAME, "h1").text
        )
    assert len(sample.store.queries.events(EventFilter(limit=1000))) == before + 1
