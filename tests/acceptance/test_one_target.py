"""One of an event's targets is replayed on a real server, and everything else that it matches is left alone."""

from __future__ import annotations

from testkit.client import Conductor, outputs, set_variable, wait_for_webhook
from tests.acceptance.bridge import Bridge, started_by, unique

WEBHOOKS = f"""
webhooks:
  - name: orders
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers: {{{unique("one_target_loop")}: any}}
    starts:
      - workflow: {unique("one_target_known")}
      - workflow: {unique("one_target_missing")}
"""


def looping(conductor: Conductor) -> str:
    """A workflow that takes two events, one after the other."""
    conductor.register(
        unique("one_target_loop"),
        [
            {
                "name": "loop",
                "taskReferenceName": "loop",
                "type": "DO_WHILE",
                "inputParameters": {},
                "loopCondition": "if ($.loop['iteration'] < 2) { true; } else { false; }",
                "loopOver": [wait_for_webhook("wait", {"$.kind": "go"})],
            }
        ],
    )
    workflow_id = conductor.start(unique("one_target_loop"))
    conductor.wait_for_task(workflow_id, "wait__1")
    return workflow_id


def test_one_target_of_several_is_replayed_and_no_other(bridge: Bridge, conductor: Conductor) -> None:
    conductor.register(unique("one_target_known"), [set_variable("note", kind="${workflow.input.kind}")])
    loops = [looping(conductor) for _ in range(3)]
    event_id = bridge.orders("orders", {"kind": "go"})
    bridge.wait_for_event(event_id, "failed")
    targets = bridge.targets(event_id)
    assert sorted(target.state for target in targets) == ["done"] * 4 + ["failed"]
    for workflow_id in loops:
        conductor.wait_for_task(workflow_id, "wait__2")

    conductor.register(unique("one_target_missing"), [set_variable("note", kind="${workflow.input.kind}")])
    place = next(number for number, target in enumerate(targets, 1) if target.state == "failed")
    start = bridge.cli("events", "replay", event_id, "--target", str(place)).strip()
    bridge.wait_for_event(start, "delivered")
    assert [target.kind for target in bridge.targets(start)] == ["start"]
    assert len(started_by(conductor, unique("one_target_missing"), start)) == 1
    assert started_by(conductor, unique("one_target_known"), start) == []
    assert bridge.event(event_id).resolved_by == start
    assert "Resolved by replay" in bridge.cli("events", "show", event_id)

    place = next(number for number, target in enumerate(targets, 1) if target.workflow_id == loops[1])
    completion = bridge.cli("events", "replay", event_id, "--target", str(place)).strip()
    bridge.wait_for_event(completion, "delivered")
    conductor.wait_for_status(loops[1])
    assert [target.workflow_id for target in bridge.targets(completion)] == [loops[1]]
    assert [conductor.status(loop) for loop in loops] == ["RUNNING", "COMPLETED", "RUNNING"]
    assert len(list(outputs(conductor.workflow(loops[1]), "wait__2"))) == 1
