"""Conductor's workflows in a real browser: chosen from thousands, run, and followed to the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support import browser
from tests.support.answers_of_conductor import StandIn, standing_in
from tests.support.browser import await_true, tab_to
from tests.support.sample import settings_for

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [*browser.MARKS, pytest.mark.usefixtures("patient_forms")]

DEFINITIONS = "webhooks: [{name: deploys, verifier: none, receivers: {flow_1234: any}}]\n"


@pytest.fixture(scope="module")
def conductor() -> Iterator[StandIn]:
    with standing_in() as stand_in:
        stand_in.has(*(f"flow_{number}" for number in range(5000)), versions=(1, 2))
        yield stand_in


@pytest.fixture
def url(tmp_path: Path, conductor: StandIn) -> Iterator[str]:
    folder = tmp_path / "webhooks"
    folder.mkdir()
    (folder / "deploys.yaml").write_text(DEFINITIONS, encoding="utf-8")
    settings = settings_for(
        tmp_path,
        bridge_webhooks=folder,
        bridge_admin_writes=True,
        conductor_server_url=conductor.url,
    )
    with browser.serving_page(settings) as url:
        yield url


def test_a_receiver_is_chosen_from_five_thousand_by_keyboard(driver: Chrome, url: str) -> None:
    driver.get(f"{url}/new?platform=github")
    assert len(driver.find_elements(By.CSS_SELECTOR, "#workflows option")) == 5000
    field = driver.find_element(By.ID, "receiver")
    assert driver.execute_script("return arguments[0].list.id", field) == "workflows"
    field.send_keys("flow_4711")
    field.send_keys(": 2")
    tab_to(driver, "Check").send_keys(Keys.ENTER)
    await_true(
        driver,
        lambda: driver.find_element(By.CSS_SELECTOR, "input[value='flow_4711: 2']").is_selected(),
    )


def test_enter_checks_and_the_first_mistake_has_the_focus(driver: Chrome, url: str) -> None:
    driver.get(f"{url}/new?platform=github")
    secret = driver.find_element(By.NAME, "secret").get_attribute("value")
    driver.find_element(By.ID, "receiver").send_keys("flow_1")
    name = driver.find_element(By.NAME, "name")
    assert name.get_attribute("value") == "github", "a name to begin with"
    name.clear()
    name.send_keys("no spaces", Keys.ENTER)
    await_true(driver, lambda: driver.find_elements(By.ID, "name-error"))
    await_true(driver, lambda: driver.switch_to.active_element.get_attribute("id") == "name")
    name = driver.switch_to.active_element
    name.clear()
    name.send_keys("orders", Keys.ENTER)
    await_true(driver, lambda: "No mistakes" in driver.find_element(By.TAG_NAME, "main").text)
    tab_to(driver, "Create").send_keys(Keys.ENTER)
    await_true(driver, lambda: driver.find_elements(By.ID, "new-secret"))
    assert driver.find_element(By.ID, "new-secret").get_attribute("value") == secret
    assert "/webhooks/orders" in driver.current_url
    driver.refresh()
    assert driver.find_element(By.TAG_NAME, "h1").text.startswith("orders"), (
        "nothing is posted again"
    )
    assert secret not in driver.page_source, "it is shown once"


def test_a_workflow_is_run_and_the_page_leads_to_it(
    driver: Chrome, url: str, conductor: StandIn
) -> None:
    inputs: list[Any] = []

    def start(body: Any) -> tuple[int, Any]:
        inputs.append(body["input"])
        return 200, "w-1"

    conductor.answers["/api/workflow"] = start
    driver.get(f"{url}/webhooks/deploys")
    driver.find_element(By.ID, "run").click()
    driver.find_element(By.ID, "input").send_keys('{"n": 1}')
    driver.find_element(By.XPATH, "//button[text()='Run workflow']").click()
    await_true(
        driver,
        lambda: driver.find_elements(By.CSS_SELECTOR, "[role=status] a[href$='/execution/w-1']"),
    )
    assert inputs == [{"n": 1}]
