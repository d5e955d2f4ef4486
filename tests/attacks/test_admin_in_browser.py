"""Hostile text in every field that a stranger or a workflow controls, looked at in a real browser:
none of it acts."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.support.deciding import adopt
from tests.support.deciding import decide as decide_all

pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")

from selenium.webdriver.common.by import By

from relay.app import create_app as create_relay
from store.delivery_records import WithoutEvent
from store.records import Change, Decision, NewTarget, Result, SetAside, Task, Term
from store.reports import Reports
from tests.support import browser
from tests.support.sample import Sample, make_sample

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [*browser.MARKS]

ATTACKS = (
    "<script>document.title='owned'</script>",
    "\"'><img src=x onerror=document.title='owned'>",
    "</title></pre></option></textarea></svg><svg onload=document.title='owned'>",
    "{{ 7777*7 }}{% raw %}${7777*7}",
    "javascript:document.title='owned'",
    "\u202egnp.exe\u2066\x1b]0;owned\x07",
)
ALL = " ".join(ATTACKS)
_ACTS_ON_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


def attacked(sample: Sample) -> list[str]:
    """Puts the attacks into every field; the pages that show them."""
    store, now = sample.store, int(time.time() * 1000)
    sample.settings.bridge_webhooks.write_text(
        sample.settings.bridge_webhooks.read_text()
        + "  - {name: open, verifier: none, receivers: {flow: any}, dedup: {header: X-Id}, only: {$.let: in}}\n"
        "  - {name: shut, headers: {X-Key: a-value-of-more-than-16-characters}, receivers: {flow: any}}\n"
    )
    ascii_attack = (
        ALL.encode("ascii", "backslashreplace").decode().replace("\x1b", "").replace("\x07", "")
    )
    relay = create_relay(sample.settings)
    client = relay.test_client()
    headers = {"X-Evil": ascii_attack, "X-Id": ascii_attack, "User-Agent": ascii_attack}
    accepted = client.post(
        f"/webhook/open?{quote(ALL)}={quote(ALL)}",
        json={"let": "in", ALL: ALL, "list": [ALL]},
        headers=headers,
    )
    assert accepted.status_code == 200
    assert client.post("/webhook/open", json={"let": ALL}, headers=headers).get_json() == {
        "filtered": True
    }
    assert (
        client.post("/webhook/shut", json={"let": ALL}, headers={"X-Key": ascii_attack}).status_code
        == 401
    )
    assert (
        client.post("/webhook/open", data=f'{{"{ALL}"', content_type="application/json").status_code
        == 400
    )
    relay.extensions["relay"].outcomes.flush()
    store.without_events.record(
        [
            WithoutEvent("shut", now, 401, ALL, ALL, ALL),
            WithoutEvent(ALL, now, 200, ALL, kind="filtered"),
        ],
        {},
    )
    event_id = accepted.get_json()["eventId"]
    assert store.leadership.elect("sample", 10**9)
    tasks = [
        Task("hostile-task", ALL, "flow", ALL, {"$.let": "in", f"$['{ATTACKS[0]}']": ALL}, 0),
        Task("hostile-name", "w", ALL, ALL, {"$[": ALL}, 0, broken=ALL),
    ]
    adopt(store, Term("sample"), tasks, now)
    new = (
        NewTarget("complete", "flow", ALL, "hostile-task", ALL),
        NewTarget("start", ALL, correlation_id=ALL),
    )
    claimed = decide_all(store, Term("sample"), [Decision(event_id, "pending", "no", new)], now, 9)
    store.claims.record_results(
        "sample", [Result(target, "failed", ALL, ALL) for target in claimed], now
    )
    store.changes.record(Change(now, ALL, ALL, ALL, ALL))
    store.quarantine.set_aside(
        [
            SetAside(kind, f"{kind}-{ALL}", ALL, ALL, now, 1, now)
            for kind in ("event", "task", "workflow")
        ]
    )
    store.reports.write(Reports(conductor=ALL))
    store.reports.write(Reports(missing_calls=ALL))
    store.reports.write(Reports(relay_definitions_error=ALL))
    text = quote(ALL, safe="")
    return [
        "/",
        "/events",
        f"/events?text={text}&webhook={text}",
        f"/events/{event_id}?paths={text}",
        f"/events/{text}",
        "/tasks",
        f"/tasks?workflow={text}",
        "/tasks/hostile-task",
        "/tasks/hostile-name",
        "/rejections",
        f"/rejections?webhook={text}",
        "/rejections?filtered=true",
        "/webhooks/open",
        f"/webhooks/{text}",
        "/changes",
        f"/replay?text={text}",
    ]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    sample = make_sample(tmp_path_factory.mktemp("bridge"))
    yield sample
    sample.store.close()


def test_nothing_that_a_stranger_sent_acts_on_any_page(driver: Chrome, sample: Sample) -> None:
    pages = attacked(sample)
    with browser.serving(sample) as url:
        seen = ""
        for path in pages:
            driver.get_log("browser")
            driver.get(url + path)
            assert "owned" not in driver.title or "<" in driver.title or "\\x1b" in driver.title, (
                path
            )
            assert driver.title.endswith("Webhook Bridge"), path
            acting = (
                "script:not([src$='/static/page.js']), iframe, object, embed, base, img[onerror]"
            )
            assert driver.find_elements(By.CSS_SELECTOR, acting) == [], path
            assert (
                driver.find_elements(By.CSS_SELECTOR, "[href^='javascript'], svg[onload]") == []
            ), path
            fetched = driver.execute_script(
                "return performance.getEntriesByType('resource').map(entry => entry.name)"
            )
            assert all(name.startswith(url) for name in fetched), path
            text = driver.find_element(By.TAG_NAME, "body").text
            for field in driver.find_elements(By.TAG_NAME, "textarea"):  # holds what its user typed
                text = text.replace(field.text, "") if field.text else text
            acts = _ACTS_ON_TEXT.search(driver.title + text)
            assert acts is None, (path, (driver.title + text)[acts.start() - 80 : acts.end() + 20])
            # A page that isn't there is logged as such; a script that the policy stopped would be
            # too.
            logged = [
                entry["message"]
                for entry in driver.get_log("browser")
                if entry["level"] == "SEVERE"
            ]
            assert [
                message for message in logged if "404" not in message and "400" not in message
            ] == [], path
            seen += text
    assert seen.count("<script>document.title='owned'</script>") > 10, (
        "it is shown, as the text that it is"
    )
    assert "{{ 7777*7 }}" in seen
    assert "54439" not in seen, "no template of ours or the browser's evaluated it"
