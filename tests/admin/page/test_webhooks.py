"""Webhooks by the page: from an empty folder to a verified webhook, with every mistake said beside
its field."""

from __future__ import annotations

import os
import re
import time
from html import unescape
from typing import Any
from unittest import mock

import pytest

from admin.definitions import writer as definitions_writer
from admin.definitions.forms import KINDS
from admin.page import webhooks
from platforms import PLATFORMS
from platforms.senders import SENDERS
from platforms.verifiers import Draft
from tests.support.webhook_page import Page
from tests.support.webhook_page import page as page
from tests.support.webhook_page import relay as relay


def test_every_platform_says_what_it_is_for_and_has_a_form(page: Page) -> None:
    text = page.client.get("/new").text
    for name in PLATFORMS:
        assert f"/new?platform={name}" in text
        form = page.client.get(f"/new?platform={name}")
        assert form.status_code == 200
        assert ("You may leave it out" in form.text) <= PLATFORMS[name].challenge_only


def test_a_sender_by_another_name_leads_to_what_verifies_it(page: Page) -> None:
    text = page.client.get("/new").text
    for name, sender in SENDERS.items():
        assert f"/new?sender={name}" in text
        form = unescape(page.client.get(f"/new?sender={name}").text)
        assert f'name="platform" value="{sender.platform}"' in form
        assert sender.settings in form


def test_from_an_empty_folder_to_a_verified_webhook(page: Page, relay: list[Draft]) -> None:
    assert "Create the first one" in page.client.get("/").text
    form = page.client.get("/new?platform=github").text
    secret = re.search(r'id="secret"[^>]*value="([\w-]{40,})"', form)
    assert secret, "a secret is made up"
    made = page.create(
        secret=secret[1],
        more="starts: [{workflow: on_push, when: {\"$._webhook.headers['x-github-event']\": push}}]",
    )
    assert made.status_code == 200
    assert "https://hooks.example.com/webhook/deploys" in made.text
    assert secret[1] in made.text, "it is shown once, to be entered at the platform"
    assert "Unverified" in made.text
    assert page.defined["deploys"].starts[0].when == {
        "$._webhook.headers['x-github-event']": "push"
    }
    assert '<link rel="canonical" href="/webhooks/deploys">' in made.text, (
        "loading it again posts nothing again"
    )
    again = page.client.get("/webhooks/deploys").text
    assert secret[1] not in again
    tested = page.post("/webhooks/deploys/test", sample="push")
    assert "The webhook is Verified" in tested.text
    assert relay[0].headers["X-GitHub-Event"] == "push"
    assert "Verified" in page.client.get("/webhooks/deploys").text
    changes = page.client.get("/changes").text
    assert "created" in changes
    assert "tested" in changes


def test_a_command_and_an_assistants_text_have_url_and_secret_filled_in(page: Page) -> None:
    made = unescape(page.create(secret="9f86d081884c7d659a2feaa0c55ad015").text)
    url = "https://hooks.example.com/webhook/deploys"
    assert (
        f"-f config[url]={url} -f config[content_type]=json -f config[secret]=9f86d081884c7d659a2feaa0c55ad015"
        in made
    )
    assert (
        f"Register a webhook at GitHub that posts to {url}. The secret to enter there is 9f86d081"
        in made
    )
    later = unescape(page.client.get("/webhooks/deploys").text)
    assert "9f86d081" not in later
    assert "config[secret]=THE_SECRET" in later


def test_mistakes_are_said_beside_the_field_and_nothing_typed_is_lost(page: Page) -> None:
    answer = page.create(
        name="no spaces",
        receiver="deploy: first",
        start="on_push: latest",
        more="secret: holdd",
        secret="kept-secret-0123456789",
    )
    assert answer.status_code == 422
    for field in ("name", "receiver", "start", "more"):
        assert f'id="{field}-error"' in answer.text, field
        assert re.search(rf'id="{field}"[^>]*aria-invalid="true"', answer.text), field
    for typed in (
        "no spaces",
        "deploy: first",
        "on_push: latest",
        "secret: holdd",
        "kept-secret-0123456789",
    ):
        assert typed in answer.text
    assert not list(page.folder.iterdir())


def test_the_check_says_what_check_says(page: Page) -> None:
    answer = page.create(do="check", secret="short", receiver="")
    assert "neither `receivers` nor `starts`" in answer.text
    assert "a short secret, which can be guessed" in page.create(do="check", secret="short").text
    assert not list(page.folder.iterdir())
    assert "${file:secrets/" in page.create(do="check").text


