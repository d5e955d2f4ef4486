"""Events start workflows, with the payload as input."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.bridge import Bridge, accepted, started_by, unique
from tests.support.faulty_proxy import Fault, FaultyProxy, port_of
from tools.servers.client import Conductor, set_variable, wait_for, wait_for_webhook

STORES = ("sqlite", "postgres")
RELAY = False
WEBHOOKS = f"""
webhooks:
  - name: pushes
    platform: github
    secret: ${{GITHUB_SECRET}}
    starts:
      - workflow: {unique("on_push")}
        when: {{"$._webhook.headers['x-github-event']": push}}
      - workflow: {unique("on_main")}
        version: 1
        when: {{"$.ref": refs/heads/main}}
  - name: both
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers: {{{unique("both")}: any}}
    starts:
      - workflow: {unique("both")}
  - name: twice
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    metadata: false
    starts:
      - workflow: {unique("twice")}
      - workflow: {unique("twice")}
        input: {{order: $.id, skus: "$.items[*].sku", event: $._webhook.eventId, none: $.none, cost: $$5, all: [$.big]}}
"""


def test_an_event_starts_the_workflows_whose_when_holds_with_the_payload_as_input(
    bridge: Bridge, conductor: Conductor
) -> None:
    for name in ("on_push", "on_main"):
        conductor.register(unique(name), [set_variable("note", ref="${workflow.input.ref}")])
    payload = {"ref": "refs/heads/topic", "commits": [1, 2]}

    event_id = accepted(bridge.github("pushes", payload))

    bridge.wait_for_event(event_id, "delivered")
    [workflow] = started_by(conductor, unique("on_push"), event_id)
    given = dict(workflow["input"])
    assert given.pop("_webhook")["eventId"] == event_id
    assert given == payload
    assert started_by(conductor, unique("on_main"), event_id) == []


def test_an_event_both_completes_and_starts_but_never_the_workflow_that_it_started(
    bridge: Bridge, conductor: Conductor
) -> None:
    name = conductor.register(unique("both"), [wait_for_webhook("wait")])
    waiting = conductor.start(name)
    conductor.wait_for_task(waiting, "wait")

    event_id = bridge.orders("both", {})

    conductor.wait_for_status(waiting)
    bridge.wait_for_event(event_id, "delivered")
    [started] = started_by(conductor, name, event_id)
    task = conductor.wait_for_task(started["workflowId"], "wait")
    wait_for(
        lambda: bridge.store.queries.task(task["taskId"]),
        "the worker knows the new workflow's task",
    )
    assert conductor.status(started["workflowId"]) == "RUNNING"

    # A held event that has started a workflow within the clock's skew is no other's to take either.
    assert [target.kind for target in bridge.targets(event_id)].count("complete") == 1
    conductor.terminate(started["workflowId"])


def test_two_entries_of_one_workflow_start_it_twice_without_metadata_and_with_an_input_if_so_asked(
    bridge: Bridge, conductor: Conductor
) -> None:
    name = conductor.register(unique("twice"), [set_variable("note", done=True)])
    payload = {"id": "o-1", "items": [{"sku": "é"}, {"sku": "${x}"}], "big": 12345678901234567}
    event_id = bridge.orders("twice", payload)
    bridge.wait_for_event(event_id, "delivered")
    [first] = started_by(conductor, name, event_id)
    assert first["input"] == payload
    [second] = started_by(conductor, name, f"{event_id}#2")
    assert second["input"] == {
        "order": "o-1",
        "skus": ["é", "${x}"],
        "event": event_id,
        "none": None,
        "cost": "$5",
        "all": [12345678901234567],
    }


@pytest.mark.server
def test_a_start_whose_answer_got_lost_is_found_though_the_index_never_learns_of_it(
    conductor: Conductor, conductor_url: str, new_bridge: Callable[..., Bridge]
) -> None:
    """As on Redis, where a server is killed at a start after it has stored the workflow."""
    to_lose = [("POST", "/api/workflow")]

    def decide(method: str, path: str) -> Fault | None:
        return "drop after" if (method, path) in to_lose and to_lose.pop() else None

    def instead(path: str) -> bytes | None:
        return b"{}" if path.split("?")[0].endswith("/correlated") else None

    proxy = FaultyProxy(port_of(conductor_url), decide, instead=instead)
    name = conductor.register(
        unique("forgotten"), [wait_for_webhook("wait", {"$.kind": "nothing"})]
    )
    webhooks = f"""
webhooks:
  - name: orders
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    starts: [{{workflow: {name}, input: {{number: $.number}}}}]
"""
    bridge = new_bridge(
        webhooks, conductor=proxy.url, bridge_call_timeout="2s"
    ).start_worker_alone()
    events = [bridge.orders("orders", {"number": number}) for number in range(3)]
    for event_id in events:
        bridge.wait_for_event(event_id, "delivered")
    assert to_lose == []
    started: list[str] = conductor.call("GET", f"/workflow/running/{name}")
    try:
        workflows = [conductor.workflow(id_) for id_ in started]
        found = {workflow["correlationId"]: workflow["input"] for workflow in workflows}
        assert len(workflows) == 3
        assert found == {event_id: {"number": number} for number, event_id in enumerate(events)}, (
            "and no more"
        )
    finally:
        for id_ in started:
            conductor.terminate(id_)
        bridge.stop()
        proxy.stop()
