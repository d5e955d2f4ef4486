"""Every page is accessible, in the light and in the dark, on a screen and on a phone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")

from relay.callbacks.tokens import Address, make_token
from tests.admin.page import axe
from tests.support import browser
from tests.support.relay import Relay
from tests.support.sample import Sample, keep_refused, make_sample

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [*browser.MARKS, pytest.mark.slow(20)]

CALLBACK_SECRET = "a-secret-of-24-characters"

PARTNER = """\
webhooks:
  - name: partner
    signature: {secret: a-secret-of-the-partner-0123, header: X-Signature}
    jwt: {issuer: https://login.example.com, audience: hooks}
    mtls: {header: X-DN, subject: "CN=partner"}
    challenge: {name: token, answer: json}
    starts: [{workflow: settlement, input: {id: $.id}}]
    split: $.items
    hold: 1m
    listen: true
  - name: approvals
    callback: {secret: [a-secret-of-the-approvals-0123, an-older-secret-0123456], tasks: [approve], query: [decision]}
    receivers: {order_flow: any}
"""
"""Webhooks whose forms have all their fields, and their sections open."""


@pytest.fixture(scope="module")
def checker() -> str:
    script, why = axe.script()
    if script is None:
        pytest.skip(why)
    return script


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    folder = tmp_path_factory.mktemp("bridge")
    sample = make_sample(folder, bridge_webhooks=folder, bridge_admin_writes=True)
    sample.store.without_events.record(
        [], {("github-deploys", "accepted"): 7, ("github-deploys", "rejected"): 2}
    )
    sample.events["rejected delivery"] = keep_refused(sample)
    (folder / "partner.yaml").write_text(PARTNER, encoding="utf-8")
    yield sample
    sample.store.close()


def paths(sample: Sample) -> list[str]:
    return [
        "/",
        "/events",
        "/deliveries",
        "/events?status=odd",
        "/events?text=e&where=$..ref=x",
        "/failures",
        "/replay?status=failed",
        f"/events/{sample.events['pending']}?paths=$.ref",
        f"/events/{sample.events['pending']}/compare",
        f"/events/{sample.events['refused']}",
        f"/events/{sample.events['delivered']}",
        "/acknowledge?status=failed",
        "/reopen?status=failed",
        "/webhooks/github-deploys/try?kind=when&path=$.ref&value=1&path=$[&value=",
        f"/webhooks/github-deploys/try?of={sample.events['pending']}&path=$.ref&value=refs/heads/main",
        f"/webhooks/github-deploys/send?event={sample.events['pending']}",
        "/webhooks/slack/send",
        "/webhooks/github-deploys/try?kind=once&path=$.ref",
        "/tasks",
        "/tasks/task-other",
        "/rejections",
        f"/rejections/{sample.events['rejected delivery']}",
        "/rejections/retry?webhook=github-deploys",
        "/changes",
        "/new",
        "/new?platform=github",
        "/new?platform=custom",
        "/new?platform=facebook",
        "/new?platform=aws-sns",
        "/webhooks/github-deploys",
        "/webhooks/github-deploys/edit",
        "/webhooks/partner",
        "/webhooks/partner/edit",
        "/webhooks/approvals",
        "/webhooks/approvals/edit",
        "/webhooks/github-deploys/delete",
        "/webhooks/nothing",
    ]


def test_every_page_is_accessible_and_fits(driver: Chrome, sample: Sample, checker: str) -> None:
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    with browser.serving_page(sample.settings) as url:
        for path in paths(sample):
            driver.get(url + path)
            found |= {(path, how): wrong for how, wrong in axe.faults(driver, checker).items()}
    assert found == {}


@pytest.fixture
def relay(tmp_path_factory: pytest.TempPathFactory) -> Relay:
    callback = {"secret": CALLBACK_SECRET, "query": ["decision", "note"]}
    only = {"$.decision": {"$in": ["yes", "no"]}}
    return Relay(
        tmp_path_factory.mktemp("relay"),
        [{"name": "approvals", "callback": callback, "only": only}],
    )


def link(task: str, query: str = "decision=yes&note=" + "n" * 300, lasts: int = 3600) -> str:
    """The path of a link, as somebody gets it by mail."""
    address = Address("7d0c3a30-1111-4222-8333-444444444444", task)
    made_at = int(time.time() * 1000)
    token = make_token("approvals", CALLBACK_SECRET, address, made_at // 1000 + lasts, made_at)
    return f"/webhook/approvals/{token}?{query}"


def test_the_pages_that_a_callbacks_link_shows_are_accessible_and_fit(
    driver: Chrome, relay: Relay, checker: str
) -> None:
    steps = [
        ("Please confirm", link("approve"), False),
        ("Received", link("approve"), True),
        ("This link has been used", link("approve"), False),
        ("This link has expired", link("approve", lasts=0), False),
        ("Nothing was done", link("other", "decision=maybe"), True),
        ("Nothing was done", link("other", "decision=%00"), False),
    ]
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    with browser.serving_app(relay.app) as url:
        for title, path, is_confirmed in steps:
            driver.get(url + path)
            if is_confirmed:
                driver.find_element("tag name", "button").click()
                browser.await_true(driver, lambda: driver.title != "Please confirm")
            assert driver.title == title
            found |= {(title, how): wrong for how, wrong in axe.faults(driver, checker).items()}
    assert found == {}
