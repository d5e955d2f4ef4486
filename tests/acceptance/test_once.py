"""One workflow for one key, start or resume, a pace and a pause, on a real Conductor."""

from __future__ import annotations

import time

from tests.support.bridge import Bridge, started_by, unique
from tests.support.makers import new_event
from tools.servers.client import Conductor, set_variable, wait_for, wait_for_webhook

KEY = 'headers: {X-Api-Key: "${API_KEY}"}'
RELAY = False
WEBHOOKS = f"""
webhooks:
  - name: tickets
    {KEY}
    starts:
      - workflow: {unique("ticket")}
        once: {{key: $.ticket.id}}
  - name: talk
    {KEY}
    receivers: {{{unique("talk")}: any}}
    starts:
      - workflow: {unique("talk")}
        unless: taken
  - name: slow
    {KEY}
    pace: 2/s
    starts:
      - workflow: {unique("slow")}
  - name: quick
    {KEY}
    starts:
      - workflow: {unique("slow")}
  - name: maintenance
    {KEY}
    hold: 1s
    receivers: {{{unique("maintenance")}: any}}
"""


def test_two_deliveries_of_one_key_start_one_workflow_while_it_runs(
    bridge: Bridge, conductor: Conductor
) -> None:
    name = conductor.register(unique("ticket"), [wait_for_webhook("wait")])
    first = bridge.orders("tickets", {"ticket": {"id": 7}})
    second = bridge.orders("tickets", {"ticket": {"id": "7"}})
    other = bridge.orders("tickets", {"ticket": {"id": 8}})
    keyless = [bridge.orders("tickets", {"ticket": {}}) for _ in range(2)]
    for event_id in (first, second, other, *keyless):
        bridge.wait_for_event(event_id, "delivered")
    [started] = started_by(conductor, name, first)
    assert started_by(conductor, name, second) == []
    [skipped] = bridge.targets(second)
    assert (skipped.state, skipped.workflow_id) == ("skipped", started["workflowId"])
    for event_id in (other, *keyless):
        assert len(started_by(conductor, name, event_id)) == 1

    # When it has ended, the next delivery starts one again.
    conductor.terminate(started["workflowId"])
    third = bridge.orders("tickets", {"ticket": {"id": 7}})
    bridge.wait_for_event(third, "delivered")
    assert len(started_by(conductor, name, third)) == 1


def test_one_url_resumes_a_waiting_workflow_or_starts_one(
    bridge: Bridge, conductor: Conductor
) -> None:
    name = conductor.register(unique("talk"), [wait_for_webhook("wait", {"$.say": "go on"})])
    starting = bridge.orders("talk", {"say": "go on"})
    bridge.wait_for_event(starting, "delivered")
    [workflow] = started_by(conductor, name, starting)
    conductor.wait_for_task(workflow["workflowId"], "wait")

    resuming = bridge.orders("talk", {"say": "go on"})
    conductor.wait_for_status(workflow["workflowId"])
    bridge.wait_for_event(resuming, "delivered")
    assert started_by(conductor, name, resuming) == []


def test_a_pace_spreads_the_calls_of_its_webhook_in_order_and_slows_no_other(
    bridge: Bridge, conductor: Conductor
) -> None:
    name = conductor.register(unique("slow"), [set_variable("note", done=True)])
    began = bridge.store.now()
    paced, quick = [unique(f"paced{number}") for number in range(6)], unique("quick")
    # In one transaction: none is decided while others are still to come.
    bridge.store.deliveries.append(
        [
            new_event(id_, webhook="quick" if id_ == quick else "slow", received_at=began)
            for id_ in (*paced, quick)
        ]
    )
    for event_id in (*paced, quick):
        bridge.wait_for_event(event_id, "delivered")
    # They are claimed in order. On a busy machine two that run side by side may reach Conductor the
    # other way round.
    claimed = [target.claimed_at or 0 for target in bridge.store.queries.targets_of(paced)]
    assert claimed == sorted(claimed)
    assert 0 not in claimed
    assert (bridge.targets(quick)[0].claimed_at or 0) < claimed[-1]
    starts = [started_by(conductor, name, event_id)[0]["startTime"] for event_id in paced]
    assert max(starts) - began >= 2000, "six calls at two a second"


def test_while_paused_deliveries_are_accepted_and_nothing_is_decided(
    bridge: Bridge, conductor: Conductor
) -> None:
    name = conductor.register(unique("maintenance"), [wait_for_webhook("wait")])
    workflow_id = conductor.start(name)
    task = conductor.wait_for_task(workflow_id, "wait")
    wait_for(lambda: bridge.store.queries.task(task["taskId"]), "the worker knows the task")

    assert "paused" in bridge.cli("pause", "maintenance")
    event_id = bridge.orders("maintenance", {"go": 1})
    # The hold is over long before; the worker has had its time to decide, if it would.
    time.sleep(3)
    assert bridge.event(event_id).decided_at is None
    assert conductor.status(workflow_id) == "RUNNING"
    [row] = [row for row in bridge.cli_json("webhooks") if row["name"] == "maintenance"]
    assert row["pausedAt"]

    bridge.cli("resume", "maintenance")
    bridge.wait_for_event(event_id, "delivered")
    conductor.wait_for_status(workflow_id)
    bridge.cli("pause", "no-such-webhook", code=1)
