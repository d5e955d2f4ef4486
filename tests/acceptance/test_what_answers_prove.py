"""What Conductor's answers prove about waiting tasks: no wrong server, gateway, rerun or new
version loses one."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_discovery import GO, taken_by_somebody, webhooks
from tests.support.bridge import Bridge, unique, waiting
from tests.support.faulty_proxy import Exchange, FaultyProxy, HttpProxy, port_of
from tools.servers.client import Conductor, outputs, wait_for, wait_for_webhook
from tools.servers.conductor import ConductorServer

pytestmark = pytest.mark.server
RESOURCE_NOT_FOUND = json.dumps({"statusCode": 404, "message": "Resource not found"}).encode()


class Gateway(HttpProxy):
    """Forwards every call, counts reads of single tasks, and may have no route."""

    has_route = True

    def answer(self, exchange: Exchange, body: bytes) -> None:
        """Answers one request as API gateways do."""
        if re.fullmatch(r"/api/tasks/[0-9a-f-]{36}", exchange.path):
            self.counts[exchange.path.rpartition("/")[2]] += 1
        if self.has_route:
            super().answer(exchange, body)
        else:
            exchange.say(404, RESOURCE_NOT_FOUND)


@pytest.fixture
def gateway(conductor_url: str) -> Iterator[Gateway]:
    gateway = Gateway(port_of(conductor_url))
    yield gateway
    gateway.stop()


def known_to(bridge: Bridge, conductor: Conductor, workflow_id: str) -> str:
    """The workflow's waiting task, once the bridge knows it."""
    task_id = str(conductor.wait_for_task(workflow_id, "wait")["taskId"])
    wait_for(lambda: bridge.store.queries.task(task_id), "the worker knows the task")
    return task_id


def take_go(bridge: Bridge, conductor: Conductor, *workflow_ids: str, event_id: str = "") -> None:
    """An event comes, or has come, which completes these workflows."""
    event_id = event_id or bridge.orders("orders", {"kind": "go"})
    for workflow_id in workflow_ids:
        *_, output = outputs(conductor.wait_for_status(workflow_id), "wait")
        assert output["_webhook"]["eventId"] == event_id


@pytest.mark.long
def test_tasks_wait_on_while_the_address_leads_to_an_empty_conductor(
    conductor: Conductor, gateway: Gateway, new_bridge: Callable[..., Bridge], tmp_path: Path
) -> None:
    bridge = new_bridge(webhooks("moved"), conductor=gateway.url, bridge_discovery_interval="250ms")
    bridge.start_worker_alone()
    workflows = [waiting(conductor, "moved", GO) for _ in range(3)]
    tasks = [known_to(bridge, conductor, workflow_id) for workflow_id in workflows]
    empty = ConductorServer(tmp_path / "empty", say=lambda text: None)
    empty.start()
    try:
        right, gateway.to = gateway.to, empty.port
        wait_for(lambda: bridge.store.reports.read().another_server, "people are told")
        assert "knows none of the tasks" in bridge.cli("check", all_output=True)
        gateway.counts.clear()
        wait_for(
            lambda: min(gateway.counts[task_id] for task_id in tasks) >= 5,
            "they are asked for again and again",
        )
        event_id = bridge.orders("orders", {"kind": "go"})
        gateway.counts.clear()
        wait_for(
            lambda: min(gateway.counts[task_id] for task_id in tasks) >= 5,
            "their completions are tried",
        )
    finally:
        gateway.to = right
        empty.stop()
    take_go(bridge, conductor, *workflows, event_id=event_id)
    wait_for(
        lambda: not bridge.store.reports.read().another_server,
        "it is known to be the right one again",
    )


def test_tasks_wait_on_while_a_gateway_answers_404(
    conductor: Conductor, gateway: Gateway, new_bridge: Callable[..., Bridge]
) -> None:
    bridge = new_bridge(
        webhooks("no_route"), conductor=gateway.url, bridge_discovery_interval="250ms"
    )
    bridge.start_worker_alone()
    workflow_id = waiting(conductor, "no_route", GO)
    task_id = known_to(bridge, conductor, workflow_id)
    # A worker that couldn't search the index once asks for no tasks yet.
    wait_for(lambda: gateway.counts[task_id], "the task is asked for while there is a route")
    gateway.has_route = False
    gateway.counts.clear()
    wait_for(lambda: gateway.counts[task_id] >= 3, "the task is asked for")
    gateway.has_route = True
    take_go(bridge, conductor, workflow_id)


