"""Waiting workflows go on with the event that they wait for, and with no other."""

from __future__ import annotations

import time

from tests.support.bridge import Bridge, accepted, unique, waiting
from tools.servers.client import (
    Conductor,
    by_hand,
    outputs,
    set_variable,
    wait_for,
    wait_for_webhook,
)

ORDERS = """
  - name: {name}
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers: {{{receiver}}}
"""


def orders(name: str, receiver: str | None = None) -> str:
    """A webhook that is verified by a header, for the workflow of the same name."""
    return ORDERS.format(name=name, receiver=receiver or f"{unique(name)}: any")


STORES = ("sqlite", "postgres")
RELAY = False
WEBHOOKS = (
    f"""
webhooks:
  - name: github
    platform: github
    secret: ${{GITHUB_SECRET}}
    receivers:
      {unique("deploy")}: any
"""
    + orders("fan_out")
    + orders("partly")
    + orders("loop")
    + orders("terminated")
    + orders("early")
    + orders("expires").rstrip()
    + "\n    hold: 1s\n"
    + orders("late_start")
    + orders("one_taker")
    + orders("versions", f"{unique('versions')}: [1, 3]")
    + orders("paused")
    + orders("parent")
    + orders("values")
)

SETTINGS = {"bridge_clock_skew": "200ms"}


def test_a_signed_github_event_resumes_the_workflow_with_the_payload_as_output(
    bridge: Bridge, conductor: Conductor
) -> None:
    conductor.register(
        unique("deploy"),
        [
            wait_for_webhook(
                "wait", {"$.ref": "refs/heads/main", "$._webhook.headers['x-github-event']": "push"}
            ),
            set_variable("note", pushed_by="${wait.output.pusher.name}"),
        ],
        outputParameters={"pusher": "${workflow.variables.pushed_by}"},
    )
    workflow_id = conductor.start(unique("deploy"))
    task = conductor.wait_for_task(workflow_id, "wait")

    payload = {
        "ref": "refs/heads/main",
        "pusher": {"name": "octocat"},
        "commits": [{"id": "a1"}, {"id": "b2"}],
    }
    event_id = accepted(bridge.github("github", payload))

    workflow = conductor.wait_for_status(workflow_id)
    assert workflow["output"] == {"pusher": "octocat"}
    [output] = outputs(workflow, "wait")
    metadata = output.pop("_webhook")
    assert output == payload
    assert metadata["eventId"] == event_id
    assert metadata["name"] == "github"
    assert "x-hub-signature-256" not in metadata["headers"]
    bridge.wait_for_event(event_id, "delivered")
    [target] = bridge.targets(event_id)
    assert (target.task_id, target.state) == (task["taskId"], "done")


def test_one_event_completes_every_workflow_that_waits_for_it(
    bridge: Bridge, conductor: Conductor
) -> None:
    first = waiting(conductor, "fan_out", {"$.kind": "go"})
    second = waiting(conductor, "fan_out", {"$.kind": "go"})
    other = waiting(conductor, "fan_out", {"$.kind": "stop"})

    event_id = bridge.orders("fan_out", {"kind": "go"})

    for workflow_id in (first, second):
        # All three tasks were registered one after the other; the matches are the task's, not the
        # definition's.
        conductor.wait_for_status(workflow_id)
    bridge.wait_for_event(event_id, "delivered")
    assert {target.workflow_id for target in bridge.targets(event_id)} == {first, second}
    assert conductor.status(other) == "RUNNING"


def test_a_task_whose_matches_hold_only_in_part_stays(bridge: Bridge, conductor: Conductor) -> None:
    workflow_id = waiting(conductor, "partly", {"$.a": 1, "$['b']['c']": True})

    missed = [
        bridge.orders("partly", {"a": 1}),
        bridge.orders("partly", {"a": 1, "b": {"c": False}}),
        bridge.orders("partly", {"a": 2, "b": {"c": True}}),
    ]
    for event_id in missed:
        assert bridge.wait_until_decided(event_id).status == "pending"
    assert conductor.status(workflow_id) == "RUNNING"

    event_id = bridge.orders("partly", {"a": 1, "b": {"c": True}})
    conductor.wait_for_status(workflow_id)
    bridge.wait_for_event(event_id, "delivered")


