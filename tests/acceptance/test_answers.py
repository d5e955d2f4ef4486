"""Senders are answered with what their workflows answer: the documentation's example, and every
other end."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from store.records import EventStatus
from tests.support.bridge import API_KEY, Bridge, unique
from tools.servers.client import Answer, Conductor, by_hand, wait_for, wait_for_webhook
from tools.servers.processes import ROOT

STORES = ("sqlite", "postgres")
SECTION = (
    (ROOT / "docs" / "definitions.md")
    .read_text(encoding="utf-8")
    .partition("## Answering with the workflow's result")[2]
    .partition("\n## ")[0]
)
EXAMPLE = (
    SECTION.partition("```yaml\n")[2].partition("```")[0].replace("assistant", unique("assistant"))
)
WEBHOOKS = f"""
webhooks:
{EXAMPLE}
  - name: resumes
    headers: {{X-Api-Key: "${{ASK_KEY}}"}}
    dedup: {{header: X-Request-Id}}
    receivers: {{{unique("conversation")}: any}}
    respond: {{wait: 60s, output: $.heard}}
  - name: slow
    headers: {{X-Api-Key: "${{ASK_KEY}}"}}
    dedup: {{header: X-Request-Id}}
    starts: [{{workflow: {unique("slow")}}}]
    respond: {{wait: 1s, output: $.reply}}
  - name: nothing
    headers: {{X-Api-Key: "${{ASK_KEY}}"}}
    dedup: {{header: X-Request-Id}}
    starts: [{{workflow: {unique("assistant")}, when: {{$.never: true}}}}]
    respond: {{wait: 60s, output: $.reply}}
  - name: unclaimed
    headers: {{X-Api-Key: "${{ASK_KEY}}"}}
    dedup: {{header: X-Request-Id}}
    receivers: {{{unique("conversation")}: any}}
    hold: 1s
    respond: {{wait: 60s, output: $.reply}}
  - name: absent
    headers: {{X-Api-Key: "${{ASK_KEY}}"}}
    dedup: {{header: X-Request-Id}}
    starts: [{{workflow: {unique("absent")}}}]
    respond: {{wait: 60s, output: $.reply}}
"""
SETTINGS = {"ask_key": API_KEY}


def ask_once(bridge: Bridge, webhook: str, payload: Any, id_: str = "1") -> Answer:
    return bridge.post(webhook, payload, {"X-Api-Key": API_KEY, "X-Request-Id": id_})


def ask(bridge: Bridge, webhook: str, payload: Any, id_: str = "1") -> Answer:
    """The answer to a delivery that is sent again while it isn't there in time, as on a busy
    machine."""
    return wait_for(
        lambda: (answer := ask_once(bridge, webhook, payload, id_)).status != 202 and answer,
        "a workflow's answer",
    )


@pytest.fixture
def slow(conductor: Conductor) -> str:
    """A workflow that ends once somebody completes its task."""
    return conductor.register(
        unique("slow"), [by_hand()], outputParameters={"reply": "${gate.output.text}"}
    )


def test_the_documented_example_answers_as_documented(bridge: Bridge, conductor: Conductor) -> None:
    workflow = json.loads(SECTION.partition("```json\n")[2].partition("```")[0])
    conductor.register(
        unique("assistant"), workflow["tasks"], outputParameters=workflow["outputParameters"]
    )
    answer = ask(bridge, "ask", {"name": "Ada"})
    assert (answer.status, answer.text) == (200, "Hello, Ada")
    assert re.search(r"^Hello, Ada$", SECTION, re.MULTILINE)
    again = ask(bridge, "ask", {"name": "Ada"})
    assert (again.status, again.text) == (200, "Hello, Ada")
    [event] = bridge.events("ask")
    assert 'Its workflow completed; the answer is "Hello, Ada".' in bridge.cli(
        "events", "show", event.id
    )


def test_a_workflow_that_an_event_resumes_answers(bridge: Bridge, conductor: Conductor) -> None:
    name = conductor.register(
        unique("conversation"),
        [wait_for_webhook("wait")],
        outputParameters={"heard": {"text": "${wait.output.text}"}},
    )
    waiting = conductor.start(name)
    conductor.wait_for_task(waiting, "wait")
    answer = ask(bridge, "resumes", {"text": "hi"})
    assert (answer.status, answer.json) == (200, {"text": "hi"})


def started_for(bridge: Bridge, event_id: str) -> str:
    """The workflow that the event starts, once it runs."""
    [target] = wait_for(
        lambda: [one for one in bridge.targets(event_id) if one.workflow_id], "the workflow runs"
    )
    return str(target.workflow_id)


def test_a_workflow_that_does_not_complete_is_a_bad_gateway(
    bridge: Bridge, conductor: Conductor, slow: str
) -> None:
    event_id = ask_once(bridge, "slow", {}, "fails").json["eventId"]
    workflow_id = started_for(bridge, event_id)
    conductor.terminate(workflow_id)
    answer = ask(bridge, "slow", {}, "fails")
    assert answer.status == 502
    fields = {
        "error": "workflow_failed",
        "eventId": event_id,
        "workflowId": workflow_id,
        "status": "TERMINATED",
    }
    assert answer.json == fields


def test_a_workflow_that_takes_longer_answers_a_retry(
    bridge: Bridge, conductor: Conductor, slow: str
) -> None:
    first = ask_once(bridge, "slow", {}, "late")
    assert first.status == 202
    event_id = first.json["eventId"]
    workflow_id = started_for(bridge, event_id)
    conductor.complete(workflow_id, "gate", text="at last")
    conductor.wait_for_status(workflow_id)
    again = ask(bridge, "slow", {}, "late")
    assert (again.status, again.text) == (200, "at last")
    assert len(bridge.targets(event_id)) == 1


@pytest.mark.parametrize(
    ("webhook", "error", "status"),
    [("unclaimed", "expired", "expired"), ("absent", "start_failed", "failed")],
)
def test_an_event_that_comes_to_nothing_has_an_answer_of_its_own(
    bridge: Bridge, webhook: str, error: str, status: EventStatus
) -> None:
    answer = ask(bridge, webhook, {}, unique(error))
    event_id = answer.json["eventId"]
    assert (answer.status, answer.json) == (502, {"error": error, "eventId": event_id})
    bridge.wait_for_event(event_id, status)


def test_an_event_that_no_condition_lets_through_is_no_error(bridge: Bridge) -> None:
    answer = ask(bridge, "nothing", {}, unique("ignored"))
    event_id = answer.json["eventId"]
    assert (answer.status, answer.json) == (200, {"eventId": event_id, "status": "ignored"})
    bridge.wait_for_event(event_id, "ignored")
