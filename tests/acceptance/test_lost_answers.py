"""What a call did is found out, though its answer was lost and Conductor no longer has what it was
about.

A loop removes its earlier iterations (`keepLastN`), and Conductor archives workflows as they end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.bridge import Bridge, unique
from tests.support.faulty_proxy import Fault, FaultyProxy, port_of
from tools.servers.client import Conductor, RequestFailed, set_variable, wait_for, wait_for_webhook

LOOP, WAITS, STARTED, TOLD = unique("loop"), unique("waits"), unique("started"), unique("told")
WEBHOOKS = f"""
webhooks:
  - name: events
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers: {{{LOOP}: any, {WAITS}: any}}
  - name: starts
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    starts: [{{workflow: {STARTED}}}]
  - name: chat
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    messages: [{{workflow: {TOLD}, key: $.thread}}]
"""
OWN = {"$.workflow": "${workflow.workflowId}"}
LOOKS_UP_TASK = re.compile("/api/tasks/[0-9a-f-]{36}")
NOTHING = b'{"totalHits": 0, "results": []}'


archives = pytest.mark.skipif(
    "TEST_CONDUCTOR_SERVER_URL" in os.environ, reason="that server may not archive"
)


class LosesOne(FaultyProxy):
    """Loses the answer to the first POST whose path ends so; from then on look-ups fail until they
    may go on."""

    def __init__(self, to: int) -> None:
        super().__init__(to, self.loses, instead=self.empty_search)
        self.end_of_path = ""
        self.look_ups_fail = False
        self.index_shows = True
        """Whether the index shows tasks that are gone."""

    def loses(self, method: str, path: str) -> Fault | None:
        path = path.partition("?")[0]
        if method == "POST" and self.end_of_path and path.endswith(self.end_of_path):
            self.end_of_path, self.look_ups_fail = "", True
            return "drop after"
        is_look_up = path.endswith("/correlated") or LOOKS_UP_TASK.fullmatch(path)
        return "503" if is_look_up and self.look_ups_fail else None

    def empty_search(self, path: str) -> bytes | None:
        return NOTHING if "/search?" in path and "taskId" in path and not self.index_shows else None


@pytest.fixture(scope="module")
def proxy(conductor_url: str) -> Iterator[LosesOne]:
    proxy = LosesOne(port_of(conductor_url))
    yield proxy
    proxy.stop()


@pytest.fixture(scope="module")
def bridge(proxy: LosesOne, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    bridge = Bridge(
        tmp_path_factory.mktemp("bridge"), proxy.url, WEBHOOKS, bridge_call_timeout="3s"
    )
    yield bridge.start_worker_alone()
    bridge.stop()


def loop_of(conductor: Conductor) -> tuple[str, str]:
    """A workflow whose loop keeps its last iteration and waits for events of its own, and its first
    task."""
    loop = {
        "name": "loop",
        "taskReferenceName": "loop",
        "type": "DO_WHILE",
        "inputParameters": {"keepLastN": 1},
        "loopCondition": "if ($.loop['iteration'] < 3) { true; } else { false; }",
        "loopOver": [wait_for_webhook("item", OWN)],
    }
    conductor.register(LOOP, [loop])
    workflow_id = conductor.start(LOOP)
    return workflow_id, conductor.wait_for_task(workflow_id, "item__1")["taskId"]


def look_up_once_gone(proxy: LosesOne, conductor: Conductor, path: str) -> None:
    """Look-ups succeed from when Conductor no longer has that."""

    def is_gone() -> bool:
        try:
            conductor.call("GET", path)
        except RequestFailed as error:
            return error.status == 404
        return False

    wait_for(lambda: proxy.look_ups_fail, "the answer is lost")
    wait_for(is_gone, f"{path} is gone")
    proxy.look_ups_fail = False


def look_up_once_next_waits(
    proxy: LosesOne, conductor: Conductor, workflow_id: str, task_id: str
) -> None:
    conductor.wait_for_task(workflow_id, "item__2")
    look_up_once_gone(proxy, conductor, f"/tasks/{task_id}")


def in_index(conductor: Conductor, workflow: str) -> list[dict[str, Any]]:
    """All workflows of that name that there ever were."""
    found = conductor.call("GET", f"/workflow/search?size=10&query=workflowType%3D%27{workflow}%27")
    return list(found["results"])


def test_an_event_whose_answer_was_lost_in_a_loop_that_keeps_one_iteration_completes_no_second(
    bridge: Bridge, proxy: LosesOne, conductor: Conductor
) -> None:
    workflow_id, first = loop_of(conductor)
    proxy.end_of_path = "/item__1/COMPLETED"
    event_id = bridge.orders("events", {"workflow": workflow_id})
    look_up_once_next_waits(proxy, conductor, workflow_id, first)
    bridge.wait_for_event(event_id, "delivered")
    assert [(target.task_id, target.state) for target in bridge.targets(event_id)] == [
        (first, "done")
    ]
    assert conductor.wait_for_task(workflow_id, "item__2")


def test_one_that_the_index_does_not_show_fails_and_completes_the_next_only_by_a_replay(
    bridge: Bridge, proxy: LosesOne, conductor: Conductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow_id, first = loop_of(conductor)
    monkeypatch.setattr(proxy, "index_shows", False)
    proxy.end_of_path = "/item__1/COMPLETED"
    event_id = bridge.orders("events", {"workflow": workflow_id})
    look_up_once_next_waits(proxy, conductor, workflow_id, first)
    bridge.wait_for_event(event_id, "failed")
    assert [(target.task_id, target.state) for target in bridge.targets(event_id)] == [
        (first, "unknown")
    ]
    assert "It can't be found out whether task item__1" in bridge.cli("events", "explain", event_id)
    second = conductor.wait_for_task(workflow_id, "item__2")
    replay = bridge.cli_json("events", "replay", event_id)["eventId"]
    bridge.wait_for_event(replay, "delivered")
    assert [target.task_id for target in bridge.targets(replay)] == [second["taskId"]]
    assert bridge.event(event_id).resolved_by == replay


@archives
def test_a_completion_whose_answer_was_lost_is_done_though_its_workflow_is_archived(
    bridge: Bridge, proxy: LosesOne, conductor: Conductor
) -> None:
    conductor.register(WAITS, [wait_for_webhook("wait", OWN)], workflowStatusListenerEnabled=True)
    workflow_id = conductor.call("POST", "/workflow", {"name": WAITS})
    task = conductor.wait_for_task(workflow_id, "wait")
    proxy.end_of_path = "/wait/COMPLETED"
    event_id = bridge.orders("events", {"workflow": workflow_id})
    look_up_once_gone(proxy, conductor, f"/tasks/{task['taskId']}")
    bridge.wait_for_event(event_id, "delivered")
    assert [target.state for target in bridge.targets(event_id)] == ["done"]


@archives
@pytest.mark.skipif(
    os.environ.get("TEST_CONDUCTOR") == "redis-es", reason="it shows archived workflows as others"
)
@pytest.mark.parametrize("webhook", ["starts", "chat"])
def test_a_start_whose_answer_was_lost_is_made_once_though_its_workflow_is_archived(
    bridge: Bridge, proxy: LosesOne, conductor: Conductor, webhook: str
) -> None:
    workflow = STARTED if webhook == "starts" else TOLD
    conductor.register(
        workflow, [set_variable("note", done=True)], workflowStatusListenerEnabled=True
    )
    proxy.end_of_path = "/api/workflow"
    event_id = bridge.orders(webhook, {"thread": unique("thread")})
    [started] = wait_for(lambda: in_index(conductor, workflow), "the index shows it")
    look_up_once_gone(proxy, conductor, f"/workflow/{started['workflowId']}")
    bridge.wait_for_event(event_id, "delivered")
    assert [target.workflow_id for target in bridge.targets(event_id)] == [started["workflowId"]]
    assert len(in_index(conductor, workflow)) == 1
