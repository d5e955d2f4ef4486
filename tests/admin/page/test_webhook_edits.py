"""Edits of webhooks by the page: what the form doesn't show is kept, and nothing is overwritten unseen."""

from __future__ import annotations

import re
from html import unescape

import pytest

from platforms.verifiers import Draft
from tests.admin.page.webhook_page import Page
from tests.admin.page.webhook_page import page as page
from tests.admin.page.webhook_page import relay as relay


def test_an_edit_keeps_the_rest_of_the_file(page: Page) -> None:
    page.create()
    file = page.folder / "deploys.yaml"
    file.write_text(file.read_text().replace("platform: github", "platform: github  # ours\n    public_url: ${URL}"))
    answer = page.post(
        "/webhooks/deploys/edit",
        do="save",
        version=page.version("deploys"),
        receivers="deploy: 1, 2\nrelease",
        more="public_url: ${URL}\n",
    )
    assert answer.status_code == 303
    text = file.read_text()
    assert "# ours" in text
    assert "public_url: ${URL}" in text
    file.write_text(text.replace("    public_url: ${URL}\n", ""))
    assert page.defined["deploys"].receivers == {"deploy": frozenset({1, 2}), "release": None}


def test_what_the_form_has_no_field_for_is_kept(page: Page) -> None:
    (page.folder / "a.yaml").write_text(
        "webhooks:\n- name: deploys\n  verifier: none\n  receivers: {r: any}\n  starts:\n"
        "  - {workflow: s, unless: taken, when: {$.a: {$in: [1, 2]}}}\n"
    )
    values = {
        "receivers": "r",
        "start_workflow_0": "s",
        "start_when_0": "$.a: {$in: [1, 2, 3]}",
        "start_workflow_1": "t",
    }
    answer = page.post("/webhooks/deploys/edit", do="save", version=page.version("deploys"), **values)
    assert answer.status_code == 303
    one, other = page.defined["deploys"].starts
    assert (one.unless, one.when) == ("taken", {"$.a": {"$in": [1, 2, 3]}})
    assert other.workflow == "t"


def test_the_input_of_a_start_is_written_and_shown_for_the_newest_event(page: Page, relay: list[Draft]) -> None:
    page.create(
        start_workflow_0="on_push", start_input_0="branch: $.ref\nfrom: {text: $$.ref, n: 1}", more="hide: [$.pusher]"
    )
    given = {"branch": "$.ref", "from": {"text": "$$.ref", "n": 1}}
    assert page.defined["deploys"].starts[0].input == given
    assert "Inputs" not in page.client.get("/webhooks/deploys").text, "there is no event yet"
    page.post("/webhooks/deploys/test", sample="push")
    text = unescape(page.client.get("/webhooks/deploys").text)
    assert '"branch": "refs/heads/' in text
    assert '"text": "$.ref"' in text
    values = {"receivers": "deploy", "start_workflow_0": "on_push", "start_input_0": "who: $.pusher.name"}
    version = page.version("deploys")
    tried = unescape(
        page.post("/webhooks/deploys/edit", do="check", version=version, more="hide: [$.pusher]", **values).text
    )
    assert '"who": "***"' in tried
    assert page.defined["deploys"].starts[0].input == given, "nothing was saved"


@pytest.mark.parametrize("given", ["x: $5", "- $.a", "x: $.[", "$.a"])
def test_a_wrong_input_is_told_at_its_field(page: Page, given: str) -> None:
    answer = page.create(start_workflow_0="on_push", start_input_0=given)
    assert answer.status_code == 422
    assert 'id="start_input_0-error"' in answer.text


def test_an_empty_input_stays_empty_when_another_start_is_edited(page: Page) -> None:
    (page.folder / "a.yaml").write_text(
        "webhooks:\n- name: deploys\n  verifier: none\n  starts:\n  - {workflow: s, input: {}}\n  - workflow: t\n"
    )
    text = page.client.get("/webhooks/deploys/edit").text
    assert re.search(r'id="start_input_0"[^>]*>{}</textarea>', text)
    values = {"start_workflow_0": "s", "start_input_0": "{}", "start_workflow_1": "u"}
    page.post("/webhooks/deploys/edit", do="save", version=page.version("deploys"), **values)
    assert [(start.workflow, start.input) for start in page.defined["deploys"].starts] == [("s", {}), ("u", None)]


def test_two_who_edit_at_once_are_told(page: Page) -> None:
    page.create()
    version = page.version("deploys")
    assert page.post("/webhooks/deploys/edit", do="save", version=version, receivers="one").status_code == 303
    answer = page.post("/webhooks/deploys/edit", do="save", version=version, receivers="two")
    assert answer.status_code == 409
    assert "nothing was overwritten" in answer.text
    assert re.search(r">two</textarea>", answer.text), "what was typed is kept"
    assert set(page.defined["deploys"].receivers) == {"one"}
    assert page.post("/webhooks/deploys/delete", confirm="deploys", version=version).status_code == 409
    assert "deploys" in page.defined


def test_an_edit_shows_each_receiver_ticked_however_many_there_are(page: Page) -> None:
    receivers = [f"flow_{number:03}" for number in range(300)]
    page.create(receivers="\n".join([*receivers, "versioned: 1, 2"]))
    form = page.client.get("/webhooks/deploys/edit").text
    ticked = re.findall(r'name="chosen" value="([^"]+)" checked', form)
    assert ticked == [*receivers, "versioned: 1, 2"]
    before = (page.folder / "deploys.yaml").read_text()
    page.post("/webhooks/deploys/edit", do="save", version=page.version("deploys"), chosen=ticked)
    assert (page.folder / "deploys.yaml").read_text() == before
    kept = [one for one in ticked if one != "flow_123"]
    checked = page.post("/webhooks/deploys/edit", do="check", version=page.version("deploys"), chosen=kept).text
    assert '<input type="checkbox" name="chosen" value="flow_123">' in checked, "it can be ticked again"
    page.post("/webhooks/deploys/edit", do="save", version=page.version("deploys"), chosen=kept)
    assert len(page.defined["deploys"].receivers) == 300
    assert "flow_123" not in page.defined["deploys"].receivers
