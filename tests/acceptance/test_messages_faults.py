"""Messages while everything is killed: each arrives at least once, and for the first time in the
order of arrival.

Only on Redis does a Conductor that is killed keep what its queues hold. Elsewhere those messages
must arrive that were sent after it had started again.
"""

from __future__ import annotations

import os
import random
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.acceptance.faults.clients import until_accepted
from tests.acceptance.test_messages import payloads, pull
from tests.support.bridge import Bridge, unique
from tests.support.chance import SEED
from tests.support.kills import restart_conductor, restart_relay, restart_worker, storm
from tests.support.storms import lasting
from tools.servers import PATIENCE
from tools.servers.backends import Conductors
from tools.servers.client import Conductor, by_hand
from tools.servers.processes import Child, start_worker

pytestmark = [pytest.mark.long, pytest.mark.storm, pytest.mark.slow(40)]
SECONDS = lasting(5)
KEYS = 4
MOST = 80
"""Messages of one key: as many as one task may read by default, of what its queue holds until
then."""
WEBHOOKS = f"""
webhooks:
  - name: read
    platform: github
    secret: ${{GITHUB_SECRET}}
    messages: [{{workflow: {unique("storm")}, key: $.thread}}]
"""


def post(bridge: Bridge, payload: dict[str, Any]) -> str:
    """The event's id, once it is accepted."""
    return until_accepted(
        lambda: bridge.github("read", payload, delivery=str(payload["sent"]), once=True)
    )


def test_messages_arrive_and_first_in_order_while_every_process_is_killed(
    new_bridge: Callable[..., Bridge], conductor_server: Conductors
) -> None:
    conductor, random_ = Conductor(conductor_server.url), random.Random(SEED)
    name = conductor.register(unique("storm"), [by_hand(), pull()])
    bridge = new_bridge(WEBHOOKS, bridge_call_timeout="3s", conductor=conductor_server.url).start()
    second: list[Child] = []
    over = threading.Event()

    def another_worker() -> None:
        if second:
            second.pop().kill()
        second.append(
            start_worker(bridge.environment, bridge.folder / "worker2.log", bridge.folder)
        )

    def client(thread: str) -> None:
        while not over.wait(0.3):
            if len(sent[thread]) < MOST:
                sent[thread].append(post(bridge, {"thread": thread, "sent": str(uuid.uuid4())}))
        # Something is left to read, also if all before went with a restart of Conductor.
        sent[thread].append(post(bridge, {"thread": thread, "sent": str(uuid.uuid4())}))

    def conductor_restarts() -> None:
        restart_conductor(conductor_server)
        if os.environ.get("TEST_CONDUCTOR") != "redis-es":
            kept.update((key, len(events)) for key, events in sent.items())

    faults = [
        lambda: restart_relay(bridge),
        lambda: restart_worker(bridge),
        another_worker,
        lambda: restart_worker(bridge),
        conductor_restarts,
    ]
    sent: dict[str, list[str]] = {uuid.uuid4().hex: [] for _ in range(KEYS)}
    kept = dict.fromkeys(sent, 0)
    """Key → the number of the first message that Conductor can't have lost."""
    try:
        another_worker()
        with ThreadPoolExecutor(KEYS) as pool:
            clients = [pool.submit(client, key) for key in sent]
            try:
                rounds = storm(faults, SECONDS, random_)
            finally:
                over.set()
            for one in clients:
                one.result(PATIENCE)
        for event_id in (event_id for events in sent.values() for event_id in events):
            bridge.wait_for_event(event_id, "delivered")
    finally:
        for worker in second:
            worker.stop()
    twice = 0
    for key, events in sent.items():
        [workflow] = conductor.started_by(name, key)
        workflow_id = str(workflow["workflowId"])
        conductor.complete(workflow_id, "gate")
        read = [
            one["_webhook"]["eventId"] for one in payloads(conductor.wait_for_status(workflow_id))
        ]
        first = list(dict.fromkeys(read))
        assert first == [event for event in events if event in first], f"out of order; seed {SEED}"
        assert set(events[kept[key] :]) <= set(first), f"lost; seed {SEED}"
        twice += len(read) - len(first)
    count = sum(map(len, sent.values()))
    print(f"seed {SEED}: {count} messages in {rounds} rounds, {twice} of them twice")
    assert count > 20
