"""Messages to running workflows, on a real Conductor."""

from __future__ import annotations

import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from store.rules.keys import LONGEST_KEY
from tests.support.bridge import API_KEY, Bridge, accepted, started_by, unique
from tools.servers.client import Conductor, by_hand, outputs, set_variable, wait_for
from tools.servers.processes import ROOT

STORES = ("sqlite", "postgres")
PAGE = (ROOT / "docs" / "definitions.md").read_text(encoding="utf-8")
CHAPTER = PAGE.partition("## Messages to running workflows\n")[2].partition("\n## ")[0]
KEY = 'headers: {X-Api-Key: "${API_KEY}"}'
[EXAMPLE] = re.findall(r"```yaml\n(.*?)```", CHAPTER, re.DOTALL)
WEBHOOKS = f"""
webhooks:
{EXAMPLE.replace("SLACK_SIGNING_SECRET", "SLACK_SECRET").replace("workflow: agent", f"workflow: {unique('agent')}")}
  - name: read
    {KEY}
    messages:
      - workflow: {unique("reader")}
        key: $.thread
  - name: held
    {KEY}
    messages:
      - workflow: {unique("held")}
        key: $.thread
        else: hold
  - name: ignored
    {KEY}
    messages:
      - workflow: {unique("ignored")}
        key: $.thread
        else: ignore
  - name: briefly
    {KEY}
    hold: 1s
    messages:
      - workflow: {unique("briefly")}
        key: $.thread
        else: hold
  - name: asked
    {KEY}
    respond: {{wait: 60s, output: $.reply}}
    messages:
      - workflow: {unique("asked")}
        key: $.thread
        else: ignore
  - name: at-once
    {KEY}
    messages:
      - workflow: {unique("at_once")}
        key: $.thread
"""


@pytest.fixture
def key() -> str:
    """A key that no other test has."""
    return uuid.uuid4().hex


def pull(size: int = 1000) -> dict[str, Any]:
    """A task that reads the workflow's queue."""
    return {
        "name": "read",
        "taskReferenceName": "read",
        "type": "PULL_WORKFLOW_MESSAGES",
        "inputParameters": {"batchSize": size},
    }


