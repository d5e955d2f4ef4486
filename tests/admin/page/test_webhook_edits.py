"""Edits of webhooks as YAML on the page: secrets stay hidden, and nothing is overwritten unseen."""

from __future__ import annotations

import re
from html import unescape

import pytest

from tests.support.webhook_page import VIEWER, Page
from tests.support.webhook_page import page as page
from tests.support.webhook_page import relay as relay

SECRET = "in-the-file-itself"


def test_mistakes_are_said_with_their_lines_and_nothing_typed_is_lost(page: Page) -> None:
    page.create()
    answer = page.edit("deploys", "receivers:", "holdd: 1m\nreceivers:", do="check")
    assert answer.status_code == 422
    assert "line 4, webhook deploys: holdd: unknown key; did you mean hold?" in unescape(
        answer.text
    )
    assert "holdd: 1m" in answer.text
    broken = page.edit("deploys", "platform: github", 'platform: "github')
    assert re.search(r"line \d, YAML: ", broken.text)
    renamed = page.edit("deploys", "name: deploys", "name: releases")
    assert "can" in renamed.text and "make a new webhook" in renamed.text
    assert set(page.defined) == {"deploys"}


def test_a_webhook_that_shares_something_with_another_is_not_edited_here(page: Page) -> None:
    text = "webhooks:\n- name: one\n  verifier: none\n  receivers: &r {a: any}\n"
    (page.folder / "a.yaml").write_text(f"{text}- name: two\n  verifier: none\n  receivers: *r\n")
    assert page.client.get("/webhooks/one/edit").status_code == 200
    answer = page.client.get("/webhooks/two/edit")
    assert answer.status_code == 409
    assert "an alias in it stands for something elsewhere in a.yaml: edit the file" in answer.text


def test_two_who_edit_at_once_are_told(page: Page) -> None:
    page.create()
    version = page.version("deploys")
    assert page.edit("deploys", "deploy: any", "one: any").status_code == 303
    answer = page.edit("deploys", "one: any", "two: any", version=version)
    assert answer.status_code == 409
    assert "nothing was overwritten" in answer.text
    assert "two: any" in answer.text, "what was typed is kept"
    assert set(page.defined["deploys"].receivers) == {"one"}
    assert (
        page.post("/webhooks/deploys/delete", confirm="deploys", version=version).status_code == 409
    )
    assert "deploys" in page.defined


def test_a_secret_in_the_file_itself_is_never_shown_and_stays_or_becomes_a_file(page: Page) -> None:
    file = page.folder / "a.yaml"
    file.write_text(
        f"webhooks:\n- name: one\n  platform: github\n  secret: [{SECRET}-1, {SECRET}-2]  # new, old\n"
        "  receivers: {a: any}\n"
        f"- name: two\n  headers:\n    X-Key: {SECRET}-3\n  receivers: {{a: any}}\n"
        f"- name: three\n  signature:\n    secret: |\n      {SECRET}-4\n    header: X\n  receivers: {{a: any}}\n"
    )
    assert 'secret: ["***", "***"]  # new, old' in page.text("one")
    assert "new, old" not in page.client.get("/webhooks/one").text, "viewers see no comment"
    for name in ("one", "two", "three"):
        texts = [
            page.client.get(f"/webhooks/{name}{more}").text for more in ("", "/edit", "/delete")
        ]
        texts += [
            page.edit(name, "a: any", "b: any", do="check").text,
            page.edit(name, "a: any", "b", version="x").text,
        ]
        assert not [text for text in texts if SECRET in text]
        assert page.edit(name, "a: any", "b: any").status_code == 303
    assert [one.get_secret_value() for one in page.defined["one"].secret] == [
        f"{SECRET}-1",
        f"{SECRET}-2",
    ]
    assert (
        page.edit(
            "two", 'X-Key: "***"', "X-Key: a-new-one-0123456789\n  X-Other: '***'"
        ).status_code
        == 422
    )
    assert page.edit("two", '"***"', "a-new-one-0123456789").status_code == 303
    assert page.defined["two"].headers["X-Key"][0].get_secret_value() == "a-new-one-0123456789"
    assert "a-new-one" not in file.read_text(), "a secret is a file of its own"


@pytest.mark.parametrize(
    "wrong",
    [
        f"secrets: {SECRET}",
        f"token: {SECRET}",
        f"Secret: {SECRET}",
        f"header: {{X-Key: {SECRET}}}",
        f"signature: {SECRET}",
        f"callback: {{secrets: {SECRET}}}",
    ],
)
def test_nothing_is_shown_of_a_file_with_errors_but_its_errors(page: Page, wrong: str) -> None:
    page.create()
    page.client.get("/webhooks/deploys")
    file = page.folder / "deploys.yaml"
    file.write_text(file.read_text() + f"    {wrong}\n")
    shown = page.client.get("/webhooks/deploys")
    assert shown.status_code == 200, "the last good webhook is in force"
    edit = page.client.get("/webhooks/deploys/edit")
    assert edit.status_code == 409
    viewer = page.client.get("/webhooks/deploys", headers={"Authorization": f"Bearer {VIEWER}"})
    for answer in (shown, edit, viewer):
        assert SECRET not in answer.text
        assert re.search(r"deploys\.yaml:\d+", answer.text), "the error is said"
