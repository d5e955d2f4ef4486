"""Times and content say whether an event goes to a task; when the bridge learns of either doesn't.

A proxy keeps tasks of a real Conductor from the worker until the hold of their event has ended.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.acceptance.faults.load import Completed, Load, Scenario
from tests.acceptance.faults.load import webhooks as webhooks_of_load
from tests.support.bridge import Bridge, started_by, unique, waiting
from tests.support.chance import SEED
from tests.support.faulty_proxy import port_of
from tests.support.hiding_proxy import EVERYWHERE, STILL_QUEUED, HidingProxy, Place
from tests.support.kills import kills, restart_conductor, storm
from tests.support.storms import lasting
from tools.servers.backends import Conductors
from tools.servers.client import (
    Conductor,
    outputs,
    wait_for,
    wait_for_webhook,
)

pytestmark = [pytest.mark.server, pytest.mark.slow(60)]
HOLD = 3.0
MORE_THAN_THE_HOLD = HOLD + 2
GO = {"$.kind": "go"}
OWN = {"$.to": "${workflow.input.key}"}
SETTINGS = {"bridge_discovery_interval": "1s", "bridge_call_timeout": "2s"}
"""The index is searched and running workflows are read at once, as a test would else wait for
minutes."""
NewBridge = Callable[..., Bridge]


def webhook(name: str, *receivers: str, more: str = "") -> str:
    """One webhook that is verified by a header, with a short hold."""
    named = ", ".join(f"{unique(workflow)}: any" for workflow in receivers or (name,))
    return f"""
  - name: {name}
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    hold: {HOLD:.0f}s
    receivers: {{{named}}}
    {more}"""


def webhooks(*all_: str) -> str:
    """The definitions of these."""
    return "webhooks:" + "".join(all_)


@pytest.fixture
def proxy(conductor_url: str) -> Iterator[HidingProxy]:
    proxy = HidingProxy(port_of(conductor_url))
    yield proxy
    proxy.stop()


@pytest.fixture
def bridge_at_proxy(proxy: HidingProxy, new_bridge: NewBridge) -> NewBridge:
    """Makes bridges of a test's own whose worker sees Conductor through the proxy."""

    def make(*defined: str, **settings: str) -> Bridge:
        return new_bridge(webhooks(*defined), conductor=proxy.url, **{**SETTINGS, **settings})

    return make


# --- what people see


def status_of(bridge: Bridge, event_id: str) -> str:
    """The event's status, as the command line shows it."""
    return str(bridge.cli_json("events", "show", event_id)["status"])


def wait_until(bridge: Bridge, event_id: str, status: str) -> None:
    """Returns once the command line shows the event so."""
    wait_for(
        lambda: status_of(bridge, event_id) == status,
        f"event {event_id} becomes {status} (it is {status_of(bridge, event_id)})",
        every=0.3,
    )


def wait_until_known(bridge: Bridge, workflow_id: str) -> None:
    """Returns once the command line shows a waiting task of the workflow."""

    def is_listed() -> bool:
        return any(task["workflowId"] == workflow_id for task in bridge.cli_json("tasks"))

    wait_for(is_listed, f"the task of workflow {workflow_id} is known", every=0.3)


def must_complete(bridge: Bridge, conductor: Conductor, workflow_id: str, *event_ids: str) -> None:
    """The workflow takes these events, in this order, and each is delivered."""
    workflow = conductor.wait_for_status(workflow_id)
    assert taken_by(workflow) == [*event_ids]
    for event_id in event_ids:
        wait_until(bridge, event_id, "delivered")


def taken_by(workflow: dict[str, object]) -> list[str]:
    """The events that its waiting tasks took, in order."""
    return [output["_webhook"]["eventId"] for output in outputs(workflow, "wait")]


# --- tasks that are found late


@pytest.mark.parametrize(("name", "places"), [("by_poll", STILL_QUEUED), ("by_index", EVERYWHERE)])
def test_a_task_that_is_found_after_its_events_hold_takes_it(
    name: str,
    places: tuple[Place, ...],
    conductor: Conductor,
    proxy: HidingProxy,
    bridge_at_proxy: NewBridge,
) -> None:
    proxy.hide(unique(name), *places)
    bridge = bridge_at_proxy(webhook(name)).start()
    workflow_id = waiting(conductor, name, GO)

    event_id = bridge.orders(name, {"kind": "go"})
    wait_until(bridge, event_id, "expired")
    assert conductor.status(workflow_id) == "RUNNING"
    proxy.reveal()

    must_complete(bridge, conductor, workflow_id, event_id)


