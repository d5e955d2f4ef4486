"""Waiting tasks are found wherever they are: in the queue, in a domain's queue, or only in the
index."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.bridge import Bridge, unique, waiting
from tests.support.faulty_proxy import FaultyProxy
from tools.servers.client import Conductor, RequestFailed, outputs, wait_for, wait_for_webhook
from tools.servers.wall_clock import WallClock

pytestmark = pytest.mark.server
GO = {"$.kind": "go"}


def webhooks(*workflows: str) -> str:
    """One webhook with these receivers."""
    receivers = "".join(f"\n      {unique(workflow)}: any" for workflow in workflows)
    return f"""
webhooks:
  - name: orders
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers:{receivers}
"""


def taken_by_somebody(conductor: Conductor, workflow_id: str) -> str:
    """Takes the workflow's waiting task from the queue, as another program's poll does; the task's
    id."""

    def polled() -> str | None:
        found = [task for task in conductor.poll() if task["workflowInstanceId"] == workflow_id]
        return found[0]["taskId"] if found else None

    task_id = wait_for(polled, f"the task of workflow {workflow_id} is polled")
    assert task_id is not None
    wait_for(
        lambda: conductor.task(workflow_id, "wait")["status"] == "IN_PROGRESS",
        "the task is IN_PROGRESS",
    )  # type: ignore[index]
    return task_id


def test_a_task_in_a_domains_queue_is_found(
    conductor: Conductor, new_bridge: Callable[..., Bridge]
) -> None:
    bridge = new_bridge(webhooks("domain"), bridge_task_domains="billing").start_worker_alone()
    name = conductor.register(unique("domain"), [wait_for_webhook("wait", {"$.kind": "go"})])
    body = {"name": name, "input": {}, "taskToDomain": {"WAIT_FOR_WEBHOOK": "billing"}}
    workflow_id = str(conductor.call("POST", "/workflow", body))
    task = conductor.wait_for_task(workflow_id, "wait")
    assert task["domain"] == "billing"

    bridge.orders("orders", {"kind": "go"})

    conductor.wait_for_status(workflow_id)


def test_tasks_that_wait_when_a_worker_starts_are_completed_known_or_polled_by_somebody_else(
    conductor: Conductor, new_bridge: Callable[..., Bridge]
) -> None:
    bridge = new_bridge(webhooks("restart", "polled_before")).start_worker_alone()
    known = waiting(conductor, "restart", GO)
    task = conductor.task(known, "wait")
    assert task is not None
    wait_for(lambda: bridge.store.queries.task(task["taskId"]), "the worker knows the task")
    assert bridge.stop_worker() == 0
    polled = waiting(conductor, "polled_before", GO)
    taken_by_somebody(conductor, polled)

    event_id = bridge.orders("orders", {"kind": "go"})
    assert conductor.status(known) == "RUNNING"
    bridge.start_worker()

    for workflow_id in (known, polled):
        [output] = outputs(conductor.wait_for_status(workflow_id), "wait")
        assert output["_webhook"]["eventId"] == event_id


def test_a_task_that_somebody_else_polls_while_the_worker_runs_is_found_by_the_index_search(
    conductor: Conductor, no_queue: FaultyProxy, new_bridge: Callable[..., Bridge]
) -> None:
    bridge = new_bridge(
        webhooks("polled_meanwhile"), conductor=no_queue.url, bridge_discovery_interval="1s"
    )
    bridge.start_worker_alone()
    wait_for(lambda: bridge.store.reports.read().conductor, "the worker has reached Conductor")
    workflow_id = waiting(conductor, "polled_meanwhile", GO)
    task_id = taken_by_somebody(conductor, workflow_id)

    known = wait_for(lambda: bridge.store.queries.task(task_id), "the worker knows the task")
    assert known is not None
    assert known.found_by == "index"
    bridge.orders("orders", {"kind": "go"})
    conductor.wait_for_status(workflow_id)


def test_two_bridges_on_one_server_each_complete_their_own_receivers_tasks(
    conductor: Conductor, new_bridge: Callable[..., Bridge]
) -> None:
    one = new_bridge(webhooks("bridge_one"), bridge_discovery_interval="1s").start_worker_alone()
    two = new_bridge(webhooks("bridge_two"), bridge_discovery_interval="1s").start_worker_alone()
    workflows = {
        bridge: [waiting(conductor, name, GO) for _ in range(5)]
        for bridge, name in ((one, "bridge_one"), (two, "bridge_two"))
    }

    for bridge, ids in workflows.items():
        # What the other bridge has adopted is found by the index, later; those events are held.
        for _ in ids:
            bridge.orders("orders", {"kind": "go"})
        for workflow_id in ids:
            conductor.wait_for_status(workflow_id)


# --- a server whose queue hands nothing out, as where WAIT_FOR_WEBHOOK is a system task


@pytest.fixture
def drained(conductor: Conductor, no_queue: FaultyProxy) -> Iterator[FaultyProxy]:
    """The bridge's polls find nothing, somebody else's take all."""
    over = threading.Event()

    def drain() -> None:
        while not over.is_set():
            with suppress(RequestFailed):  # a busy Conductor's database may be locked
                conductor.poll(count=100)

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    yield no_queue
    over.set()
    thread.join()


def test_where_no_queue_hands_it_out_an_event_takes_effect_at_once_and_not_at_the_next_search(
    conductor: Conductor, drained: FaultyProxy, new_bridge: Callable[..., Bridge]
) -> None:
    bridge = new_bridge(
        webhooks("drained"), conductor=drained.url, bridge_discovery_interval="1h"
    ).start_worker_alone()
    wait_for(lambda: bridge.store.reports.read().discovery, "the worker has searched")
    workflow_id = waiting(conductor, "drained", GO)
    wait_for(
        lambda: conductor.task(workflow_id, "wait")["status"] == "IN_PROGRESS",
        "somebody has taken it",
    )  # type: ignore[index]
    time.sleep(2)  # an index may be late; that isn't the question here
    event_id = bridge.orders("orders", {"kind": "go"})
    # The next search would be an hour later, and this waits for two minutes.
    [output] = outputs(conductor.wait_for_status(workflow_id), "wait")
    assert output["_webhook"]["eventId"] == event_id


@pytest.mark.skipif(not WallClock.is_possible(), reason="needs Linux and a C compiler")
def test_an_event_goes_to_its_task_though_the_machines_clock_is_set_before_it_is_decided(
    conductor: Conductor, new_bridge: Callable[..., Bridge], tmp_path: Path
) -> None:
    clock = WallClock(tmp_path)
    bridge = new_bridge(webhooks("clock"))
    bridge.environment.update(clock.environment)
    bridge.start_worker_alone()
    workflow_id = waiting(conductor, "clock", GO)
    bridge.wait_until_decided(bridge.orders("orders", {"kind": "other"}))
    bridge.store.pauses.pause("orders", bridge.store.now())
    event_id = bridge.orders("orders", {"kind": "go"})
    clock.set(90)
    bridge.store.pauses.resume("orders")
    [output] = outputs(conductor.wait_for_status(workflow_id), "wait")
    assert output["_webhook"]["eventId"] == event_id
