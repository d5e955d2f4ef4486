"""What relay and worker know after a restart, an edit, or while a file is broken: one bridge for
all of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.test_processes import webhooks
from tests.support.bridge import API_KEY, Bridge, accepted, waiting
from tools.servers.client import Conductor, outputs, wait_for

WEBHOOKS = webhooks("relay_restart", "reload_old", "hup_old")


@pytest.fixture(autouse=True)
def defined(bridge: Bridge) -> Iterator[None]:
    """Each test leaves these webhooks, which are in force meanwhile, too. Names that it adds are
    its own."""
    yield
    bridge.define(WEBHOOKS)


def test_the_relay_knows_after_a_restart_what_it_knew_before(
    conductor: Conductor, bridge: Bridge
) -> None:
    workflow_id = waiting(conductor, "relay_restart", gate=True)
    event_id = bridge.orders("relay_restart", {"number": 1})
    [before] = [row for row in bridge.cli_json("webhooks") if row["name"] == "relay_restart"]
    assert before["status"] == "Verified"

    bridge.stop_relay()
    bridge.start_relay()

    assert before in bridge.cli_json("webhooks")
    conductor.complete(workflow_id, "gate")
    [output] = outputs(conductor.wait_for_status(workflow_id), "wait")
    assert output["_webhook"]["eventId"] == event_id


def test_an_edit_of_the_definitions_comes_into_force_by_itself_in_both_processes(
    conductor: Conductor, bridge: Bridge
) -> None:
    key = {"X-Api-Key": API_KEY}
    assert bridge.post("reload_new", {}, key).status == 404
    workflow_id = waiting(conductor, "reload_new", gate=True)

    bridge.define(WEBHOOKS + webhooks("reload_new").removeprefix("webhooks:"))

    wait_for(lambda: bridge.post("reload_new", {}, key).status == 200, "the new webhook answers")
    conductor.complete(workflow_id, "gate")
    conductor.wait_for_status(workflow_id)


def test_sighup_reloads_at_once_and_a_broken_edit_keeps_the_last_good_set(
    conductor: Conductor, bridge: Bridge
) -> None:
    workflow_id = waiting(conductor, "hup_old")
    key = {"X-Api-Key": API_KEY}
    relay = bridge.relay
    assert relay is not None
    before = len(relay.output())

    bridge.define(WEBHOOKS + webhooks("hup_new").removeprefix("webhooks:"))
    bridge.reload()
    wait_for(lambda: bridge.post("hup_new", {}, key).status == 200, "the new webhook answers")
    wait_for(
        lambda: relay.output()[before:].count("Worker exiting") == 2,
        "gunicorn has replaced the processes that didn't know it",
    )

    bridge.define(webhooks("hup_old", more="colour: red"))
    bridge.reload()
    wait_for(lambda: "colour" in relay.output(), "the relay says what is wrong")
    wait_for(lambda: "colour" in bridge.worker.output(), "the worker says what is wrong")  # type: ignore[union-attr]
    accepted(bridge.post("hup_new", {}, key))
    accepted(bridge.post("hup_old", {}, key))
    conductor.wait_for_status(workflow_id)
    problems = bridge.cli("check", code=1)
    assert "colour" in problems
    assert f"{bridge.definitions}:" in problems
