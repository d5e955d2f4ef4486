"""Names that no path of Conductor's API may contain: its server answers 400 to `/` and `\\`, however encoded, and dots
alone lead to another path."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.support.bridge import Bridge, unique
from tests.support.faulty_proxy import FaultyProxy, port_of
from tools.servers.client import Conductor, set_variable, wait_for, wait_for_webhook

RESUMED, STARTED, TOLD = unique("team/resume"), unique("team/charge"), unique("team\\\\chat")
WEBHOOKS = f"""
webhooks:
  - name: slashes
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers:
      "{RESUMED}": any
  - name: starts
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    starts: [{{workflow: "{STARTED}"}}]
  - name: chat
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    messages: [{{workflow: "{TOLD}", key: $.thread}}]
"""


def started(conductor: Conductor, event_id: str) -> list[str]:
    """The workflows that the event started."""
    query = quote(f"correlationId='{event_id}'")
    found = conductor.call("GET", f"/workflow/search?start=0&size=10&query={query}")
    return [one["workflowId"] for one in found["results"] if one["workflowType"] == STARTED]


def test_a_task_whose_name_fits_no_path_is_completed_by_its_id(
    new_bridge: Callable[..., Bridge], conductor: Conductor
) -> None:
    bridge = new_bridge(WEBHOOKS).start_worker_alone()
    names = ("a/b", "a\\b", "a b", ".", "..")
    conductor.register(RESUMED, [wait_for_webhook(name, {"$.step": name}) for name in names])
    workflow_id = conductor.start(RESUMED)
    for name in names:
        conductor.wait_for_task(workflow_id, name)
        event_id = bridge.orders("slashes", {"step": name})
        bridge.wait_for_event(event_id, "delivered")
        task = conductor.task(workflow_id, name)
        assert task is not None
        assert (task["status"], task["workerId"], task["outputData"]["step"]) == (
            "COMPLETED",
            event_id,
            name,
        )
    conductor.wait_for_status(workflow_id)


@pytest.mark.parametrize("fault", ["drop after", "drop before"])
def test_a_start_whose_answer_is_lost_or_that_is_older_than_the_worker_is_made_once(
    new_bridge: Callable[..., Bridge], conductor: Conductor, conductor_url: str, fault: str
) -> None:
    conductor.register(STARTED, [set_variable("note", done=True)])
    conductor.start(STARTED)  # the index isn't empty
    faults = [fault]
    proxy = FaultyProxy(port_of(conductor_url), lambda method, path: _next(faults, method, path))  # type: ignore[arg-type,return-value]
    try:
        bridge = new_bridge(WEBHOOKS, conductor=proxy.url, bridge_call_timeout="2s")
        bridge.start_relay()
        event_id = bridge.orders("starts", {})
        bridge.start_worker()
        bridge.wait_for_event(event_id, "delivered")
        [target] = bridge.targets(event_id)
        assert faults == []
        assert target.attempts >= 2, (
            "and more, where the machine is too busy to answer in two seconds"
        )
        assert wait_for(lambda: started(conductor, event_id), "the index shows it") == [
            target.workflow_id
        ]
    finally:
        proxy.stop()


def _next(faults: list[str], method: str, path: str) -> str | None:
    return faults.pop() if faults and (method, path) == ("POST", "/api/workflow") else None


def test_what_cannot_work_fails_and_check_says_so(
    new_bridge: Callable[..., Bridge], conductor: Conductor
) -> None:
    name = TOLD.replace("\\\\", "\\")
    for one in (RESUMED, STARTED, name):
        conductor.register(one, [wait_for_webhook("wait")])
    bridge = new_bridge(WEBHOOKS).start_worker_alone()
    event_id = bridge.orders("chat", {"thread": "1"})
    bridge.wait_for_event(event_id, "failed")
    bridge.check(
        f"the definition of {RESUMED} can't be read",
        f"a start of {STARTED} with a lost answer is only looked up in the index",
        f"Conductor can't be asked which {name} runs, so every message fails",
        code=1,
    )
