"""Senders wait for their workflows while everything is killed: none is lost, and each gets its
workflow's answer."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable

import pytest

from tests.acceptance.faults.clients import Clients
from tests.support.bridge import Bridge, started_by, unique
from tests.support.chance import SEED
from tests.support.kills import kills, storm
from tests.support.storms import lasting
from tools.servers import PATIENCE
from tools.servers.backends import Conductors, chosen_kind
from tools.servers.client import Answer, Conductor, RequestFailed

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.storm]
STORES = (os.environ.get("TEST_STORE", "postgres" if chosen_kind() == "postgres" else "sqlite"),)
"""One, as a storm takes a minute: PostgreSQL where Conductor uses it too."""
SECONDS = lasting(5)
SENDERS = 8
WORKFLOW = unique("answers_storm")
WEBHOOKS = f"""
webhooks:
  - name: ask
    platform: github
    secret: ${{GITHUB_SECRET}}
    starts: [{{workflow: {WORKFLOW}}}]
    respond: {{wait: 5s, output: $.reply}}
"""


class Senders:
    """Each sends one delivery after the other, again and again under one delivery id until its
    workflow answers."""

    def __init__(self, bridge: Bridge, conductor: Conductor) -> None:
        self._bridge = bridge
        self._conductor = conductor
        self._clients = Clients()
        self.answers: dict[str, list[dict[str, str]]] = {}
        """Delivery id → what each of two requests after the other was answered."""
        self.retries = 0

    def start(self) -> None:
        for number in range(SENDERS):
            self._clients.start(self._run, number)

    def stop(self) -> None:
        self._clients.stopped.set()
        self._clients.join(4 * PATIENCE)

    def _run(self, number: int) -> None:
        count = 0
        while not self._clients.stopped.is_set():
            count += 1
            delivery = f"{unique('d')}-{number}-{count}"
            self.answers[delivery] = [self._answered(delivery), self._answered(delivery)]

    def _answered(self, delivery: str) -> dict[str, str]:
        began = time.monotonic()
        nudge, deadline = began + PATIENCE, began + 3 * PATIENCE
        while True:
            answer = self._try(delivery)
            if answer is not None and answer.status == 200:
                found: dict[str, str] = json.loads(answer.body)
                return found
            assert answer is None or answer.status in (202, 503), f"{answer.status} {answer.text}"
            assert time.monotonic() < deadline, f"no answer to {delivery}: {answer}"
            if answer is not None and answer.status == 202 and time.monotonic() > nudge:
                nudge += PATIENCE / 2
                self._nudge(json.loads(answer.body)["eventId"])
            self.retries += 1
            time.sleep(0.2)

    def _nudge(self, event: str) -> None:
        """Ends the pause of a workflow that a killed Conductor has forgotten between one task and
        the next."""
        for workflow in started_by(self._conductor, WORKFLOW, event):
            self._conductor.call("PUT", f"/workflow/decide/{workflow['workflowId']}")
            for task in workflow["tasks"]:
                if task["status"] in ("SCHEDULED", "IN_PROGRESS"):
                    self._conductor.complete(workflow["workflowId"], task["referenceTaskName"])

    def _try(self, delivery: str) -> Answer | None:
        try:
            return self._bridge.github("ask", {"delivery": delivery}, delivery=delivery, once=True)
        except RequestFailed:
            return None


def test_each_sender_gets_its_own_workflows_answer_while_every_process_is_killed(
    new_bridge: Callable[..., Bridge], conductor_server: Conductors, conductor: Conductor
) -> None:
    pause = {
        "name": "w",
        "taskReferenceName": "w",
        "type": "WAIT",
        "inputParameters": {"duration": "1 seconds"},
    }
    reply = {"delivery": "${workflow.input.delivery}", "workflow": "${workflow.workflowId}"}
    conductor.register(WORKFLOW, [pause], outputParameters={"reply": reply})
    bridge, random_ = new_bridge(WEBHOOKS, bridge_call_timeout="5s").start(), random.Random(SEED)
    senders = Senders(bridge, conductor)
    senders.start()
    storm(kills(bridge, conductor_server), SECONDS, random_)
    senders.stop()
    print(f"seed {SEED}: {len(senders.answers)} deliveries, {senders.retries} sent again")
    assert len(senders.answers) >= SENDERS
    for delivery, (first, again) in senders.answers.items():
        assert first["delivery"] == delivery
        assert again == first
        event = conductor.call("GET", f"/workflow/{first['workflow']}?includeTasks=false")[
            "correlationId"
        ]
        assert len(started_by(conductor, WORKFLOW, event)) == 1
    assert len({first["workflow"] for first, _ in senders.answers.values()}) == len(senders.answers)