def test_a_task_that_is_rerun_under_its_id_and_polled_by_somebody_else_waits_again(
    conductor: Conductor, no_queue: FaultyProxy, new_bridge: Callable[..., Bridge]
) -> None:
    # The worker polls after each effect, and would take the rerun task before somebody else does.
    bridge = new_bridge(
        webhooks("rerun"), conductor=no_queue.url, bridge_discovery_interval="250ms"
    )
    bridge.start_worker_alone()
    workflow_id = waiting(conductor, "rerun", GO)
    task_id = taken_by_somebody(conductor, workflow_id)
    take_go(bridge, conductor, workflow_id)
    wait_for(lambda: bridge.store.queries.task(task_id).state == "completed", "that is recorded")  # type: ignore[union-attr]

    conductor.call("POST", f"/workflow/{workflow_id}/rerun", {"reRunFromTaskId": task_id})
    assert taken_by_somebody(conductor, workflow_id) == task_id, "it keeps its id"
    wait_for(lambda: bridge.store.queries.task(task_id).state == "waiting", "it waits again")  # type: ignore[union-attr]
    take_go(bridge, conductor, workflow_id)


def test_a_workflow_that_is_restarted_with_another_version_is_received_by_that_version(
    conductor: Conductor, new_bridge: Callable[..., Bridge]
) -> None:
    name = unique("upgraded")
    first, second = ({"$.kind": kind} for kind in ("first", "second"))
    bridge = new_bridge(
        f"""
webhooks:
  - name: one
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers: {{{name}: 1}}
  - name: two
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers: {{{name}: 2}}
"""
    ).start_worker_alone()
    conductor.register(name, [wait_for_webhook("wait", first), wait_for_webhook("again", second)])
    workflow_id = conductor.start(name)
    bridge.orders("one", {"kind": "first"})
    conductor.wait_for_task(workflow_id, "again")

    conductor.register(name, [wait_for_webhook("wait", second)], version=2)
    conductor.terminate(workflow_id)
    conductor.call("POST", f"/workflow/{workflow_id}/restart?useLatestDefinitions=true")
    known_to(bridge, conductor, workflow_id)
    not_its = bridge.orders("one", {"kind": "second"})
    bridge.wait_until_decided(not_its)
    its = bridge.orders("two", {"kind": "second"})
    [output] = outputs(conductor.wait_for_status(workflow_id), "wait")
    assert output["_webhook"]["eventId"] == its


def test_tasks_of_workflows_that_are_nobodys_receivers_are_not_read(
    conductor: Conductor, gateway: Gateway, new_bridge: Callable[..., Bridge]
) -> None:
    """Until they are receivers: then their tasks are found, though they began to wait long before."""
    theirs = {waiting(conductor, "theirs", GO) for _ in range(20)}
    polled: set[str] = set()

    def all_are_polled() -> bool:
        polled.update(task["workflowInstanceId"] for task in conductor.poll())
        return polled >= theirs

    wait_for(all_are_polled, "somebody has polled all of them")
    tasks = [str(conductor.task(workflow_id, "wait")["taskId"]) for workflow_id in theirs]  # type: ignore[index]
    bridge = new_bridge(webhooks("ours"), conductor=gateway.url, bridge_discovery_interval="250ms")
    bridge.start_worker_alone()
    wait_for(lambda: bridge.store.reports.read().index_searched_to, "the worker has searched")
    ours = waiting(conductor, "ours", GO)
    take_go(bridge, conductor, ours)
    assert not gateway.counts.keys() & set(tasks)

    time.sleep(0.5)  # a search may have begun before it knew the new definitions
    bridge.define(webhooks("ours", "theirs"))
    bridge.reload()
    wait_for(lambda: all(map(bridge.store.queries.task, tasks)), "all are known")
    take_go(bridge, conductor, *theirs)
