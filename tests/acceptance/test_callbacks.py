"""Callbacks on a real server: a link approves an order as documented, and URLs complete tasks of
every type, once."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.bridge import Bridge, unique
from tests.support.document import Document, make_patient
from tools.demo.services import Services
from tools.servers.client import (
    Answer,
    Conductor,
    RequestFailed,
    by_hand,
    http,
    until_stored,
    wait_for,
    wait_for_webhook,
)
from tools.servers.conductor import ConductorServer
from tools.servers.processes import free_port, start_admin

SECTION = re.search(
    r"^## Callback URLs$(.*?)^## ", Document("docs/definitions.md").text, re.MULTILINE | re.DOTALL
)
assert SECTION is not None
DOCUMENTED, FLOW, STRANGER = (
    unique("approved_order"),
    unique("callback_flow"),
    unique("callback_stranger"),
)
[DEFINITION] = re.findall(r"^```yaml\nwebhooks:\n(.*?)^```", SECTION[1], re.MULTILINE | re.DOTALL)
[WORKFLOW] = re.findall(r"^```json\n(.*?)^```", SECTION[1], re.MULTILINE | re.DOTALL)
TOKEN = "the-token-of-the-admin-process"
WEBHOOKS = f"""
webhooks:
{DEFINITION.replace("approved_order", DOCUMENTED)}
  - name: any
    callback: {{secret: "${{APPROVALS_SECRET}}", query: [decision]}}
    receivers: {{{FLOW}: any}}
  - name: brief
    callback: {{secret: "${{APPROVALS_SECRET}}"}}
    hold: 1s
    receivers: {{{FLOW}: any}}
  - name: open
    callback: {{by: id}}
    hold: 1s
    receivers: {{{FLOW}: any}}
