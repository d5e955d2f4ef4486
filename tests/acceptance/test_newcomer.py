"""Somebody who has never seen the bridge, a browser, and an empty folder: to a completed workflow
by the page alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")

from selenium.webdriver.common.by import By

from config.settings import Settings
from tests.admin.page.test_browser import await_true
from tests.support import browser
from tests.support.bridge import Bridge, unique
from tools.servers.client import Conductor, outputs, wait_for, wait_for_webhook

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [*browser.MARKS]


class EmptyFolder(Bridge):
    """A bridge whose definitions are a folder with nothing in it."""

    def define(self, webhooks: str) -> None:
        self.definitions = self.folder / "webhooks"
        self.definitions.mkdir()


@pytest.fixture(scope="module")
def bridge(conductor_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmptyFolder]:
    """Its folder is empty for the module's first test."""
    bridge = EmptyFolder(
        tmp_path_factory.mktemp("newcomer"), conductor_url, "", bridge_admin_writes="on"
    )
    try:
        bridge.start()
        yield bridge
    finally:
        bridge.stop()


def test_from_an_empty_folder_to_a_completed_workflow_by_the_page(
    driver: Chrome, bridge: EmptyFolder, conductor: Conductor
) -> None:
    workflow = unique("newcomer")
    conductor.register(workflow, [wait_for_webhook("wait", {"$.ref": "refs/heads/main"})])
    workflow_id = conductor.start(workflow)
    settings = Settings.model_validate(
        {
            "bridge_webhooks": bridge.definitions,
            "bridge_database": f"sqlite:///{bridge.database}",
            "bridge_public_url": bridge.url,
            "bridge_admin_writes": True,
        }
    )
    wait_for(
        lambda: bridge.store.queries.waiting_by_workflow().get(workflow),
        "the worker has found the task",
    )
    with browser.serving_page(settings) as url:

        def click(text: str) -> None:
            def is_clicked() -> bool:
                found = driver.find_elements(By.XPATH, f"//main//*[{text}]")
                # Enter presses one that isn't.
                shown = [element for element in found if element.is_displayed()]
                for element in shown[:1]:
                    element.click()
                return bool(shown)

            await_true(driver, is_clicked)

        def button(text: str) -> str:
            return f"(self::a or self::button) and contains(., '{text}')"

        def await_text(css: str, text: str) -> None:
            await_true(driver, lambda: text in driver.find_element(By.CSS_SELECTOR, css).text)

        driver.get(url)
        click(button("Create the first one"))
        click(button("GitHub"))
        await_text("h1", "New webhook: GitHub")
        name = driver.find_element(By.NAME, "name")
        assert name.get_attribute("value") == "github", "a name is proposed"
        name.clear()
        name.send_keys("my-first")
        driver.find_element(By.CSS_SELECTOR, f"input[name=receiver][value={workflow}]").click()
        click(button("Create"))
        await_text("h1", "my-first Unverified")
        assert (
            driver.find_element(By.ID, "url").get_attribute("value")
            == f"{bridge.url}/webhook/my-first"
        )
        assert len(str(driver.find_element(By.ID, "new-secret").get_attribute("value"))) > 40
        click(button("Send a test event"))
        await_text("[role=status]", "The webhook is Verified")
        await_text("h1", "my-first Verified")
    [output] = outputs(conductor.wait_for_status(workflow_id), "wait")
    assert output["repository"]["full_name"] == "acme/shop"