def test_matches_with_the_workflows_input_keep_their_types(
    bridge: Bridge, conductor: Conductor
) -> None:
    matches = {"$.order.id": "${workflow.input.order}", "$.items[*].sku": "${workflow.input.sku}"}
    mine = waiting(conductor, "values", matches, order=42, sku="B")
    others = waiting(conductor, "values", matches, order=43, sku="B")

    bridge.orders("values", {"order": {"id": 42.0}, "items": [{"sku": "A"}, {"sku": "B"}]})

    conductor.wait_for_status(mine)
    assert conductor.status(others) == "RUNNING"


def test_a_task_in_a_loop_takes_one_event_an_iteration_in_the_order_of_arrival(
    bridge: Bridge, conductor: Conductor
) -> None:
    loop = {
        "name": "loop",
        "taskReferenceName": "loop",
        "type": "DO_WHILE",
        "inputParameters": {},
        "loopCondition": "if ($.loop['iteration'] < 3) { true; } else { false; }",
        "loopOver": [wait_for_webhook("wait", {"$.kind": "tick"})],
    }
    conductor.register(unique("loop"), [loop])
    workflow_id = conductor.start(unique("loop"))
    conductor.wait_for_task(workflow_id, "wait__1")

    for number in (1, 2, 3, 4):
        bridge.orders("loop", {"kind": "tick", "number": number})

    workflow = conductor.wait_for_status(workflow_id)
    assert [output["number"] for output in outputs(workflow, "wait__")] == [1, 2, 3]
    # The store is told after Conductor.
    expected = ["delivered"] * 3 + ["pending"]
    wait_for(
        lambda: sorted(event.status for event in bridge.events("loop")) == expected,
        "three events are delivered",
    )


def test_the_task_of_a_terminated_workflow_takes_nothing(
    bridge: Bridge, conductor: Conductor
) -> None:
    ended = waiting(conductor, "terminated", {"$.kind": "go"})
    # A poll beside the termination could make the task wait again in the workflow that has ended.
    task_id = conductor.wait_for_task(ended, "wait")["taskId"]
    wait_for(lambda: bridge.store.queries.task(task_id), "the worker knows the task")
    conductor.terminate(ended)

    event_id = bridge.orders("terminated", {"kind": "go"})

    # The event is free for another task: that of a workflow that ran when it arrived, or nearly so.
    bridge.wait_until_decided(event_id)
    wait_for(
        lambda: (
            not any(target.state in ("pending", "claimed") for target in bridge.targets(event_id))
        ),
        "every call for the event is answered",
    )
    task = conductor.task(ended, "wait")
    assert bridge.event(event_id).status == "pending", task
    assert task is not None
    assert task["status"] == "CANCELED"
    assert task["outputData"] == {}


def test_an_event_that_comes_before_its_task_waits_is_held_and_then_taken(
    bridge: Bridge, conductor: Conductor
) -> None:
    workflow_id = waiting(conductor, "early", {"$.kind": "go"}, gate=True)

    event_id = bridge.orders("early", {"kind": "go"})
    assert bridge.wait_until_decided(event_id).status == "pending"
    conductor.complete(workflow_id, "gate")

    [output] = outputs(conductor.wait_for_status(workflow_id), "wait")
    assert output["_webhook"]["eventId"] == event_id
    bridge.wait_for_event(event_id, "delivered")


def test_an_event_that_nothing_takes_expires_when_its_hold_ends(bridge: Bridge) -> None:
    event_id = bridge.orders("expires", {})
    bridge.wait_for_event(event_id, "expired")
    assert bridge.targets(event_id) == []


