"""What BRIDGE_LEAVE_TO_CONDUCTOR names is left to webhooks of the server's own."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.bridge import Bridge, unique
from tools.servers.client import Conductor, wait_for_webhook

WEBHOOKS = """
webhooks:
  - name: orders
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers: {{{}: any}}
"""


def test_a_task_that_is_left_to_the_server_is_not_completed(
    conductor: Conductor, new_bridge: Callable[..., Bridge]
) -> None:
    flow = conductor.register(unique("left"), [wait_for_webhook("wait", {"$.kind": "go"})])
    bridge = new_bridge(WEBHOOKS.format(flow), bridge_leave_to_conductor=flow)
    bridge.start_worker_alone()
    workflow_id = conductor.start(flow)
    conductor.wait_for_task(workflow_id, "wait")

    event_id = bridge.orders("orders", {"kind": "go"})
    bridge.wait_for_event(event_id, "ignored")
    assert conductor.status(workflow_id) == "RUNNING"
    assert "left to webhooks of Conductor's own" in bridge.cli("events", "explain", event_id)