def payloads(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """What the workflow has read, in order."""
    return [
        message["payload"] for output in outputs(workflow, "read") for message in output["messages"]
    ]


def running(conductor: Conductor, name: str, key: str) -> str:
    """The only workflow that runs for the key."""
    [found] = [one for one in started_by(conductor, name, key) if one["status"] == "RUNNING"]
    return str(found["workflowId"])


def test_the_agent_of_the_page_reads_its_conversation_until_it_ends(
    bridge: Bridge, conductor: Conductor, key: str
) -> None:
    [definition] = [
        json.loads(block) for block in re.findall(r"```json\n(.*?)```", CHAPTER, re.DOTALL)
    ]
    name = conductor.register(unique("agent"), definition["tasks"], version=definition["version"])

    def say(text: str, thread: str) -> str:
        about = {"type": "message", "channel": "C024BE91L", "text": text, "thread_ts": thread}
        payload = {"type": "event_callback", "event_id": f"{thread} {text}", "event": about}
        return accepted(bridge.slack("chat", payload))

    events = [say(text, key) for text in ("hello", "how are you?", "bye")]
    other = say("hello", f"{key}-2")
    for event_id in (*events, other):
        bridge.wait_for_event(event_id, "delivered")
    [target] = bridge.targets(events[0])
    assert target.workflow_id is not None
    workflow = conductor.wait_for_status(target.workflow_id)
    assert [one["_webhook"]["eventId"] for one in payloads(workflow)] == events
    assert [one["result"] for one in outputs(workflow, "reply")][:2] == [
        "You said: hello",
        "You said: how are you?",
    ]
    assert running(conductor, name, f"{key}-2") == bridge.targets(other)[0].workflow_id

    # It has ended: the next message begins a new conversation.
    [target] = bridge.targets(bridge.wait_for_event(say("again", key), "delivered").id)
    assert target.workflow_id == running(conductor, name, key) != workflow["workflowId"]


@pytest.mark.parametrize(
    "key", ["a/b?x=1&y#z", "..", " a,b*", "ü☃😀", "x" * LONGEST_KEY, "'; --", 17]
)
def test_a_key_may_have_any_characters(
    bridge: Bridge, conductor: Conductor, key: str | int
) -> None:
    conductor.register(unique("reader"), [by_hand(), pull()])
    text = key if isinstance(key, str) else json.dumps(key)
    first, second = (bridge.orders("read", {"thread": key}) for _ in range(2))
    bridge.wait_for_event(first, "delivered")
    bridge.wait_for_event(second, "delivered")
    [workflow_id] = {bridge.targets(event)[0].workflow_id for event in (first, second)}
    assert workflow_id is not None
    assert conductor.workflow(workflow_id)["correlationId"] == text


def test_a_message_is_held_until_somebody_starts_its_workflow(
    bridge: Bridge, conductor: Conductor, key: str
) -> None:
    name = conductor.register(unique("held"), [pull()])
    event_id = bridge.orders("held", {"thread": key})
    wait_for(lambda: any(one.error for one in bridge.targets(event_id)), "it is looked for in vain")
    workflow_id = conductor.start(name, correlation_id=key)
    bridge.wait_for_event(event_id, "delivered")
    assert [
        one["_webhook"]["eventId"] for one in payloads(conductor.wait_for_status(workflow_id))
    ] == [event_id]


def test_a_message_is_ignored_where_no_workflow_runs(
    bridge: Bridge, conductor: Conductor, key: str
) -> None:
    name = conductor.register(unique("ignored"), [by_hand(), pull()])
    bridge.wait_for_event(bridge.orders("ignored", {"thread": key}), "ignored")
    assert started_by(conductor, name, key) == []
    workflow_id = conductor.start(name, correlation_id=key)
    wait_for(lambda: started_by(conductor, name, key), "Conductor finds it by its correlation id")
    event_id = bridge.orders("ignored", {"thread": key})
    assert (
        bridge.targets(bridge.wait_for_event(event_id, "delivered").id)[0].workflow_id
        == workflow_id
    )


def test_a_paused_workflow_gets_its_messages_in_order_when_it_goes_on(
    bridge: Bridge, conductor: Conductor, key: str
) -> None:
    name = conductor.register(unique("reader"), [by_hand(), pull()])
    events = [bridge.orders("read", {"thread": key})]
    bridge.wait_for_event(events[0], "delivered")
    workflow_id = running(conductor, name, key)
    conductor.call("PUT", f"/workflow/{workflow_id}/pause")
    events += [bridge.orders("read", {"thread": key}) for _ in range(3)]
    for event_id in events:
        bridge.wait_until_decided(event_id)
    wait_for(
        lambda: any(one.error for one in bridge.targets(events[1])), "the first one is refused"
    )
    assert "is paused" in str(bridge.targets(events[1])[0].error)
    assert [bridge.targets(event)[0].state for event in events[2:]] == ["queued", "queued"]
    conductor.call("PUT", f"/workflow/{workflow_id}/resume")
    for event_id in events:
        bridge.wait_for_event(event_id, "delivered")
    conductor.complete(workflow_id, "gate")
    read = payloads(conductor.wait_for_status(workflow_id))
    assert [one["_webhook"]["eventId"] for one in read] == events


def test_a_workflow_that_reads_no_message_is_started_once_for_each_event(
    bridge: Bridge, conductor: Conductor, key: str
) -> None:
    """It ends before its message comes, whose payload it had as its input."""
    name = conductor.register(unique("at_once"), [set_variable()])
    events = [bridge.orders("at-once", {"thread": key, "n": number}) for number in range(4)]
    for event_id in events:
        bridge.wait_for_event(event_id, "delivered")
    inputs = [one["input"]["_webhook"]["eventId"] for one in started_by(conductor, name, key)]
    assert sorted(inputs) == events


def ending(after: str, *last: dict[str, Any]) -> list[dict[str, Any]]:
    """Reads one message, waits at the gate, and ends, or does `last`, without reading again."""
    return [pull(1), by_hand(after), *last]


@pytest.mark.parametrize("ends", ["completes", "fails", "is terminated"])
def test_what_a_workflow_left_unread_goes_first_to_the_one_that_follows(
    bridge: Bridge, conductor: Conductor, key: str, ends: str
) -> None:
    """Each push was answered 200, and the events are delivered, until the workflow ends."""
    name = conductor.register(unique("reader"), ending("gate"))
    events = [bridge.orders("read", {"thread": key, "n": number}) for number in range(4)]
    for event_id in events:
        bridge.wait_for_event(event_id, "delivered")
    first = running(conductor, name, key)
    conductor.wait_for_task(first, "gate")
    conductor.register(name, [by_hand(), pull()])
    if ends == "is terminated":
        conductor.terminate(first)
    else:
        conductor.call(
            "POST", f"/tasks/{first}/gate/{'COMPLETED' if ends == 'completes' else 'FAILED'}", {}
        )
    wait_for(
        lambda: all(bridge.targets(one)[0].workflow_id != first for one in events[1:]),
        "they go to another",
    )
    events += [bridge.orders("read", {"thread": key, "n": 4})]
    for event_id in events:
        bridge.wait_for_event(event_id, "delivered")
    second = running(conductor, name, key)
    conductor.complete(second, "gate")
    workflow = conductor.wait_for_status(second)
    assert workflow["input"]["n"] == 1
    assert [one["n"] for one in payloads(workflow)] == [1, 2, 3, 4]
    assert len(started_by(conductor, name, key)) == 2


@pytest.mark.parametrize(("webhook", "status"), [("ignored", "ignored"), ("briefly", "expired")])
def test_where_no_workflow_follows_an_unread_message_is_not_delivered_and_says_so(
    bridge: Bridge, conductor: Conductor, key: str, webhook: str, status: str
) -> None:
    name = conductor.register(unique(webhook), ending("gate"))
    workflow_id = conductor.start(name, correlation_id=key)
    wait_for(lambda: started_by(conductor, name, key), "Conductor finds it by its correlation id")
    read, unread = (bridge.orders(webhook, {"thread": key, "n": number}) for number in range(2))
    for event_id in (read, unread):
        bridge.wait_for_event(event_id, "delivered")
    conductor.wait_for_task(workflow_id, "gate")
    conductor.complete(workflow_id, "gate")
    bridge.wait_for_event(unread, status)
    assert f"workflow {workflow_id} ended before it read the message" in bridge.cli(
        "events", "explain", unread
    )
    assert bridge.event(read).status == "delivered"


def test_a_sender_is_not_answered_by_a_workflow_that_did_not_read_its_message(
    bridge: Bridge, conductor: Conductor, key: str
) -> None:
    name = conductor.register(
        unique("asked"), ending("gate"), outputParameters={"reply": "${gate.output.text}"}
    )
    workflow_id = conductor.start(name, correlation_id=key)
    wait_for(lambda: started_by(conductor, name, key), "Conductor finds it by its correlation id")
    with ThreadPoolExecutor(2) as pool:
        asked = []
        for number in range(2):
            asked.append(
                pool.submit(
                    bridge.post, "asked", {"thread": key, "n": number}, {"X-Api-Key": API_KEY}
                )
            )
            wait_for(lambda: len(bridge.events("asked")) == len(asked), "it has arrived")
            bridge.wait_for_event(bridge.events("asked")[0].id, "delivered")
        conductor.wait_for_task(workflow_id, "gate")
        conductor.complete(workflow_id, "gate", text="done")
        answers = [one.result() for one in asked]
    assert (answers[0].status, answers[0].text) == (200, "done")
    assert (answers[1].status, answers[1].json["status"]) == (200, "ignored")
