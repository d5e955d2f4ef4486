"""A server where WAIT_FOR_WEBHOOK is a system task, stood in for: no queue hands it out, and `endTime` means little.

A foreign poll takes every task at once, and a proxy edits what the index says as such a server would.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from testkit.client import Conductor, http, outputs, wait_for, wait_for_webhook
from tests.acceptance.bridge import Bridge, unique
from tests.acceptance.faults.editing import EditingProxy

pytestmark = pytest.mark.server


def webhooks(name: str) -> str:
    """One webhook for the workflow of that name."""
    return f"""
webhooks:
  - name: orders
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers: {{{unique(name)}: any}}
"""


@pytest.fixture
def drained(conductor: Conductor, conductor_url: str) -> Iterator[EditingProxy]:
    """The server without a queue: the bridge's polls find nothing, somebody else's take all."""
    stop = threading.Event()

    def drain() -> None:
        while not stop.is_set():
            conductor.poll(count=100)

    def instead(path: str) -> bytes | None:
        return b"[]" if path.startswith("/api/tasks/poll/") else None

    proxy = EditingProxy(conductor_url, instead)
    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    yield proxy
    stop.set()
    thread.join()
    proxy.stop()


def taken(conductor: Conductor, name: str) -> str:
    """A workflow whose task somebody has taken from the queue."""
    workflow_id = conductor.start(unique(name))
    wait_for(lambda: (conductor.task(workflow_id, "wait") or {}).get("status") == "IN_PROGRESS", "the task is taken")
    return workflow_id


def test_the_first_event_takes_effect_at_once_and_not_at_the_next_search(
    conductor: Conductor, drained: EditingProxy, new_bridge: Callable[..., Bridge]
) -> None:
    conductor.register(unique("system"), [wait_for_webhook("wait", {"$.kind": "go"})])
    bridge = new_bridge(webhooks("system"), conductor=drained.url, bridge_discovery_interval="1h").start_worker_alone()
    wait_for(lambda: bridge.store.facts.all().get("discovery"), "the worker has searched")
    workflow_id = taken(conductor, "system")
    time.sleep(2)  # an index may be late; that isn't the question here

    event_id = bridge.orders("orders", {"kind": "go"})

    # The next search would be an hour later, and this waits for two minutes.
    [output] = outputs(conductor.wait_for_status(workflow_id), "wait")
    assert output["_webhook"]["eventId"] == event_id


def test_what_the_index_says_of_an_end_drops_no_task_that_waits(
    conductor: Conductor, drained: EditingProxy, new_bridge: Callable[..., Bridge]
) -> None:
    conductor.register(unique("hearsay"), [wait_for_webhook("wait", {"$.kind": "go"})])
    bridge = new_bridge(webhooks("hearsay"), conductor=drained.url, bridge_discovery_interval="1s")
    bridge.start_worker_alone()
    workflow_id = taken(conductor, "hearsay")
    task = conductor.task(workflow_id, "wait")
    assert task is not None
    wait_for(lambda: bridge.store.queries.task(task["taskId"]), "the worker knows the task")

    # From now on the index shows it as ended, as it does after a lease's extension.
    drained.ended = {"taskId": task["taskId"], "status": "COMPLETED", "workflowId": workflow_id}
    asked = drained.searches_of_ends
    wait_for(lambda: drained.searches_of_ends > asked + 2, "the index has said so twice")
    known = bridge.store.queries.task(task["taskId"])
    assert known is not None
    assert known.state == "waiting"

    bridge.orders("orders", {"kind": "go"})
    conductor.wait_for_status(workflow_id)


def test_a_server_without_indexing_is_read_by_its_running_workflows(
    conductor: Conductor, drained: EditingProxy, new_bridge: Callable[..., Bridge]
) -> None:
    conductor.register(unique("unindexed"), [wait_for_webhook("wait", {"$.kind": "go"})])
    workflow_id = taken(conductor, "unindexed")
    drained.indexing = False
    bridge = new_bridge(webhooks("unindexed"), conductor=drained.url).start_worker_alone()
    bridge.orders("orders", {"kind": "go"})
    conductor.wait_for_status(workflow_id)
    assert re.fullmatch(r"search-v2|search(: .*)?|workflows: .*", bridge.store.facts.all()["discovery"])


def test_a_task_that_the_index_lost_is_found_by_its_workflow(
    conductor: Conductor, drained: EditingProxy, new_bridge: Callable[..., Bridge]
) -> None:
    """As of a Conductor that was killed between storing the task's adoption and indexing it."""
    conductor.register(unique("lost"), [wait_for_webhook("wait", {"$.kind": "go"})])
    lost, shown = taken(conductor, "lost"), taken(conductor, "lost")
    ids = [conductor.wait_for_task(workflow_id, "wait")["taskId"] for workflow_id in (lost, shown)]
    drained.hidden = ids[0]
    bridge = new_bridge(webhooks("lost"), conductor=drained.url, bridge_discovery_interval="1s")
    bridge.start_worker_alone()
    for task_id in ids:
        wait_for(lambda task_id=task_id: bridge.store.queries.task(task_id), "the worker knows the task")  # type: ignore[misc]

    bridge.orders("orders", {"kind": "go"})

    for workflow_id in (lost, shown):
        conductor.wait_for_status(workflow_id)


def test_the_stand_in_is_the_server_but_for_its_edits(conductor: Conductor, drained: EditingProxy) -> None:
    assert json.loads(http("GET", f"{drained.url}/tasks/poll/batch/WAIT_FOR_WEBHOOK").body) == []
    assert http("GET", f"{drained.url}/workflow/running/nothing").json == []