def test_a_task_that_a_killed_worker_has_polled_takes_its_event(
    conductor: Conductor, proxy: HidingProxy, bridge_at_proxy: NewBridge
) -> None:
    bridge = bridge_at_proxy(webhook("killed"))
    proxy.hide(unique("killed"), "polls")
    proxy.when_taken = lambda: bridge.worker and bridge.worker.kill()
    bridge.start()
    workflow_id = waiting(conductor, "killed", GO)
    wait_for(lambda: not bridge.worker.running, "the worker is killed")  # type: ignore[union-attr]

    event_id = bridge.orders("killed", {"kind": "go"})
    time.sleep(MORE_THAN_THE_HOLD)
    proxy.reveal()
    bridge.start_worker()

    must_complete(bridge, conductor, workflow_id, event_id)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "hidden_after"),
    [("never_indexed", ("index",)), ("unseen_at_first", ("index", "workflows"))],
)
def test_a_task_that_was_polled_as_worker_and_conductor_were_killed_takes_its_event(
    name: str,
    hidden_after: tuple[Place, ...],
    conductor: Conductor,
    conductor_server: Conductors,
    proxy: HidingProxy,
    bridge_at_proxy: NewBridge,
) -> None:
    """Its index never learns of the task: only its workflow shows it, at once or after a while."""
    bridge = bridge_at_proxy(webhook(name))

    def kill_both() -> None:
        proxy.state = "away"
        bridge.worker.kill()  # type: ignore[union-attr]
        conductor_server.kill()

    proxy.hide(unique(name), "polls")
    proxy.when_taken = kill_both
    bridge.start()
    conductor.register(unique(name), [wait_for_webhook("wait", GO)])
    workflow_id = conductor.start(unique(name))
    wait_for(lambda: proxy.state == "away", "the worker has polled the task")
    wait_for(lambda: not bridge.worker.running, "the worker is killed")  # type: ignore[union-attr]

    event_id = bridge.orders(name, {"kind": "go"})
    restart_conductor(conductor_server)
    proxy.hide(unique(name), "queue", *hidden_after)
    proxy.state = "well"
    bridge.start_worker()
    if "workflows" in hidden_after:
        wait_until(bridge, event_id, "expired")
        proxy.hide(unique(name), "queue", "index")

    must_complete(bridge, conductor, workflow_id, event_id)


def test_a_workflow_that_cant_be_read_for_now_keeps_no_other_from_being_read(
    conductor: Conductor, proxy: HidingProxy, bridge_at_proxy: NewBridge
) -> None:
    """Only their running workflows show these tasks, and reading one of them is answered 429."""
    bridge = bridge_at_proxy(webhook("read"))
    proxy.hide(unique("read"), "polls", "index")
    conductor.register(unique("read"), [wait_for_webhook("wait", OWN)])
    workflows = {key: conductor.start(unique("read"), key=key) for key in range(60)}
    for workflow_id in workflows.values():
        conductor.wait_for_task(workflow_id, "wait")
    refused = 30
    proxy.refused = {workflows[refused]}
    bridge.start()

    events = {key: bridge.orders("read", {"to": key}) for key in workflows}
    for key, workflow_id in workflows.items():
        if key != refused:
            must_complete(bridge, conductor, workflow_id, events[key])
    assert conductor.status(workflows[refused]) == "RUNNING"
    assert proxy.counts["429"]
    proxy.refused = set()

    must_complete(bridge, conductor, workflows[refused], events[refused])


# --- a server that was another, or away


@pytest.mark.long
def test_a_task_gets_its_event_though_an_empty_server_was_asked_to_complete_it(
    conductor: Conductor, proxy: HidingProxy, bridge_at_proxy: NewBridge
) -> None:
    unheld = webhook("empty").replace(f"hold: {HOLD:.0f}s", "hold: 0s")
    bridge = bridge_at_proxy(unheld).start()
    workflow_id = waiting(conductor, "empty", GO)
    wait_until_known(bridge, workflow_id)

    proxy.state = "empty"
    event_id = bridge.orders("empty", {"kind": "go"})
    wait_for(lambda: proxy.counts["POST 404"], "the completion is answered 404")
    with suppress(TimeoutError):  # as long as somebody takes to find the server's volume
        wait_for(lambda: status_of(bridge, event_id) != "pending", "", timeout=60, every=1)
    proxy.state = "well"

    must_complete(bridge, conductor, workflow_id, event_id)


