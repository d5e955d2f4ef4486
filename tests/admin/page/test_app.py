"""The page: what it shows, who may see it, what may change something."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from admin.page.access import COOKIE
from admin.page.app import create_app
from config.webhooks import Problem
from store.records import NewEvent, new_event_id
from store.reports import Reports
from tests.support.sample import Sample, make_sample, settings_for
from worker.misfits import misfits_of

TOKEN = "the-token-of-the-admin-page"
PAGES = ["/", "/events", "/tasks", "/rejections"]


class Html(HTMLParser):
    """What matters of a page: elements, and that each is closed."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open[-1] != tag and self.open[-1] in ("option", "li", "td"):
            self.open.pop()
        assert self.open.pop() == tag


def page(client: FlaskClient, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    Html(answer.text)
    return answer.text


@pytest.fixture
def guarded(sample: Sample) -> FlaskClient:
    """The page, with a token."""
    return create_app(settings_for(sample.folder, bridge_admin_token=TOKEN)).test_client()


# --- what is shown ---


def test_the_overview_begins_with_what_is_wrong(client: FlaskClient) -> None:
    text = page(client, "/")
    wrong, numbers, webhooks = (
        text.index(word)
        for word in ("What is wrong right now", "Events and tasks", "Webhooks</h2>")
    )
    assert wrong < numbers < webhooks
    for part in (
        "1 event failed in the last day",
        "1 waiting task can&#39;t be matched",
        "orders rejected all of its deliveries in the last day (3)",
        "https://hooks.example.com/webhook/github-deploys",
        "Verified",
        'data-label="Accepted" class="number">4',
        "no signing secret",
    ):
        assert part in text


def test_what_is_wrong_is_said_at_once(client: FlaskClient, sample: Sample) -> None:
    sample.store.reports.write(Reports(conductor="connection refused <b>"))
    sample.settings.bridge_webhooks.write_text(
        "webhooks:\n- name: x\n  hold: soon\n", encoding="utf-8"
    )
    text = page(client, "/")
    assert "Conductor can&#39;t be used" in text
    assert "connection refused &lt;b&gt;" in text
    assert "webhooks.yaml:3: webhook x: hold:" in text


def test_all_is_well_is_said(tmp_path: Path) -> None:
    sample = make_sample(tmp_path)
    sample.settings.bridge_webhooks.write_text("webhooks: []", encoding="utf-8")
    with sample.store._connections.transaction() as db:
        for table in ("events", "targets", "tasks", "raw_deliveries", "delivery_counts"):
            db.execute(f"DELETE FROM {table}")
    text = page(create_app(sample.settings).test_client(), "/")
    assert "all well" in text
    assert "No webhooks are defined" in text


def test_the_definitions_errors_of_a_process_are_shown(client: FlaskClient, sample: Sample) -> None:
    sample.store.reports.write(Reports(relay_definitions_error="webhooks.yaml:3: something"))
    assert "The relay found errors in the definitions" in page(client, "/")


def test_the_overview_says_how_many_more_problems_there_really_are(
    client: FlaskClient, sample: Sample
) -> None:
    problems = [
        Problem("a.yaml", 1, "webhook a: starts", f"no workflow w{number}", "do")
        for number in range(170)
    ]
    sample.store.reports.write(Reports(misfits=misfits_of(problems)))
    text = page(client, "/")
    assert "no workflow w19" in text
    assert "no workflow w20" not in text
    assert "and 150 more" in text


@pytest.mark.parametrize("path", ["/rejections", "/deliveries", "/rejections/retry", "/failures"])
def test_a_webhook_that_was_never_there_is_not_found(client: FlaskClient, path: str) -> None:
    assert "did you mean orders?" in page(client, f"{path}?webhook=ordres", 404)


def test_an_event_is_shown_with_targets_and_links_into_conductor(
    client: FlaskClient, sample: Sample
) -> None:
    text = page(client, f"/events/{sample.events['delivered']}")
    assert 'href="https://conductor.example.com/execution/workflow-deploy-main"' in text
    assert 'href="https://conductor.example.com/execution/workflow%2Fstarted%201"' in text
    assert "Completed task wait_for_push of deploy" in text
    assert "&#34;ref&#34;: &#34;refs/heads/main&#34;" in text
    assert "GitHub-Hookshot/1" in text


def test_why_is_on_every_event(client: FlaskClient, sample: Sample) -> None:
    for event_id in sample.events.values():
        text = page(client, f"/events/{event_id}")
        assert "Why did or didn’t it match?" in text
        assert "Replay" in text
    text = page(client, f"/events/{sample.events['pending']}")
    assert "$.ref is &#34;refs/heads/Main&#34;, expected is &#34;refs/heads/dev&#34;" in text
    assert "someone_elses is not a receiver of github-deploys" not in text, "only on request"
    text = page(client, f"/events/{sample.events['pending']}?all=true")
    assert "someone_elses is not a receiver of github-deploys" in text


def test_tasks_are_listed_and_shown(client: FlaskClient, sample: Sample) -> None:
    text = page(client, "/tasks")
    assert "wait_other" in text
    assert "is not a JSONPath" in text
    assert "wait_other" not in page(client, "/tasks?workflow=release")
    text = page(client, "/tasks/task-other")
    assert "Waiting for an event from github-deploys." in text
    assert sample.events["pending"] in text
    for name in sample.tasks:
        if name != "gone":
            page(client, f"/tasks/task-{name}")


def test_rejections_are_shown_with_their_reason(client: FlaskClient) -> None:
    text = page(client, "/rejections")
    assert "the header X-Api-Key is wrong &lt;script&gt;" in text
    assert "203.0.113.9" in text
    assert "203.0.113.9" not in page(client, "/rejections?webhook=slack")


@pytest.mark.parametrize(
    "path", ["/events/nothing", "/tasks/nothing", "/nothing", "/events/%00%ff"]
)
def test_what_is_not_there_is_404(client: FlaskClient, path: str) -> None:
    page(client, path, 404)


def test_a_long_payload_is_cut(client: FlaskClient, sample: Sample) -> None:
    event_id = new_event_id()
    sample.store.deliveries.append(
        [NewEvent(event_id, "orders", 0, '{"a": "' + "x" * 300_000 + '"}', {}, {}, 0)]
    )
    text = page(client, f"/events/{event_id}")
    assert "Only the beginning is shown." in text
    assert len(text) < 150_000


# --- hostile content ---


def test_nothing_of_a_payload_becomes_markup(client: FlaskClient, sample: Sample) -> None:
    for path in (
        f"/events/{sample.events['hostile']}",
        "/events",
        "/",
        "/rejections",
        "/tasks/task-other",
    ):
        answer = client.get(path)
        elements = Html(answer.text).elements
        assert not [tag for tag, _ in elements if tag in ("script", "iframe", "object", "style")]
        for _, attributes in elements:
            assert not [name for name in attributes if name.startswith("on") or name == "style"]
            assert not (attributes.get("href") or "").startswith("javascript:")
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", answer.text)


def test_every_answer_has_the_headers_that_keep_scripts_out(
    client: FlaskClient, sample: Sample
) -> None:
    for path in [
        *PAGES,
        f"/events/{sample.events['hostile']}",
        "/nothing",
        "/static/style.css",
        "/api/events",
    ]:
        with client.get(path) as answer:
            headers = answer.headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert ("no-store" in headers["Cache-Control"]) == (not path.startswith("/static"))


# --- accessible ---


# --- replay ---


def test_another_site_can_search_nothing_and_watch_nothing(client: FlaskClient) -> None:
    foreign = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "no-cors",
        "Sec-Fetch-Dest": "empty",
    }
    for path in ("/events?text=secret", "/api/events?text=secret", "/deliveries/rows", "/"):
        assert client.get(path, headers=foreign).status_code == 403
    assert client.get("/healthz", headers=foreign).json == {"status": "ok"}
    link = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    assert client.get("/events?text=secret", headers=link).status_code == 200


