"""A server with webhooks of its own beside the bridge: what both do is told, and what is left to it stays its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from admin.page.app import create_app
from config.settings import Settings
from config.webhooks import Definitions, Webhook
from testkit import PATIENCE
from testkit.client import Conductor, http, outputs, wait_for, wait_for_webhook
from testkit.own_webhooks import OwnWebhooks
from tests.acceptance.bridge import Bridge, unique
from worker.conductor.server import Server
from worker.conductor.server_webhooks import FACT
from worker.discovery.probe import probe

KEY = {"X-Api-Key": "the-key-of-the-servers-webhook"}


@pytest.fixture
def server(conductor_url: str) -> Iterator[OwnWebhooks]:
    """The Conductor under test with webhooks of its own."""
    server = OwnWebhooks(conductor_url)
    yield server
    server.stop()


def webhooks(name: str) -> str:
    return f"""
webhooks:
  - name: orders
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers: {{{unique(name)}: any}}
"""


def post(server: OwnWebhooks, id_: str, payload: dict[str, Any]) -> None:
    answer = http("POST", f"{server.url}/webhook/{id_}", json.dumps(payload).encode(), KEY)
    assert answer.status == 200, answer.text


def test_webhooks_on_both_sides_are_told_by_check_and_by_the_overview(
    conductor: Conductor, server: OwnWebhooks, new_bridge: Callable[..., Bridge]
) -> None:
    flow = conductor.register(unique("both"), [wait_for_webhook("wait", {"$.kind": "go"})])
    id_ = server.add(name="payments", verifier="HEADER_BASED", headers=KEY, receiverWorkflowNamesToVersions={flow: 1})
    bridge = new_bridge(webhooks("both"), conductor=server.url, bridge_discovery_interval="500ms")
    bridge.start_worker()
    wait_for(lambda: bridge.store.facts.all().get(FACT), "the worker has looked at the server's webhooks")

    both = f"payments (id {id_}): both complete tasks of {flow}"
    webhook = Webhook.model_validate({"name": "orders", "receivers": {flow: "any"}})
    found = probe(Server(server.url), Definitions((webhook,)), seconds=PATIENCE)  # as check does, with more time
    assert [result.level for result in found if both in result.what] == ["warning"]
    assert KEY["X-Api-Key"] not in bridge.store.facts.all()[FACT]
    database = bridge.environment["BRIDGE_DATABASE"]
    page = create_app(Settings(bridge_webhooks=bridge.definitions, bridge_database=database)).test_client()
    assert both in page.get("/").text
    assert "This Conductor server has webhooks of its own (1)" in page.get("/").text


def test_what_is_left_to_the_server_only_its_own_webhook_completes(
    conductor: Conductor, server: OwnWebhooks, new_bridge: Callable[..., Bridge]
) -> None:
    flow = conductor.register(unique("left"), [wait_for_webhook("wait", {"$.kind": "go"})])
    id_ = server.add(name="own", verifier="HEADER_BASED", headers=KEY, receiverWorkflowNamesToVersions={flow: 1})
    bridge = new_bridge(webhooks("left"), conductor=server.url, bridge_leave_to_conductor=flow)
    bridge.start_worker_alone()
    workflow_id = conductor.start(flow)
    conductor.wait_for_task(workflow_id, "wait")

    event_id = bridge.orders("orders", {"kind": "go", "from": "bridge"})
    bridge.wait_for_event(event_id, "ignored")
    assert conductor.status(workflow_id) == "RUNNING"
    assert "left to webhooks of Conductor's own" in bridge.cli("events", "explain", event_id)

    post(server, id_, {"kind": "go", "from": "server"})
    [output] = outputs(conductor.wait_for_status(workflow_id), "wait")
    assert output["from"] == "server"
