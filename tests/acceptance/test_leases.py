"""A task that waits does not time out for its silence, but does for its own limit."""

from __future__ import annotations

import time

import pytest

from tests.support.bridge import Bridge, unique
from tools.servers.client import Conductor, wait_for, wait_for_webhook

pytestmark = pytest.mark.server

RELAY = False
WEBHOOKS = f"""
webhooks:
  - name: leases
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers:
      {unique("lease")}: any
      {unique("limit")}: any
"""


@pytest.mark.slow
def test_a_response_timeout_never_ends_the_wait_but_the_tasks_own_timeout_does(
    bridge: Bridge, conductor: Conductor
) -> None:
    conductor.register_task(unique("lease_task"), responseTimeoutSeconds=15, timeoutSeconds=3600)
    conductor.register(
        unique("lease"), [wait_for_webhook("wait", {"$.kind": "go"}, task=unique("lease_task"))]
    )
    conductor.register_task(
        unique("limit_task"),
        responseTimeoutSeconds=5,
        timeoutSeconds=8,
        timeoutPolicy="TIME_OUT_WF",
    )
    conductor.register(
        unique("limit"), [wait_for_webhook("wait", {"$.kind": "never"}, task=unique("limit_task"))]
    )
    kept, limited = conductor.start(unique("lease")), conductor.start(unique("limit"))
    task_id = conductor.wait_for_task(kept, "wait")["taskId"]
    began = time.monotonic()

    def still_waits_after_20_seconds() -> bool:
        task = conductor.task(kept, "wait")
        assert task is not None
        assert task["taskId"] == task_id, "the task timed out and was tried again"
        assert task["status"] in ("SCHEDULED", "IN_PROGRESS")
        return time.monotonic() - began > 20

    wait_for(still_waits_after_20_seconds, "20 seconds pass", every=0.5)
    bridge.orders("leases", {"kind": "go"})
    workflow = conductor.wait_for_status(kept)
    assert [task["status"] for task in workflow["tasks"]] == ["COMPLETED"]
    # The server looks at a workflow's limits now and then; this makes it look at once.
    conductor.call("PUT", f"/workflow/decide/{limited}")
    conductor.wait_for_status(limited, "TIMED_OUT")
