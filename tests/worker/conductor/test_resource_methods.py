"""Conductor's own client makes every call, by its resource classes wherever they can: on a real
server."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
import urllib3
from conductor.client.http.api.metadata_resource_api import MetadataResourceApi
from conductor.client.http.api.task_resource_api import TaskResourceApi
from conductor.client.http.api.workflow_resource_api import WorkflowResourceApi
from conductor.client.http.api_client import ApiClient

from store.records import Task
from tools.servers.client import Conductor as Bystander
from tools.servers.client import wait_for, wait_for_webhook
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError
from worker.conductor.server import Server


def refuses(method: Callable[..., Any], *given: Any, **parameter: Any) -> bool:
    try:
        method(*given, **parameter)
    except TypeError as error:
        return "unexpected keyword argument" in str(error)
    return False


def lacks(resources: type, path: str) -> bool:
    return f"'{path}'," not in inspect.getsource(resources)


WITHOUT_METHOD: dict[str, tuple[str, Callable[[], bool]]] = {
    "POST /tasks/{workflowId}/{name}/COMPLETED": (
        "update_task1 takes no worker id, which is the event's",
        lambda: refuses(
            TaskResourceApi(ApiClient()).update_task1,
            {},
            "w",
            "name",
            "COMPLETED",
            workerid="event",
        ),
    ),
    "GET /workflow/search": (
        "search takes no order",
        lambda: refuses(WorkflowResourceApi(ApiClient()).search, sort="startTime:DESC"),
    ),
    "GET /workflow/webhook-bridge-check/messages": (
        "no server has it: the client only pushes",
        lambda: inspect.getsource(WorkflowResourceApi).count("/messages', 'GET'") == 0,
    ),
    "GET /metadata/workflow/names-and-versions": (
        "there is no method",
        lambda: lacks(MetadataResourceApi, "/metadata/workflow/names-and-versions"),
    ),
}
"""Calls that aren't made by a resource class → why, and whether it is still so."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Each call that passed `ApiClient.call_api`: its name, and whether a resource class made it."""
    made: list[tuple[str, bool]] = []
    call_api = ApiClient.call_api

    def count(client: ApiClient, path: str, method: str, *given: Any, **more: Any) -> Any:
        caller = sys._getframe(2).f_globals["__name__"]  # beyond the worker's own subclass
        made.append((f"{method} {path}", caller.startswith("conductor.client.http.api.")))
        return call_api(client, path, method, *given, **more)

    monkeypatch.setattr(ApiClient, "call_api", count)
    return made


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each request that was sent."""
    sent: list[str] = []
    urlopen = urllib3.PoolManager.urlopen

    def count(pool: urllib3.PoolManager, method: str, url: str, *given: Any, **more: Any) -> Any:
        sent.append(f"{method} {url}")
        return urlopen(pool, method, url, *given, **more)

    monkeypatch.setattr(urllib3.PoolManager, "urlopen", count)
    return sent


@pytest.mark.server
@pytest.mark.parametrize("keys", [(), ("key", "secret")])
def test_conductors_own_client_makes_every_call(
    conductor_url: str, keys: tuple[str, ...], calls: list[tuple[str, bool]], requests: list[str]
) -> None:
    """With a key, too: the server says that it has no tokens."""
    tasks = [wait_for_webhook("wait/a", {}), wait_for_webhook("b", {})]
    flow = Bystander(conductor_url).register(f"calls_{uuid4()}", tasks)
    conductor = Conductor(Server(conductor_url, *keys), 30)
    workflow_id = conductor.start(flow, None, '{"n": 1.50}', "event")
    found = wait_for(
        lambda: conductor.started(flow, "event"), "the start is found, on Redis by its index"
    )
    assert found == workflow_id
    [first] = poll(conductor, workflow_id)
    conductor.extend_lease(first.id, workflow_id)
    assert conductor.waiting_task(first.id) is not None
    assert [task.id for task in conductor.waiting_in(workflow_id)] == [first.id]
    assert conductor.complete(workflow_id, "wait/a", first.id, '{"text": "é"}', "event") is None
    assert conductor.evaluate(workflow_id)
    [second] = poll(conductor, workflow_id)
    assert conductor.complete(workflow_id, "b", second.id, "{}", "event") == second.id
    assert conductor.completed_by(workflow_id, "b", "event")
    assert not conductor.running(flow)
    assert conductor.workflow_versions()[flow] == [1]
    assert conductor.workflow_definition(flow, 1)["name"] == flow
    with suppress(ConductorError):  # PostgreSQL's index can't show tasks that ended
        conductor.ended_since(0)
    list(conductor.waiting_ids_since(conductor.server_now() - 1000))
    conductor.indexes_workflows()
    conductor.messages.are_on()
    with pytest.raises(ConductorError):  # it has ended
        conductor.messages.push(workflow_id, "{}")
    assert len(requests) == len(calls)
    assert {name for name, by_method in calls if not by_method} == set(WITHOUT_METHOD)


def poll(conductor: Conductor, workflow_id: str) -> list[Task]:
    def found() -> list[Task]:
        return [task for task in conductor.poll("me") if task.workflow_id == workflow_id]

    return wait_for(found, "the task is in the queue")


@pytest.mark.parametrize("call", WITHOUT_METHOD)
def test_what_has_no_resource_method_still_has_none(call: str) -> None:
    """Else make the call by it."""
    why, is_so = WITHOUT_METHOD[call]
    assert is_so(), why