def test_no_workflow_is_started_beside_a_task_that_waited_during_an_outage(
    conductor: Conductor, proxy: HidingProxy, bridge_at_proxy: NewBridge
) -> None:
    """`unless: taken` waits for the workflows to be read, which alone show the task."""
    starts = f"starts: [{{workflow: {unique('beside')}, unless: taken}}]"
    bridge = bridge_at_proxy(webhook("beside", more=starts))
    proxy.hide(unique("beside"), "polls", "index")
    bridge.start()
    first = waiting(conductor, "beside", GO)
    bridge.orders("beside", {"kind": "go"})
    conductor.wait_for_status(first)  # so the worker was at work before the outage

    proxy.state = "away"
    workflow_id = waiting(conductor, "beside", GO)
    conductor.poll()  # somebody else's, whose answer is lost
    event_id = bridge.orders("beside", {"kind": "go"})
    time.sleep(MORE_THAN_THE_HOLD)
    proxy.state = "well"

    must_complete(bridge, conductor, workflow_id, event_id)
    assert started_by(conductor, unique("beside"), event_id) == []


# --- a loop that is held up for longer than its events' hold


def in_a_loop(conductor: Conductor, name: str) -> str:
    """The id of a new workflow that waits in the first of three rounds."""
    loop = {
        "name": "loop",
        "taskReferenceName": "loop",
        "type": "DO_WHILE",
        "inputParameters": {},
        "loopCondition": "if ($.loop['iteration'] < 3) { true; } else { false; }",
        "loopOver": [wait_for_webhook("wait", GO)],
    }
    conductor.register(unique(name), [loop])
    workflow_id = conductor.start(unique(name))
    conductor.wait_for_task(workflow_id, "wait__1")
    return workflow_id


def three_events(bridge: Bridge, name: str) -> list[str]:
    """The ids of events of which each is for one round."""
    return [bridge.orders(name, {"kind": "go", "number": number}) for number in (1, 2, 3)]


def test_a_loop_loses_no_event_while_conductor_is_away(
    conductor: Conductor, proxy: HidingProxy, bridge_at_proxy: NewBridge
) -> None:
    bridge = bridge_at_proxy(webhook("loop_away")).start()
    workflow_id = in_a_loop(conductor, "loop_away")
    wait_until_known(bridge, workflow_id)

    proxy.state = "away"
    events = three_events(bridge, "loop_away")
    time.sleep(MORE_THAN_THE_HOLD)
    proxy.state = "well"

    must_complete(bridge, conductor, workflow_id, *events)


def test_a_loop_loses_no_event_while_the_worker_is_down(
    conductor: Conductor, bridge_at_proxy: NewBridge
) -> None:
    bridge = bridge_at_proxy(webhook("loop_down")).start()
    workflow_id = in_a_loop(conductor, "loop_down")
    wait_until_known(bridge, workflow_id)

    bridge.stop_worker()
    events = three_events(bridge, "loop_down")
    time.sleep(MORE_THAN_THE_HOLD)
    bridge.start_worker()

    must_complete(bridge, conductor, workflow_id, *events)


def test_a_loop_loses_no_event_while_its_webhook_is_paused(
    conductor: Conductor, bridge_at_proxy: NewBridge
) -> None:
    bridge = bridge_at_proxy(webhook("loop_paused")).start()
    workflow_id = in_a_loop(conductor, "loop_paused")
    wait_until_known(bridge, workflow_id)

    bridge.cli("pause", "loop_paused")
    events = three_events(bridge, "loop_paused")
    time.sleep(MORE_THAN_THE_HOLD)
    bridge.cli("resume", "loop_paused")

    must_complete(bridge, conductor, workflow_id, *events)


