"""Deliveries that people edit on the page: sent as the platform would send them, and saved by
name."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from admin.events.deliveries import LARGEST, MOST, written
from admin.page import webhooks
from admin.page.app import create_app
from platforms.verifiers import Draft
from relay.app import create_app as create_relay
from store.delivery_records import RawDelivery
from store.open import open_store
from store.records import Change, NewEvent, new_event_id
from tests.support.sample import settings_for

SECRET = "a-secret-of-more-than-sixteen-characters"
DEFINITIONS = f"""\
webhooks:
  - name: deploys
    platform: github
    secret: {SECRET}
    receivers: {{deploy: any}}
  - name: pay
    signature: {{secret: {SECRET}, header: X-Sig}}
    hide: [$.card, "$._webhook.headers['x-user']", $._webhook.query.pin]
    receivers: {{flow: any}}
"""
CARD = "4999-1234"
PUSH = {"ref": "refs/heads/main", "after": "a94f7be2103c58d6e0f17b2c4d9e86351f0c7ad8", "size": 1.0}


class Sender:
    """The page of some webhooks, whose relay is reached without a network."""

    def __init__(self, folder: Path, **more: Any):
        (folder / "webhooks.yaml").write_text(DEFINITIONS)
        os.utime(folder / "webhooks.yaml", (1, 1))  # long ago, so that its relay has read it
        self.settings = settings_for(folder, **more)
        self.store = open_store(self.settings.bridge_database)
        self.client: FlaskClient = create_app(self.settings).test_client()
        self.posted: list[Draft] = []

    def post(self, url: str, draft: Draft, wait: float) -> Any:
        self.posted.append(draft)
        client = create_relay(self.settings).test_client()
        path = url.removeprefix("https://hooks.example.com")
        answer = client.open(path, method=draft.method, data=draft.body, headers=draft.headers)
        return webhooks.Answer(answer.status_code, answer.data)

    def act(self, webhook: str = "deploys", do: str = "send", **form: Any) -> TestResponse:
        given = {"method": "POST", "do": do, **form}
        answer = self.client.post(
            f"/webhooks/{webhook}/send", data=given, content_type="multipart/form-data"
        )
        return self.client.get(answer.headers["Location"]) if answer.status_code == 303 else answer

    def arrived(self, payload: Any, webhook: str = "deploys", **headers: str) -> str:
        event_id = new_event_id()
        self.store.deliveries.append(
            [
                NewEvent(
                    event_id,
                    webhook,
                    1,
                    json.dumps(payload),
                    headers,
                    {"pin": CARD, "a": "b"},
                    2,
                    None,
                )
            ]
        )
        return event_id

    def body(self, page: TestResponse) -> str:
        found = re.search(r'<textarea name="body"[^>]*>\n(.*?)</textarea>', page.text, re.DOTALL)
        assert found
        return unescape(found[1])


@pytest.fixture
def sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    sender = Sender(tmp_path)
    monkeypatch.setattr(webhooks, "post", sender.post)
    yield sender
    sender.store.close()


def test_an_event_is_edited_and_sent_as_another_delivery_and_leads_to_its_event(
    sender: Sender,
) -> None:
    event_id = sender.arrived(
        PUSH, **{"x-github-event": "push", "x-github-delivery": "11111111-aaaa"}
    )
    page = sender.client.get(f"/webhooks/deploys/send?event={event_id}")
    assert json.loads(sender.body(page)) == PUSH
    assert "no duplicate: x-github-delivery, $.after" in page.text
    body = sender.body(page).replace("main", "dev")
    headers = "X-GitHub-Event: push\r\nX-GitHub-Delivery: 11111111-aaaa"
    answers = [sender.act(body=body, headers=headers, renew="yes").text for _ in range(2)]
    became = r'It became event <a class="id" href="/events/([\w-]+)\?follow=1"'
    events = [re.search(became, answer) for answer in answers]
    assert all(events)
    assert events[0] != events[1]
    event = sender.store.queries.event(events[0][1] if events[0] else "")
    assert event is not None
    payload = json.loads(event.payload)
    assert (payload["ref"], payload["size"]) == ("refs/heads/dev", 1.0)
    assert payload["after"] != PUSH["after"]
    assert '"size": 1.0' in event.payload
    assert event.headers["x-github-delivery"] != "11111111-aaaa"
    (change, *_) = sender.store.changes.newest("deploys")
    assert change == Change(change.at, "local", "sent a delivery to", "deploys", "200 OK")


def test_the_same_again_is_said_to_be_a_duplicate_and_names_the_event_it_repeats(
    sender: Sender,
) -> None:
    first = sender.act(body=json.dumps(PUSH)).text
    again = sender.act(body=json.dumps(PUSH)).text
    assert "It became event" in first
    assert "It is a duplicate" in again
    event = r'href="/events/([\w-]+)\?follow=1"'
    assert re.findall(event, again) == re.findall(event, first)
    assert "It repeats event" in again


def test_a_line_that_is_no_header_is_named_and_nothing_typed_is_lost(sender: Sender) -> None:
    answer = sender.act(body="{}", headers="X-A: 1\nno header\nX-B: 2")
    assert answer.status_code == 422
    assert "no header is not a header" in answer.text
    assert (
        "X-A: 1\r\nno header\r\nX-B: 2" in unescape(answer.text)
        or "X-A: 1\nno header\nX-B: 2" in answer.text
    )
    assert sender.posted == []


def test_what_proves_it_is_never_what_was_typed(sender: Sender) -> None:
    sender.act(
        body='{"a": 1}',
        headers="x-hub-signature-256: sha256=00\nHost: elsewhere\nContent-Length: 9",
    )
    (draft,) = sender.posted
    assert sorted(draft.headers) == ["Content-Type", "X-Hub-Signature-256"]
    assert draft.headers["X-Hub-Signature-256"] != "sha256=00"


def test_a_delivery_is_saved_begun_with_sent_and_deleted(sender: Sender) -> None:
    headers = "X-GitHub-Event: push\nX-Hub-Signature-256: x\nAuthorization: Basic abc\nX-Access-Token: abc"
    page = sender.act(
        do="save", save_as="to 'main'", body=json.dumps(PUSH), headers=headers, query="a=1"
    )
    assert "saved</b> as to &#39;main&#39;" in page.text
    assert "not saved: Authorization, X-Access-Token, X-Hub-Signature-256" in page.text
    assert "--saved &#39;to &#39;&#34;&#39;&#34;&#39;main&#39;" in page.text
    (saved,) = sender.store.raw_deliveries.saved("deploys")
    assert (saved.headers, saved.query, json.loads(saved.body)) == (
        {"X-GitHub-Event": "push"},
        "a=1",
        PUSH,
    )
    page = sender.client.get("/webhooks/deploys/send", query_string={"saved": "to 'main'"})
    assert json.loads(sender.body(page)) == PUSH
    sender.act(do="delete", saved="to 'main'")
    assert sender.store.raw_deliveries.saved("deploys") == []
    assert sender.client.get("/webhooks/deploys/send?saved=gone").status_code == 404
    assert [one.what for one in sender.store.changes.newest("deploys")] == [
        "deleted a saved delivery to",
        "saved a delivery to",
    ]


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"save_as": ""}, "give a name"),
        ({"save_as": "a" * 61}, "give a name"),
        ({"save_as": "a\u202eb"}, "give a name"),
        ({"save_as": "a", "body": json.dumps("a" * LARGEST)}, "isn&#39;t saved"),
        (
            {"save_as": "a", "body": json.dumps({"a": f"x{SECRET}"})},
            "one of the webhook&#39;s secrets is in it",
        ),
        (
            {"save_as": "a", "body": "{}", "query": f"a={SECRET}"},
            "one of the webhook&#39;s secrets is in it",
        ),
        (
            {"save_as": "a", "body": "{}", "headers": f"X-Other: {SECRET}"},
            "one of the webhook&#39;s secrets is in it",
        ),
    ],
)
def test_what_may_not_be_saved_is_not(sender: Sender, form: dict[str, str], why: str) -> None:
    answer = sender.act(do="save", **{"body": "{}", **form})
    assert answer.status_code == 422
    assert why in answer.text
    assert sender.store.raw_deliveries.saved("deploys") == []


def test_only_so_many_are_saved(sender: Sender) -> None:
    for number in range(MOST):
        sender.store.raw_deliveries.save(
            written("deploys", "POST", "", {}, "{}", str(number)), MOST
        )
    assert "delete one first" in sender.act(do="save", save_as="one more", body="{}").text


def test_nothing_is_saved_where_something_is_hidden(sender: Sender) -> None:
    answer = sender.act("pay", do="save", save_as="mine", body="{}")
    assert answer.status_code == 422
    assert "the webhook has `hide`" in answer.text
    assert sender.store.raw_deliveries.saved("pay") == []


def test_nothing_hidden_is_in_the_form(sender: Sender) -> None:
    event_id = sender.arrived({"card": CARD, "kept": "yes"}, "pay", **{"x-user": CARD})
    page = sender.client.get(f"/webhooks/pay/send?event={event_id}").text
    assert CARD not in page
    assert "is *** here" in page
    # Saved before `hide` named it.
    sender.store.raw_deliveries.save(
        written("pay", "POST", "", {}, json.dumps({"card": CARD}), "old"), 1
    )
    answer = sender.client.get("/webhooks/pay/send?saved=old")
    assert (answer.status_code, CARD in answer.text) == (409, False)


@pytest.mark.parametrize(
    "query",
    [
        "event=unknown",
        "sample=unknown",
        "rejected=unknown",
        "saved=unknown",
        "saved=%00",
        "rejected=%00",
    ],
)
def test_what_is_not_there_is_not_found(sender: Sender, query: str) -> None:
    assert sender.client.get(f"/webhooks/deploys/send?{query}").status_code == 404


def test_another_webhooks_event_is_not_edited(sender: Sender) -> None:
    event_id = sender.arrived({"card": CARD}, "pay")
    assert sender.client.get(f"/webhooks/deploys/send?event={event_id}").status_code == 404


def test_a_body_too_large_for_a_form_is_left_to_the_command_line(sender: Sender) -> None:
    event_id = sender.arrived({"a": ["x" * 100] * 100_000})
    page = sender.client.get(f"/webhooks/deploys/send?event={event_id}").text
    assert len(page) < 50_000
    assert "too large to be edited here" in page


def test_only_what_identifies_a_delivery_is_renewed(sender: Sender) -> None:
    page = sender.client.get("/webhooks/deploys/send?sample=push").text
    assert "$.after" in page
    assert "so that it is no duplicate: X-GitHub-Hook-ID" not in page, (
        "it is the hook's, in each of its deliveries"
    )
    assert "as the sender would sign it" in sender.client.get("/webhooks/pay/send").text


def test_a_body_in_any_script_may_be_as_long_as_one_in_latin(sender: Sender) -> None:
    body = json.dumps({"text": "\u5b57" * (LARGEST - 20)}, ensure_ascii=False)
    page = sender.act(body=body)
    assert "The relay answered 200 OK" in page.text


@pytest.mark.parametrize(
    "form",
    [
        {"headers": "X-A: <script>\nX-B: \u202e"},
        {"headers": "Transfer-Encoding: chunked"},
        {"headers": "X-A: \u00e9\u4e2d"},
        {"query": "a=1#b c\u00e9"},
        {"body": '{"a": "</textarea><script>alert(1)</script>"}'},
        {"body": '{"a": "\\ud800"}'},
        {"save_as": "<script>", "do": "save"},
        {"method": "PUT"},
        {"renew": "yes", "body": '{"id": "123456789", "after": 1}'},
    ],
)
def test_no_text_makes_it_fail_or_becomes_a_script(sender: Sender, form: dict[str, str]) -> None:
    page = sender.act(**{"body": '{"a": 1}', **form})
    assert page.status_code in (200, 422)
    assert "<script" not in page.text
    assert "alert(1)</script>" not in page.text


@pytest.mark.parametrize("method", ["", "GET /", "P\r\nX: y", "A" * 11])
def test_a_method_is_a_word(sender: Sender, method: str) -> None:
    assert sender.act(body="{}", method=method).status_code == 400
    assert sender.posted == []


def test_a_refused_delivery_that_was_kept_is_edited_and_said_to_be_unproven(sender: Sender) -> None:
    headers = {"x-hub-signature-256": "00", "content-type": "application/json"}
    body = json.dumps({"kept": "yes"}).encode()
    kept = RawDelivery(
        new_event_id(),
        "deploys",
        "rejected",
        1,
        status=401,
        path="/webhook/",
        query="a=1",
        headers=headers,
        body=body,
    )
    hidden = replace(
        kept, id=new_event_id(), webhook="pay", body=json.dumps({"card": CARD}).encode()
    )
    sender.store.raw_deliveries.keep([kept, hidden])
    page = sender.client.get(f"/webhooks/deploys/send?rejected={kept.id}")
    assert json.loads(sender.body(page)) == {"kept": "yes"}
    assert "anyone may have written it" in page.text
    assert "x-hub-signature-256" not in page.text
    assert sender.client.get(f"/webhooks/pay/send?rejected={kept.id}").status_code == 404
    answer = sender.client.get(f"/webhooks/pay/send?rejected={hidden.id}")
    assert answer.status_code == 409
    assert CARD not in answer.text
    assert (
        f"/webhooks/deploys/send?rejected={kept.id}"
        in sender.client.get(f"/rejections/{kept.id}").text
    )
