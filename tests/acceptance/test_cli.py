"""The command line beside running processes."""

from __future__ import annotations

import json

import pytest

from testkit.client import Conductor, wait_for, wait_for_webhook
from tests.acceptance.bridge import Bridge, unique

WEBHOOKS = f"""
webhooks:
  - name: orders
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers: {{{unique("cli_orders")}: any}}
  - name: deploys
    platform: github
    secret: ${{GITHUB_SECRET}}
    receivers: {{{unique("cli_deploys")}: any}}
"""


@pytest.fixture
def waiting(bridge: Bridge, conductor: Conductor) -> tuple[str, str]:
    """The ids of a workflow that waits for a paid order, and of its task, which the worker knows."""
    conductor.register(unique("cli_orders"), [wait_for_webhook("wait", {"$.order.state": "paid"})])
    workflow_id = conductor.start(unique("cli_orders"))
    task_id = conductor.wait_for_task(workflow_id, "wait")["taskId"]
    wait_for(lambda: bridge.store.queries.task(task_id), "the worker knows the task")
    return workflow_id, task_id


def test_check_finds_nothing_wrong(bridge: Bridge) -> None:
    bridge.cli("check")


def test_webhooks_lists_each_with_its_url(bridge: Bridge) -> None:
    rows = {row["name"]: row for row in bridge.cli_json("webhooks")}
    assert set(rows) == {"orders", "deploys"}
    assert set(rows["orders"]) >= {"name", "url", "platform", "status", "verifiedAt"}
    assert rows["deploys"]["platform"] == "github"
    assert rows["deploys"]["url"].endswith("/webhook/deploys")


def test_tasks_lists_the_waiting_ones_with_their_matches(bridge: Bridge, waiting: tuple[str, str]) -> None:
    workflow_id, task_id = waiting
    [row] = [row for row in bridge.cli_json("tasks") if row["taskId"] == task_id]
    assert row["workflowId"] == workflow_id
    assert row["workflow"] == unique("cli_orders")
    assert row["referenceName"] == "wait"
    assert row["matches"] == {"$.order.state": "paid"}
    assert row["waitingSince"]


def test_an_event_that_does_not_match_is_explained_and_after_all_replayed(
    bridge: Bridge, conductor: Conductor, waiting: tuple[str, str]
) -> None:
    workflow_id, task_id = waiting
    event_id = bridge.orders("orders", {"order": {"state": "open"}})
    bridge.wait_until_decided(event_id)

    [row] = [row for row in bridge.cli_json("events") if row["eventId"] == event_id]
    assert row["webhook"] == "orders"
    assert row["status"] == "pending"
    assert row["targets"] == []
    assert set(row) >= {"receivedAt", "deliveryId"}
    assert '"open"' in bridge.cli("events", "show", event_id)
    explained = bridge.cli("events", "explain", event_id)
    for part in (task_id, "$.order.state", "paid", "open"):
        assert part in explained

    # The same event again, as a new one: it doesn't match either. A better one does.
    bridge.cli("events", "replay", event_id, "--yes")
    assert len(bridge.events("orders")) == 2
    bridge.orders("orders", {"order": {"state": "paid"}})
    conductor.wait_for_status(workflow_id)


def test_send_signs_as_the_platform_does(bridge: Bridge, conductor: Conductor) -> None:
    conductor.register(unique("cli_deploys"), [wait_for_webhook("wait", {"$.ref": "refs/heads/main"})])
    workflow_id = conductor.start(unique("cli_deploys"))
    conductor.wait_for_task(workflow_id, "wait")
    file = bridge.folder / "push.json"
    file.write_text(json.dumps({"ref": "refs/heads/main"}))

    bridge.cli("send", "deploys", "--data", f"@{file}")

    conductor.wait_for_status(workflow_id)
    [row] = [row for row in bridge.cli_json("webhooks") if row["name"] == "deploys"]
    assert row["status"] == "Verified"


def test_an_unknown_event_or_webhook_is_a_problem_and_a_wrong_option_is_bad_usage(bridge: Bridge) -> None:
    bridge.cli("events", "show", "no-such-event", code=1)
    bridge.cli("send", "no-such-webhook", "--data", "{}", code=1)
    bridge.cli("events", "--colour", code=2)