def test_a_held_event_has_one_taker_and_the_oldest_goes_first(
    bridge: Bridge, conductor: Conductor
) -> None:
    first, second, third = (waiting(conductor, "one_taker", gate=True) for _ in range(3))
    events = [bridge.orders("one_taker", {"number": number}) for number in (1, 2)]
    for event_id in events:
        bridge.wait_until_decided(event_id)

    for workflow_id, event_id in zip((first, second), events, strict=True):
        conductor.complete(workflow_id, "gate")
        [output] = outputs(conductor.wait_for_status(workflow_id), "wait")
        assert output["_webhook"]["eventId"] == event_id
    conductor.complete(third, "gate")
    task_id = conductor.wait_for_task(third, "wait")["taskId"]

    wait_for(lambda: bridge.store.queries.task(task_id), "the worker knows the third task")
    assert conductor.status(third) == "RUNNING"


def test_an_event_never_completes_a_task_of_a_workflow_that_started_after_it(
    bridge: Bridge, conductor: Conductor
) -> None:
    event_id = bridge.orders("late_start", {})
    arrived = bridge.wait_until_decided(event_id).received_at
    wait_for(lambda: time.time() * 1000 > arrived + 500, "more than the clock's skew has passed")

    late = waiting(conductor, "late_start")
    task = conductor.task(late, "wait")
    assert task is not None
    wait_for(lambda: bridge.store.queries.task(task["taskId"]), "the worker knows the late task")

    # The next event shows that the late task was looked at and could take one.
    next_id = bridge.orders("late_start", {})
    [output] = outputs(conductor.wait_for_status(late), "wait")
    assert output["_webhook"]["eventId"] == next_id
    assert bridge.event(event_id).status == "pending"


def test_only_tasks_of_the_receivers_versions_are_completed(
    bridge: Bridge, conductor: Conductor
) -> None:
    workflows = {}
    for version in (1, 2, 3):
        conductor.register(unique("versions"), [wait_for_webhook("wait")], version=version)
        workflows[version] = conductor.start(unique("versions"), version=version)
        conductor.wait_for_task(workflows[version], "wait")

    event_id = bridge.orders("versions", {"kind": "go"})

    conductor.wait_for_status(workflows[1])
    conductor.wait_for_status(workflows[3])
    bridge.wait_for_event(event_id, "delivered")
    assert conductor.status(workflows[2]) == "RUNNING"


def test_a_paused_workflows_task_is_completed_and_the_workflow_goes_on_when_resumed(
    bridge: Bridge, conductor: Conductor
) -> None:
    workflow_id = waiting(conductor, "paused")
    conductor.call("PUT", f"/workflow/{workflow_id}/pause")

    event_id = bridge.orders("paused", {})
    bridge.wait_for_event(event_id, "delivered")
    conductor.call("PUT", f"/workflow/{workflow_id}/resume")

    conductor.wait_for_status(workflow_id)


def test_the_root_workflows_start_counts_for_a_task_of_a_sub_workflow(
    bridge: Bridge, conductor: Conductor
) -> None:
    conductor.register(unique("parent"), [wait_for_webhook("wait")])
    sub = {
        "name": "child",
        "taskReferenceName": "child",
        "type": "SUB_WORKFLOW",
        "inputParameters": {},
        "subWorkflowParam": {"name": unique("parent"), "version": 1},
    }
    conductor.register(unique("root"), [by_hand("gate"), sub])
    root = conductor.start(unique("root"))
    conductor.wait_for_task(root, "gate")
    event_id = bridge.orders("parent", {})
    arrived = bridge.wait_until_decided(event_id).received_at
    wait_for(lambda: time.time() * 1000 > arrived + 500, "more than the clock's skew has passed")

    conductor.complete(root, "gate")  # now the child starts, after the event's arrival

    workflow = conductor.wait_for_status(root)
    assert [task["status"] for task in workflow["tasks"]] == ["COMPLETED", "COMPLETED"]
    bridge.wait_for_event(event_id, "delivered")