# --- who may see it ---


def test_the_cookie_is_for_no_script_and_this_site_and_over_https_for_https_alone(
    sample: Sample,
) -> None:
    settings = settings_for(sample.folder, bridge_admin_token=TOKEN, bridge_trusted_proxies=1)
    client = create_app(settings).test_client()
    for scheme in ("http", "https"):
        answer = client.post("/login", data={"token": TOKEN}, headers={"X-Forwarded-Proto": scheme})
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith(f"{COOKIE}=")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert ("Secure" in cookie) == (scheme == "https")
        assert TOKEN not in cookie


@pytest.mark.parametrize(
    "then",
    [
        "//evil.example.com",
        "https://evil.example.com",
        "/\\evil.example.com",
        "javascript:x",
        "",
        "/a\nb",
    ],
)
def test_after_the_log_in_nobody_is_led_elsewhere(guarded: FlaskClient, then: str) -> None:
    answer = guarded.post("/login", data={"token": TOKEN, "next": then})
    assert answer.headers["Location"] == "/"


# --- the store ---


def test_a_store_that_cannot_be_used_is_a_page_and_comes_back(
    sample: Sample, tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be", encoding="utf-8")
    client = create_app(
        settings_for(sample.folder, bridge_database=f"sqlite:///{blocked}/bridge.db")
    ).test_client()
    assert "The store can&#39;t be used now" in page(client, "/", 503)
    assert client.get("/api/events").status_code == 503
    blocked.unlink()
    page(client, "/")


def test_a_bug_is_a_page_without_details(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("inner secret")

    monkeypatch.setattr("admin.page.pages.find_issues", fail)
    assert "inner secret" not in page(client, "/", 500)


def test_an_events_page_is_loaded_again_until_it_is_settled_for_whoever_follows_it(
    client: FlaskClient, sample: Sample
) -> None:
    pending, delivered = sample.events["pending"], sample.events["delivered"]
    assert client.get(f"/events/{pending}?follow=1").headers["Refresh"] == "2"
    assert "Refresh" not in client.get(f"/events/{pending}").headers
    settled = client.get(f"/events/{delivered}?follow=1")
    assert "Refresh" not in settled.headers
    assert '<p role="status" class="notice"><b>delivered</b>' in settled.get_data(as_text=True)
