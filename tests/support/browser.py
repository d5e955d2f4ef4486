"""The admin page in real Chromium: for the browser's tests and the documentation's pictures.

``python -m tests.support.browser`` writes the pictures into docs/images/.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from flask import Flask
from selenium.common.exceptions import (
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
    WebDriverException,
)
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from werkzeug.serving import make_server

from admin.page.app import create_app
from config.settings import Settings
from store.sql.event_search import EventFilter
from tests.support.answers_of_conductor import standing_in
from tests.support.sample import Sample, settings_for
from tests.support.traffic import make_traffic
from tools.servers import PATIENCE

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--in-process-gpu",  # a process of its own takes a seventh of all processor time, most of it to hand things over
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--hide-scrollbars",
)


def missing() -> str | None:
    """What a browser test lacks on this machine, or None."""
    if not (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    ):
        return "no Chromium: apt-get install chromium chromium-driver"
    if not shutil.which("chromedriver"):
        return "no chromedriver: apt-get install chromium-driver"
    return None


MARKS = (
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    # selenium leaves its sockets to the garbage collector
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),
)
"""Of every module that tests in a browser."""


def await_true(driver: Chrome, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Waits until the page that a click or key leads to is there."""

    def is_there(_: Chrome) -> bool:
        try:
            return bool(condition())
        except (NoSuchElementException, StaleElementReferenceException):
            return False
        except WebDriverException as error:
            # As chromedriver tells of some stale elements.
            if "does not belong to the document" not in str(error.msg):
                raise
            return False

    try:
        WebDriverWait(driver, seconds, poll_frequency=0.05).until(is_there)
    except TimeoutException:
        focused = driver.switch_to.active_element.get_attribute("outerHTML")
        raise AssertionError(
            f"{driver.current_url}, focus on {focused}:\n{driver.page_source}"
        ) from None


@contextmanager
def browser() -> Iterator[Chrome]:
    """A fresh, headless Chromium."""
    with tempfile.TemporaryDirectory(
        prefix="bridge-chromium-", ignore_cleanup_errors=True
    ) as profile:
        options = Options()
        options.binary_location = next(
            filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
        )
        for argument in (*_ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
        driver.set_page_load_timeout(PATIENCE)
        driver.set_script_timeout(PATIENCE)
        try:
            yield driver
        finally:
            driver.quit()


class Kept:
    """A Chromium that is there from the first time that it is asked for until it is ended."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._driver: Chrome | None = None

    def get(self) -> Chrome:
        if self._driver is None:
            self._driver = self._stack.enter_context(browser())
        return self._driver

    def end(self) -> None:
        self._driver = None
        self._stack.close()


KEPT = Kept()


_STOP_TABBING_AT = """
const [wanted] = arguments;
const hasFocus = () => {
  const focused = document.activeElement, labels = [...(focused.labels ?? [])].map(label => label.innerText);
  const names = [focused.id, focused.name, focused.ariaLabel, focused.innerText, ...labels];
  return names.some(name => (name ?? "").trim() === wanted);
};
const stop = event => { if (event.key === "Tab" && hasFocus()) event.preventDefault(); };
document.addEventListener("keydown", stop, true);
window.isTabbedTo = () => {
  if (!hasFocus()) return false;
  document.removeEventListener("keydown", stop, true);
  return true;
};
"""
"""Once what is wanted has the focus, further Tabs have no effect: so many can be pressed at a
time."""


def tab_to(driver: Chrome, name: str) -> WebElement:
    """Presses Tab, as people do who have no mouse, until what has the focus has this id, name,
    label or text."""
    driver.execute_script(_STOP_TABBING_AT, name)
    for _ in range(15):
        if driver.execute_script("return window.isTabbedTo()"):
            return driver.switch_to.active_element
        ActionChains(driver).send_keys(Keys.TAB * 10).perform()
    raise AssertionError(f"Tab doesn't lead to {name}")


def forget(driver: Chrome) -> None:
    """Leaves nothing of what was done in it: pages, cookies, its size and colours, and what was
    logged."""
    first, *others = driver.window_handles
    for window in others:
        driver.switch_to.window(window)
        driver.close()
    driver.switch_to.window(first)
    driver.get("about:blank")
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    driver.get_log("browser")


@contextmanager
def serving(sample: Sample, token: str | None = None) -> Iterator[str]:
    """The page of the sample on this machine; gives its URL."""
    with serving_page(settings_for(sample.folder, bridge_admin_token=token)) as url:
        yield url


@contextmanager
def serving_app(app: Flask, port: int = 0) -> Iterator[str]:
    """The app on a free port unless told otherwise; gives its URL."""
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://localhost:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving_page(settings: Settings, port: int = 0) -> Iterator[str]:
    """The page with these settings, as `serving_app` does."""
    app = create_app(settings)
    with serving_app(app, port) as url:
        yield url


def resize(driver: Chrome, width: int, height: int, scale: float = 1) -> None:
    """The window's size in CSS pixels; below 600 it is a phone's."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def _waits(name: str, **matches: object) -> dict[str, object]:
    criteria = {f"$.{path.replace('__', '.')}": value for path, value in matches.items()}
    inputs = {"matches": criteria}
    return {"type": "WAIT_FOR_WEBHOOK", "taskReferenceName": name, "inputParameters": inputs}


def save_pictures(driver: Chrome, folder: Path, hours: int = 168) -> None:
    """Writes overview.png, explain.png, new.png, webhook.png and phone.png, of a bridge with this
    many hours of traffic."""
    folder.mkdir(parents=True, exist_ok=True)
    folder, before = folder.absolute(), Path.cwd()
    with tempfile.TemporaryDirectory() as work, standing_in() as conductor:
        conductor.has(
            "build", "checkout", "deploy", "fulfilment", "new_lead", "new_order", "release"
        )
        conductor.defines("deploy", _waits("wait_for_push", repository__full_name="acme/shop"))
        conductor.defines("checkout", _waits("wait_for_payment", type="", data__object__id=""))
        conductor.defines("fulfilment", _waits("wait_for_shipping", order=1, state="shipped"))
        conductor.defines("release", _waits("wait_for_tag", ref_type="tag"))
        os.chdir(work)  # so that the pictures tell of config/webhooks.yaml
        Path("config").mkdir()
        given = {
            "bridge_webhooks": Path("config"),
            "bridge_admin_writes": True,
            "conductor_server_url": conductor.url,
        }
        sample = make_traffic(Path("config"), hours, **given)
        [held, *_] = sample.store.queries.events(EventFilter("warehouse", "pending"))
        with serving_page(sample.settings) as url:
            driver.get(f"{url}/webhooks/warehouse")  # from here on it knows the reader's zone
            for name, path, width, height in (
                ("overview", "/", 1440, 1240),
                ("explain", f"/events/{held.id}", 1440, 1000),
                ("new", "/new?platform=github", 1440, 1240),
                ("webhook", "/webhooks/github-deploys", 1440, 1240),
                ("phone", "/", 390, 1100),
            ):
                resize(driver, width, height, 2 if width < 600 else 1)
                driver.get(url + path)
                driver.save_screenshot(str(folder / f"{name}.png"))
                print(folder / f"{name}.png")
        sample.store.close()
        os.chdir(before)


if __name__ == "__main__":
    if problem := missing():
        sys.exit(problem)
    with browser() as opened:
        save_pictures(opened, Path("docs/images"))