"""
SETTINGS = {"approvals_secret": "the-secret-of-the-approvals", "bridge_admin_token": TOKEN}
# No server starts before all modules have been imported.
ConductorServer.java_options.append(f"-DCONDUCTOR_SECRET_BRIDGE_ADMIN_TOKEN={TOKEN}")


@pytest.fixture
def services() -> Iterator[Services]:
    services = Services()
    yield services
    services.stop()


def flow(conductor: Conductor, *tasks: dict[str, Any]) -> str:
    """A workflow of these tasks, started."""
    conductor.register(FLOW, list(tasks))
    return conductor.start(FLOW)


def human(name: str = "approve") -> dict[str, Any]:
    return {"name": name, "taskReferenceName": name, "type": "HUMAN"}


def loop(name: str, times: int, tasks: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "taskReferenceName": name,
        "type": "DO_WHILE",
        "inputParameters": {},
        "loopCondition": f"$.{name}['iteration'] < {times}" if times > 1 else "false",
        "loopOver": tasks,
    }


def inner_tasks(conductor: Conductor, workflow_id: str) -> list[Any]:
    """What completed the inner tasks of a nested loop, which all have the same name."""
    tasks = conductor.workflow(workflow_id)["tasks"]
    return [one["outputData"].get("n") for one in tasks if one["referenceTaskName"] == "approve__1"]


def url(bridge: Bridge, workflow_id: str, task: str = "approve", webhook: str = "any") -> str:
    """As the command line makes it, at the relay under test."""
    made = bridge.cli(
        "callback", webhook, "--workflow", workflow_id, "--task", task, "--expires", "1h"
    )
    return bridge.url + re.sub(r"^https?://[^/]+", "", made.split()[0])


def post(address: str, body: Any = None) -> Answer:
    given = json.dumps(body or {}).encode()
    return until_stored(lambda: http("POST", address, given, {"Content-Type": "application/json"}))


def event_of(answer: Answer) -> str:
    assert answer.status == 200, answer.text
    return str(answer.json["eventId"])


@pytest.mark.skipif(
    "TEST_CONDUCTOR_SERVER_URL" in os.environ, reason="that server doesn't have the admin's token"
)
def test_an_order_is_approved_by_a_link_as_documented(
    bridge: Bridge, conductor: Conductor, services: Services
) -> None:
    port = free_port()
    environment = {**bridge.environment, "BRIDGE_PUBLIC_URL": bridge.url}
    admin = start_admin(environment, bridge.folder / "admin.log", port, bridge.folder)
    try:
        text = WORKFLOW.replace("approved_order", DOCUMENTED).replace(
            "https://", f"{services.url}/"
        )
        workflow = json.loads(
            text.replace("http://bridge-admin.internal:8090", f"http://127.0.0.1:{port}")
        )
        make_patient(workflow)
        conductor.call("POST", "/metadata/workflow", workflow)
        workflow_id = conductor.start(DOCUMENTED, approver="ann@example.com")
        mail = wait_for(lambda: services.calls and services.calls[0].body, "the mail is sent")
        conductor.wait_for_task(workflow_id, "approve")
        link = mail["approve"]
        scanner = http("GET", link, headers={"Accept": "text/html"})
        assert (scanner.status, "<button>" in scanner.text) == (200, True)
        assert conductor.status(workflow_id) == "RUNNING"
        clicked = http(
            "POST",
            link,
            b"",
            {"Accept": "text/html", "Content-Type": "application/x-www-form-urlencoded"},
        )
        assert (clicked.status, "Received" in clicked.text) == (200, True)
        ended = conductor.wait_for_status(workflow_id)
        assert ended["output"] == {"decision": "approved"}
        assert post(mail["reject"]).status == 410
    finally:
        admin.stop()


@pytest.mark.parametrize(
    "task",
    [
        human(),
        {
            "name": "wait",
            "taskReferenceName": "approve",
            "type": "WAIT",
            "inputParameters": {"duration": "2 hours"},
        },
        {"name": unique("of_a_worker"), "taskReferenceName": "approve", "type": "SIMPLE"},
        wait_for_webhook("approve", {"$.never": "holds"}),
    ],
    ids=lambda task: task["type"],
)
def test_a_url_completes_a_task_of_any_type_once(
    bridge: Bridge, conductor: Conductor, task: dict[str, Any]
) -> None:
    if task["type"] == "SIMPLE":
        conductor.register_task(task["name"])
    workflow_id = flow(conductor, task, human("next"))
    conductor.wait_for_task(workflow_id, "approve")
    address = url(bridge, workflow_id)
    event_id = event_of(post(address, {"ok": True}))
    bridge.wait_for_event(event_id, "delivered")
    conductor.wait_for_task(workflow_id, "next")
    [done] = [
        one
        for one in conductor.workflow(workflow_id)["tasks"]
        if one["referenceTaskName"] == "approve"
    ]
    assert (done["status"], done["workerId"], done["outputData"]["ok"]) == (
        "COMPLETED",
        event_id,
        True,
    )
    assert done["outputData"]["_webhook"]["name"] == "any"
    assert address.rpartition("/")[2] not in json.dumps(done["outputData"])
    assert post(address).status == 410
    assert len(bridge.targets(event_id)) == 1
    bridge.cli("events", "explain", event_id)


@pytest.mark.parametrize(
    "task", [human(), wait_for_webhook("approve", {})], ids=lambda task: task["type"]
)
def test_an_event_that_comes_before_its_task_is_held_for_it(
    bridge: Bridge, conductor: Conductor, task: dict[str, Any]
) -> None:
    workflow_id = flow(conductor, by_hand(), task)
    conductor.wait_for_task(workflow_id, "gate")
    event_id = event_of(post(url(bridge, workflow_id)))
    wait_for(lambda: bridge.event(event_id).hold == "held", "it is held")
    assert "its task doesn't wait yet" in bridge.cli("events", "explain", event_id)
    conductor.complete(workflow_id, "gate")
    bridge.wait_for_event(event_id, "delivered")
    conductor.wait_for_status(workflow_id)


@pytest.mark.parametrize("called", ["while it waits", "before"])
def test_in_a_nested_loop_each_task_has_urls_of_its_own(
    bridge: Bridge, conductor: Conductor, called: str
) -> None:
    """Conductor calls the first inner task of every outer iteration ``approve__1``."""
    workflow_id = flow(conductor, loop("outer", 2, [by_hand(), loop("inner", 1, [human()])]))
    old: list[str] = []
    for outer in (1, 2):
        conductor.wait_for_task(workflow_id, f"gate__{outer}")
        approve, reject = (url(bridge, workflow_id, "approve__1") for _ in range(2))
        event_id = event_of(post(approve, {"n": outer})) if called == "before" else ""
        if event_id:
            wait_for(lambda: bridge.event(event_id).hold == "held", "it is held")  # noqa: B023
        conductor.complete(workflow_id, f"gate__{outer}")
        wait_for(lambda: len(inner_tasks(conductor, workflow_id)) == outer, "the task waits")  # noqa: B023
        event_id = event_id or event_of(post(approve, {"n": outer}))
        assert [post(one).status for one in (reject, approve, *old)] == [410] * (2 + len(old))
        bridge.wait_for_event(event_id, "delivered")
        old += [approve, reject]
    assert inner_tasks(conductor, workflow_id) == [1, 2]
    conductor.terminate(workflow_id)


@pytest.mark.parametrize(
    "task", [human(), wait_for_webhook("approve", {})], ids=lambda task: task["type"]
)
@pytest.mark.parametrize("again", ["restart", "rerun"])
def test_a_task_that_runs_again_has_new_urls_and_the_old_ones_are_used_up(
    bridge: Bridge, conductor: Conductor, task: dict[str, Any], again: str
) -> None:
    workflow_id = flow(conductor, task)
    conductor.wait_for_task(workflow_id, "approve")
    approve, reject = url(bridge, workflow_id), url(bridge, workflow_id)
    bridge.wait_for_event(event_of(post(approve, {"n": 1})), "delivered")
    conductor.wait_for_status(workflow_id)
    between = url(bridge, workflow_id)
    if again == "restart":
        conductor.call("POST", f"/workflow/{workflow_id}/restart")
    else:
        conductor.call(
            "POST", f"/workflow/{workflow_id}/rerun", {"reRunFromWorkflowId": workflow_id}
        )
    conductor.wait_for_task(workflow_id, "approve")
    assert [post(reject, {"n": 0}).status, post(approve, {"n": 0}).status] == [410, 410]
    event_id = event_of(post(url(bridge, workflow_id), {"n": 2}))
    bridge.wait_for_event(event_id, "delivered")
    [done] = conductor.wait_for_status(workflow_id)["tasks"]
    assert (done["workerId"], done["outputData"]["n"]) == (event_id, 2)
    assert post(between).status == 410


def test_of_urls_for_one_task_the_first_that_is_called_counts_though_the_task_waits_later(
    bridge: Bridge, conductor: Conductor
) -> None:
    """The second is made after the first was called, so the relay can't know that both are for one
    task."""
    workflow_id = flow(conductor, loop("outer", 2, [by_hand(), loop("inner", 1, [human()])]))
    conductor.wait_for_task(workflow_id, "gate__1")
    first = event_of(post(url(bridge, workflow_id, "approve__1"), {"n": 1}))
    second = event_of(post(late := url(bridge, workflow_id, "approve__1"), {"n": 2}))
    for event_id in (first, second):
        wait_for(lambda event_id=event_id: bridge.event(event_id).hold == "held", "it is held")
    conductor.complete(workflow_id, "gate__1")
    bridge.wait_for_event(first, "delivered")
    bridge.wait_for_event(second, "ignored")
    assert post(late).status == 410
    conductor.wait_for_task(workflow_id, "gate__2")
    conductor.complete(workflow_id, "gate__2")
    bridge.wait_for_event(
        event_of(post(url(bridge, workflow_id, "approve__1"), {"n": 3})), "delivered"
    )
    assert inner_tasks(conductor, workflow_id) == [1, 3]
    conductor.terminate(workflow_id)


def test_what_it_can_not_complete_says_why(bridge: Bridge, conductor: Conductor) -> None:
    conductor.register(STRANGER, [human()])
    stranger, ended = conductor.start(STRANGER), flow(conductor, human())
    conductor.terminate(ended)
    nowhere = "00000000-1111-4222-8333-444444444444"
    for workflow_id, status, reason in (
        (stranger, "failed", "isn't among the webhook's receivers"),
        (nowhere, "failed", "Conductor has no workflow"),
        (ended, "expired", "ended"),
    ):
        event_id = event_of(
            post(url(bridge, workflow_id, webhook="brief" if workflow_id == nowhere else "any"))
        )
        bridge.wait_for_event(event_id, status)
        (target,) = bridge.targets(event_id)
        assert reason in str(target.error)
        assert reason in bridge.cli("events", "explain", event_id)
        assert reason in bridge.cli("events", "show", event_id)
    conductor.terminate(stranger)


def test_with_by_id_a_workflow_has_its_own_urls_and_made_up_ids_are_forgotten(
    bridge: Bridge, conductor: Conductor
) -> None:
    workflow_id = flow(conductor, human())
    conductor.wait_for_task(workflow_id, "approve")
    made_up = event_of(
        post(f"{bridge.url}/webhook/open/00000000-1111-4222-8333-444444444444/approve")
    )
    event_id = event_of(post(f"{bridge.url}/webhook/open/{workflow_id}/approve", {"ok": 1}))
    bridge.wait_for_event(event_id, "delivered")
    assert conductor.wait_for_status(workflow_id)["tasks"][0]["outputData"]["ok"] == 1

    def is_ignored() -> bool:
        event = bridge.store.queries.event(made_up)
        return event is None or event.status == "ignored"  # it is pruned within a minute

    wait_for(is_ignored, "the made-up id is ignored")
    assert [target.state for target in bridge.targets(made_up)] in (["skipped"], [])


@pytest.mark.slow(30)
@pytest.mark.long
@pytest.mark.storm
def test_callbacks_complete_their_tasks_once_while_processes_are_killed(
    new_bridge: Callable[..., Bridge], conductor: Conductor
) -> None:
    bridge = new_bridge(WEBHOOKS, **SETTINGS).start()
    human_flow, hook_flow = unique("callback_human"), unique("callback_hook")
    bridge.define(WEBHOOKS.replace(f"{FLOW}: any", f"{human_flow}: any, {hook_flow}: any"))
    bridge.reload()
    conductor.register(human_flow, [human("one"), human("two")])
    conductor.register(hook_flow, [wait_for_webhook("one", {}), wait_for_webhook("two", {})])
    workflows = [conductor.start(name) for name in (human_flow, hook_flow) for _ in range(6)]
    addresses = {
        (flow_, task): url(bridge, flow_, task) for flow_ in workflows for task in ("two", "one")
    }
    chance = random.Random(7)
    accepted: dict[tuple[str, str], str] = {}

    def send(place: tuple[str, str]) -> None:
        """As a sender that repeats what isn't answered."""
        while place not in accepted:
            try:
                answer = post(addresses[place], {"for": list(place)})
            except RequestFailed:
                answer = None
            if answer is not None and answer.status in (200, 410):
                accepted[place] = answer.text
            else:
                assert answer is None or answer.status in (404, 503), (
                    "it has not read the definition yet, or can't store"
                )
                time.sleep(0.1)

    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(send, place) for place in addresses]
        for _ in range(4):
            wait_for(
                lambda: all(one.done() for one in sent) or chance.random() < 0.3, "some are sent"
            )
            if chance.random() < 0.5 and bridge.relay is not None:
                bridge.relay.kill()
                bridge.start_relay()
            if bridge.worker is not None:
                bridge.worker.kill()
                bridge.start_worker()
        for one in sent:
            one.result()
    for flow_ in workflows:
        ended = conductor.wait_for_status(flow_)
        for task in ended["tasks"]:
            place = (flow_, task["referenceTaskName"])
            assert task["outputData"]["for"] == list(place)
            events = [event for event in bridge.events("any") if event.id == task["workerId"]]
            assert [str(event.only) for event in events] == [f"task {place[1]} of workflow {flow_}"]
    assert len(bridge.events("any")) == len(addresses)
    for event in bridge.events("any"):
        bridge.wait_for_event(event.id, "delivered")