def test_a_loop_loses_no_event_while_its_webhooks_pace_holds_the_first_up(
    conductor: Conductor, bridge_at_proxy: NewBridge
) -> None:
    """One call in six seconds, which is twice the hold."""
    defined = webhook("loop_slow", "loop_slow", "before", more="pace: 10/m")
    bridge = bridge_at_proxy(defined).start()
    before = waiting(conductor, "before", {"$.kind": "first"})
    workflow_id = in_a_loop(conductor, "loop_slow")
    wait_until_known(bridge, workflow_id)
    wait_until_known(bridge, before)

    bridge.orders("loop_slow", {"kind": "first"})
    events = three_events(bridge, "loop_slow")

    must_complete(bridge, conductor, workflow_id, *events)


# --- never strange


def test_a_task_that_was_scheduled_after_the_hold_leaves_the_event(
    conductor: Conductor, proxy: HidingProxy, bridge_at_proxy: NewBridge
) -> None:
    bridge = bridge_at_proxy(webhook("after")).start()
    workflow_id = waiting(conductor, "after", GO, gate=True)
    too_early = bridge.orders("after", {"kind": "go"})
    wait_until(bridge, too_early, "expired")
    conductor.complete(workflow_id, "gate")
    wait_until_known(bridge, workflow_id)

    # A task takes the first event that is its own.
    event_id = bridge.orders("after", {"kind": "go"})
    must_complete(bridge, conductor, workflow_id, event_id)
    assert status_of(bridge, too_early) == "expired"


def test_an_event_whose_hold_had_ended_doesnt_go_to_a_receiver_that_is_added(
    conductor: Conductor, bridge_at_proxy: NewBridge
) -> None:
    bridge = bridge_at_proxy(webhook("added", "there_before")).start()
    workflow_id = waiting(conductor, "added", GO)
    too_early = bridge.orders("added", {"kind": "go"})
    wait_until(bridge, too_early, "expired")
    bridge.define(webhooks(webhook("added", "there_before", "added")))
    bridge.reload()
    wait_until_known(bridge, workflow_id)

    event_id = bridge.orders("added", {"kind": "go"})
    must_complete(bridge, conductor, workflow_id, event_id)
    assert status_of(bridge, too_early) == "expired"


# --- everything at random


class LateLoad(Load):
    """Tasks wait before their events come, whose hold is shorter than Conductor's restart: whatever
    is found late is found after it."""

    def scenarios(self) -> tuple[Scenario, ...]:
        """Without those whose events come before a task: their holds may rightly end."""
        return self._single, self._single, self._fan_out, self._start, self._once

    def _expect(self, expectation: object) -> None:
        if isinstance(expectation, Completed):
            expectation = Completed(expectation.workflow_id, expectation.events)
        super()._expect(expectation)  # type: ignore[arg-type]


def restart_both(bridge: Bridge, server: Conductors) -> None:
    """kill -9 of worker and Conductor at once."""
    bridge.worker.kill()  # type: ignore[union-attr]
    server.kill()
    server.start(timeout=300)
    bridge.start_worker()


@pytest.mark.long
@pytest.mark.storm
def test_no_event_is_lost_or_used_twice_though_each_hold_ends_before_what_was_killed_is_back(
    conductor_server: Conductors,
    tmp_path: Path,
    database_settings: Callable[[], dict[str, str]],
) -> None:
    defined = webhooks_of_load("late").replace(
        "    receivers:", f"    hold: {HOLD:.0f}s\n    receivers:"
    )
    settings = {**SETTINGS, "bridge_call_timeout": "5s", "bridge_discovery_interval": "3s"}
    bridge = Bridge(tmp_path, conductor_server.url, defined, **settings, **database_settings())
    load = LateLoad(Conductor(conductor_server.url), bridge, "late", SEED)
    load.conductor_is_killed = True
    load.register()
    seconds, random_ = lasting(30), random.Random(SEED)
    try:
        bridge.start()
        load.run(clients=4, scenarios=int(2 * seconds))
        faults = [*kills(bridge, conductor_server), lambda: restart_both(bridge, conductor_server)]
        rounds = storm(faults, seconds, random_, pause=2.5)
        load.join()
        print(f"seed {SEED}: {load.events} events in {rounds} rounds")
        load.audit()
        wait_for(lambda: not bridge.cli_json("events", "--status", "pending"), "all is settled")
        for status in ("expired", "failed"):
            lost = bridge.cli_json("events", "--status", status, "--limit", "1000")
            assert len(lost) <= len(load.given_up), f"seed {SEED}: {status}: {lost}"
    finally:
        bridge.stop()
