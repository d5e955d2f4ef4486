"""The form of a webhook in a real browser: every kind of proof and setting, by keyboard, and
nothing lost by Edit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from config.webhooks import load_definitions
from platforms import PLATFORMS
from tests.support import browser
from tests.support.browser import await_true, tab_to
from tests.support.sample import settings_for

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [*browser.MARKS]

WRITTEN = """\
# The partners team owns this.
webhooks:
  - name: partner
    signature:
      secret: a-secret-of-the-partner-0123   # rotated in May
      header: X-Partner-Signature
      key_encoding: text
      format: "t={timestamp},v1={signature}"
      # both parts, with a line break between them
      signed: "{timestamp}\\n{body}"
    receivers: {settlement: any}
    split: $.items   # Graph sends batches
    listen: true
    respond: {status: 202, body: "thanks"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "webhooks"
    folder.mkdir()
    return folder


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    settings = settings_for(folder.parent, bridge_webhooks=folder, bridge_admin_writes=True)
    with browser.serving_page(settings) as url:
        yield url


def defined(folder: Path) -> dict[str, Any]:
    return dict(load_definitions(folder, PLATFORMS, {}, may_be_empty=True).by_name)


def test_a_token_with_a_schema_and_an_input_by_keyboard_alone(
    driver: Chrome, url: str, folder: Path
) -> None:
    (folder / "order.schema.json").write_text("{}")
    driver.get(f"{url}/new?platform=custom")
    tab_to(driver, "a bearer token (JWT) of an issuer").send_keys(Keys.ENTER)
    await_true(driver, lambda: "issuer: " in driver.find_element(By.ID, "more").text)
    assert not driver.find_elements(By.ID, "secret")
    tab_to(driver, "name").send_keys("orders")
    more = tab_to(driver, "more")
    more.clear()
    starts = "starts: [{workflow: order_flow, input: {id: $.order.id}}]\nschema: order.schema.json"
    more.send_keys(f"jwt: {{issuer: 'http://login.example.com', audience: hooks}}\n{starts}")
    tab_to(driver, "Create").send_keys(Keys.ENTER)
    await_true(driver, lambda: driver.find_elements(By.ID, "more-error"))
    assert "jwt.issuer: " in driver.find_element(By.ID, "more-error").text
    # The mistake has the focus.
    await_true(driver, lambda: driver.switch_to.active_element.get_attribute("id") == "more")
    more = driver.switch_to.active_element
    more.clear()
    more.send_keys(f"jwt: {{issuer: 'https://login.example.com', audience: hooks}}\n{starts}")
    tab_to(driver, "Create").send_keys(Keys.ENTER)
    await_true(driver, lambda: "/webhooks/orders" in driver.current_url)
    made = defined(folder)["orders"]
    assert (made.jwt.issuer, made.payload_schema.file) == (
        "https://login.example.com",
        "order.schema.json",
    )
    assert made.starts[0].input == {"id": "$.order.id"}


def test_callback_urls_by_keyboard_alone(driver: Chrome, url: str, folder: Path) -> None:
    driver.get(f"{url}/new?platform=custom&proof=callback")
    assert not driver.find_elements(By.ID, "header")
    tab_to(driver, "name").send_keys("approvals")
    tab_to(driver, "receiver").send_keys("order_flow")
    tab_to(driver, "more").send_keys(Keys.CONTROL, Keys.HOME)
    driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN, "  query: [decision]\n")
    tab_to(driver, "Create").send_keys(Keys.ENTER)
    await_true(driver, lambda: "/webhooks/approvals" in driver.current_url)
    assert not driver.find_elements(By.ID, "new-secret"), "its secret is entered nowhere"
    [old] = defined(folder)["approvals"].callback.secret
    tab_to(driver, "Rotate").send_keys(Keys.ENTER)
    await_true(driver, lambda: "New URLs are signed with the new one" in driver.page_source)
    callback = defined(folder)["approvals"].callback
    assert (len(callback.secret), callback.secret[1], callback.query) == (2, old, ("decision",))
    tab_to(driver, "Remove the old secret").send_keys(Keys.ENTER)
    await_true(driver, lambda: len(defined(folder)["approvals"].callback.secret) == 1)


def test_edit_hides_the_secret_and_changes_only_what_was_typed(
    driver: Chrome, url: str, folder: Path
) -> None:
    (folder / "partner.yaml").write_text(WRITTEN)
    browser.resize(driver, 390, 844)
    driver.get(f"{url}/webhooks/partner/edit")
    assert "a-secret-of-the-partner" not in driver.page_source
    tab_to(driver, "Save").send_keys(Keys.ENTER)
    await_true(driver, lambda: driver.current_url.endswith("/webhooks/partner"))
    assert (folder / "partner.yaml").read_text() == WRITTEN, "nothing was changed"
    driver.get(f"{url}/webhooks/partner/edit")
    tab_to(driver, "yaml-text").send_keys(Keys.CONTROL, Keys.END)
    driver.switch_to.active_element.send_keys("keep_rejected: many")
    tab_to(driver, "Save").send_keys(Keys.ENTER)
    await_true(driver, lambda: driver.find_elements(By.CSS_SELECTOR, "[role=alert]"))
    # The message has the focus.
    await_true(driver, lambda: "keep_rejected" in driver.switch_to.active_element.text)
    tab_to(driver, "yaml-text").send_keys(Keys.CONTROL, Keys.END)
    driver.switch_to.active_element.send_keys(*[Keys.BACKSPACE] * len("many\n"), "50")
    tab_to(driver, "Save").send_keys(Keys.ENTER)
    await_true(driver, lambda: driver.current_url.endswith("/webhooks/partner"))
    assert (folder / "partner.yaml").read_text() == WRITTEN + "    keep_rejected: 50\n"
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