def test_a_folder_that_cannot_be_written_is_said_and_nothing_typed_is_lost(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.create(name="old")
    version, yaml = page.version("old"), page.text("old").replace("deploy: any", "typed_by_me: any")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(definitions_writer.DefinitionsFolder, "_write", full)
    answers = (
        page.create(receiver="typed_by_me"),
        page.post("/webhooks/old/edit", do="save", version=version, yaml=yaml),
    )
    for answer in answers:
        assert answer.status_code == 409
        assert "No space left on device" in answer.text
        assert "typed_by_me" in answer.text


def test_a_name_that_is_taken_is_said(page: Page) -> None:
    assert page.create().status_code == 200
    answer = page.create()
    assert answer.status_code == 422
    assert "choose another name" in answer.text


def test_a_test_event_waits_until_the_relay_has_read_a_new_secret(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.create()
    answers = [
        webhooks.Answer(401, b"{}"),
        webhooks.Answer(200, b"{}"),
        webhooks.Answer(401, b"{}"),
    ]
    monkeypatch.setattr(webhooks, "post", lambda url, draft, wait: answers.pop(0))
    slept: list[float] = []
    monkeypatch.setattr(webhooks, "time", mock.Mock(wraps=time, sleep=slept.append))
    os.utime(page.folder / "deploys.yaml", (2**33, 2**33))  # on a clock that is wrong
    assert "The relay answered 200 OK" in page.post("/webhooks/deploys/test", sample="push").text
    assert [0 < seconds <= 5 for seconds in slept] == [True]
    os.utime(page.folder / "deploys.yaml", (1, 1))
    assert "The relay answered 401" in page.post("/webhooks/deploys/test", sample="push").text
    assert len(slept) == 1


def test_a_duplicate_is_not_shown_as_a_success(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.create()
    answer = webhooks.Answer(200, b'{"eventId": "e1", "duplicate": true}')
    monkeypatch.setattr(webhooks, "post", lambda url, draft, wait: answer)
    text = page.post("/webhooks/deploys/test", sample="push").text
    assert "It is a duplicate" in text
    assert '<div class="notice warning" role="status"><p><b>test</b>' in text
    assert "The webhook is Verified" not in text


def test_who_deletes_a_paused_webhook_is_told_that_its_name_stays_paused(page: Page) -> None:
    page.create()
    assert "stays so" not in page.client.get("/webhooks/deploys/delete").text
    page.post("/webhooks/deploys/pause", do="pause")
    assert "It is paused, and stays so" in page.client.get("/webhooks/deploys/delete").text


def test_deleting_is_asked_twice(page: Page) -> None:
    page.create()
    version = page.version("deploys")
    assert page.post("/webhooks/deploys/delete", version=version).status_code == 422
    assert (
        page.post("/webhooks/deploys/delete", version=version, confirm="other").status_code == 422
    )
    assert "deploys" in page.defined
    assert (
        page.post("/webhooks/deploys/delete", version=version, confirm="deploys").status_code == 303
    )
    assert not page.defined


def test_a_platform_that_signs_nothing_asks_for_a_client_certificate(page: Page) -> None:
    shown = page.client.get("/new?platform=salesforce").text
    assert re.findall(r"proof=(\w+)", shown) == ["mtls", "none"]
    assert "subject: CN=partner" in shown
    deals = {"platform": "salesforce", "name": "deals", "secret": ""}
    assert "add subject" in page.create(**deals, more="mtls: {header: X-DN}").text
    assert page.defined == {}
    assert page.create(**deals, more="mtls: {header: X-DN, subject: 'CN=a,O=b'}").status_code == 200
    assert page.defined["deals"].mtls.subject == ("CN=a,O=b",)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_proof_begins_with_settings_that_can_be_saved(page: Page, kind: str) -> None:
    form = unescape(page.client.get(f"/new?platform=custom&proof={kind}").text)
    yaml = re.search(r'name="more"[^>]*>(.*?)</textarea>', form, re.S)
    secret = re.search(r'id="secret"[^>]*value="([\w-]{40,})"', form)
    assert yaml
    assert (secret is not None) == (kind in ("headers", "signature", "callback"))
    given = {"header": "X-Key", "proof": kind, "secret": secret[1] if secret else ""}
    assert page.create(platform="custom", more=yaml[1], **given).status_code == 200
    every = re.sub(r"(?m)^  # (?!format|key_encoding|by)", "  ", yaml[1])
    answer = page.create(do="check", platform="custom", name="b", more=every, **given)
    assert "-error" not in answer.text, "each setting that is suggested exists"


def test_a_webhook_is_paused_and_resumed(page: Page) -> None:
    page.create()
    assert page.post("/webhooks/deploys/pause", do="pause").status_code == 303
    assert "Resume" in page.client.get("/webhooks/deploys").text
    assert 'class="status paused"' in page.client.get("/").text
    page.post("/webhooks/deploys/pause", do="resume")
    assert "Resume" not in page.client.get("/webhooks/deploys").text
    assert 'class="status paused"' not in page.client.get("/").text
    changes = page.client.get("/changes").text
    assert "paused" in changes
    assert "resumed" in changes
