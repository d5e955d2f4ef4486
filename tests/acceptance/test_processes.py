"""Each process can be stopped and started alone; Conductor may come and go."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.bridge import Bridge, unique, waiting
from tests.support.faulty_proxy import port_of
from tests.support.makers import new_event
from tools.servers.client import Conductor, outputs, wait_for
from tools.servers.proxy import Proxy


def webhooks(*names: str, more: str = "") -> str:
    """Webhooks that are verified by a header, each for the workflow of its name."""
    return "webhooks:" + "".join(
        f"""
  - name: {name}
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers: {{{unique(name)}: any}}
    {more}"""
        for name in names
    )


def test_conductor_may_be_away_when_the_worker_starts_and_go_and_come_back_later(
    conductor: Conductor, new_bridge: Callable[..., Bridge]
) -> None:
    proxy = Proxy(port_of(conductor.url))
    bridge = new_bridge(webhooks("away"), conductor=proxy.url, bridge_call_timeout="2s")
    first = waiting(conductor, "away")
    bridge.start()
    assert bridge.worker is not None

    held = bridge.orders("away", {"number": 1})  # the relay accepts all the same
    wait_for(
        lambda: bridge.worker.output().count("\n") > 1, "the worker says that Conductor is away"
    )  # type: ignore[union-attr]
    assert bridge.worker.running
    assert bridge.event(held).status == "pending"
    proxy.open()
    conductor.wait_for_status(first)
    bridge.wait_for_event(held, "delivered")

    proxy.close()
    second = waiting(conductor, "away")
    next_id = bridge.orders("away", {"number": 2})
    proxy.open()
    [output] = outputs(conductor.wait_for_status(second), "wait")
    assert output["_webhook"]["eventId"] == next_id
    assert bridge.worker.running
    bridge.stop()
    proxy.close()


def test_sigterm_stops_the_worker_and_the_relay_cleanly_within_seconds(
    conductor: Conductor, new_bridge: Callable[..., Bridge]
) -> None:
    # Whatever waits for its time to run out waits for longer than `stop` does, which kills it then.
    bridge = new_bridge(
        webhooks("stopped"), bridge_poll_interval="1h", gunicorn_cmd_args="--graceful-timeout 3600"
    ).start()
    waiting(conductor, "stopped")
    assert bridge.stop_worker() == 0
    assert bridge.stop_relay() == 0


def test_sigterm_stops_the_worker_while_conductor_is_away(
    new_bridge: Callable[..., Bridge],
) -> None:
    proxy = Proxy(1)  # never opened
    bridge = new_bridge(webhooks("stopped_alone"), conductor=proxy.url, bridge_call_timeout="1h")
    bridge.start_worker_alone()
    bridge.orders("stopped_alone", {})
    assert bridge.stop_worker() == 0


def test_after_downtime_an_event_is_decided_once_for_the_tasks_that_came_within_its_hold(
    conductor: Conductor, new_bridge: Callable[..., Bridge]
) -> None:
    bridge = new_bridge(webhooks("downtime"))
    within, after = (
        waiting(conductor, "downtime", gate=True),
        waiting(conductor, "downtime", gate=True),
    )
    received_at = bridge.store.now()
    conductor.complete(within, "gate")
    conductor.wait_for_task(within, "wait")
    hold_until = bridge.store.now()
    wait_for(lambda: bridge.store.now() > hold_until + 1000, "the hold has ended")
    conductor.complete(after, "gate")
    late_task = conductor.wait_for_task(after, "wait")
    # As the relay has stored it, however long the machine took for what happened since.
    event_id = unique("event")
    event = new_event(event_id, webhook="downtime", received_at=received_at, hold_until=hold_until)
    bridge.store.deliveries.append([event])
    bridge.start_worker()

    [output] = outputs(conductor.wait_for_status(within), "wait")
    assert output["_webhook"]["eventId"] == event_id
    bridge.wait_for_event(event_id, "delivered")
    wait_for(
        lambda: bridge.store.queries.task(late_task["taskId"]), "the worker knows the late task"
    )
    assert conductor.status(after) == "RUNNING"
