"""Why an event had no effect, afterwards: on a real Conductor, by command line, API and page."""

from __future__ import annotations

import json

from admin.page.app import create_app
from config.settings import load_settings
from tests.support.bridge import Bridge, unique, waiting
from tools.servers.client import Conductor, wait_for

WEBHOOKS = f"""
webhooks:
  - name: chat
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers: {{{unique("chat_flow")}: any}}
  - name: short
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    hold: 1s
    receivers: {{{unique("short_flow")}: any}}
"""
RELAY = False


def test_the_nearest_tasks_verdict_stays_once_the_task_was_taken_by_another_event(
    bridge: Bridge, conductor: Conductor
) -> None:
    workflow_id = waiting(conductor, "chat_flow", {"$.event.type": "message"})
    missed = bridge.orders("chat", {"event": {"type": "reaction"}})
    wait_for(lambda: bridge.event(missed).hold == "held", "the event is held")
    taken = bridge.orders("chat", {"event": {"type": "message"}})
    bridge.wait_for_event(taken, "delivered")
    assert conductor.workflow(workflow_id)["status"] == "COMPLETED"
    reason = '$.event.type is "reaction", expected is "message"'
    said = bridge.cli("events", "explain", missed)
    assert "DIFFERS  task wait of" in said and reason in said
    with bridge.inside(bridge.environment):
        client = create_app(load_settings()).test_client()
        tasks = client.get(f"/api/events/{missed}/why").get_json()["tasks"]
        [task] = [one for one in tasks if one["workflowId"] == workflow_id]
        assert (task["verdict"], task["reason"]) == ("differs", reason)
        assert "expected is &#34;message&#34;" in client.get(f"/events/{missed}").get_data(
            as_text=True
        )


def test_an_expired_event_says_what_came_nearest_as_its_hold_ended(
    bridge: Bridge, conductor: Conductor
) -> None:
    workflow_id = waiting(conductor, "short_flow", {"$.id": 7})
    missed = bridge.orders("short", {"id": 8})
    bridge.wait_for_event(missed, "expired")
    conductor.terminate(workflow_id)
    assert "$.id is 8, expected is 7" in bridge.cli("events", "explain", missed)
    lines = [json.loads(line) for line in (bridge.folder / "worker.log").read_text().splitlines()]
    # On a busy machine its hold may be over before it is decided: then it was never held.
    [over] = [
        line
        for line in lines
        if line.get("event_id") == missed
        and (line["event"] == "event expired" or line.get("status") == "expired")
    ]
    assert over["nearest"] == [f"wait of {unique('short_flow')} ({workflow_id}) differs in $.id"]
