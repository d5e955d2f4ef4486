"""One of an event's targets is replayed, and nothing else of it."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient

from admin.events.replay import CantReplay, replay
from store.one_target import OneTarget
from store.records import Decision, NewTarget, Result, Target, Term
from tests.admin.conftest import Cli
from tests.admin.events.test_families import finish
from tests.admin.events.test_replay import arrive
from tests.support.deciding import decide
from tests.support.sample import Sample


@pytest.fixture
def partly(sample: Sample) -> str:
    """An event that completed a task, and of whose two starts the second failed."""
    [event_id] = arrive(sample, 1)
    targets = (
        NewTarget("complete", "deploy", "workflow-deploy-other", "task-other", "wait_other"),
        NewTarget("start", "on_push", correlation_id=event_id),
        NewTarget("start", "on_push", correlation_id=f"{event_id}#2"),
    )
    claimed = decided(sample, event_id, *targets)
    ends = zip(claimed, ("done", "done", "failed"), strict=True)
    results = [
        Result(target, state, None if state == "done" else "no such workflow")
        for target, state in ends
    ]
    sample.store.claims.record_results("sample", results, sample.store.now())
    return event_id


def decided(sample: Sample, event_id: str, *targets: NewTarget) -> list[Target]:
    decision = Decision(event_id, "pending", "no", targets)
    return decide(sample.store, Term("sample"), [decision], sample.store.now(), 9)


def test_the_replay_names_its_one_target(cli: Cli, sample: Sample, partly: str) -> None:
    assert (
        "Target 3: Starting on_push failed permanently: no such workflow."
        in cli("events", "show", partly).stdout
    )
    new_id = cli("events", "replay", partly, "--target", "3").stdout.strip()
    assert sample.bridge().event(new_id).only == OneTarget("start", "on_push", entry=2)
    for command in ("show", "explain"):
        text = cli("events", command, new_id).stdout
        assert "A replay to one target only: the start of on_push (number 2 of it)." in text
    assert (
        "the event is a replay to one target only"
        in cli("events", "explain", new_id, "--all").stdout
    )
    shown = json.loads(cli("events", "show", new_id, "--json").stdout)
    assert shown["onlyTarget"] == "start of on_push (number 2 of it)"
    assert (
        sample.store.changes.newest(limit=1)[0].detail == f"event {partly}, target 3, as {new_id}"
    )
    again = replay(sample.bridge(), new_id, confirmed=True)
    assert sample.bridge().event(again).only == OneTarget("start", "on_push", entry=2), (
        "a replay of it is for it, too"
    )


def test_its_delivery_resolves_the_event_if_nothing_else_had_failed(
    sample: Sample, partly: str
) -> None:
    other = replay(sample.bridge(), partly, 1, confirmed=True)
    finish(sample, other, "delivered")
    assert sample.bridge().event(partly).resolved_by is None
    new_id = replay(sample.bridge(), partly, 3)
    finish(sample, new_id, "delivered")
    assert sample.bridge().event(partly).resolved_by == new_id


def test_the_api_and_the_page_replay_one_target(
    client: FlaskClient, sample: Sample, partly: str
) -> None:
    answer = client.post(f"/api/events/{partly}/replay", json={"target": 1})
    assert answer.status_code == 409
    assert "Completed task wait_other of deploy" in answer.text
    answer = client.post(f"/api/events/{partly}/replay", json={"target": 1, "confirm": True})
    assert answer.status_code == 201
    only = sample.bridge().event(answer.json["eventId"]).only  # type: ignore[index]
    assert only == OneTarget("complete", "deploy", "workflow-deploy-other", "wait_other")
    page = client.get(f"/events/{partly}").text
    assert page.count(">Replay only this one<") == 1, "the others had their effect"
    assert 'aria-label="Replay only this one: target 3"' in page
    answer = client.post(f"/events/{partly}/replay", data={"target": "3"})
    assert answer.status_code == 303
    new = client.get(answer.location).text
    assert "to one target only: the start of on_push" in new
    asked = client.post(f"/events/{partly}/replay")
    assert asked.status_code == 409
    assert "it has completed 1 task, started 1 workflow" in asked.text
    assert client.post(f"/events/{partly}/replay", data={"confirm": "yes"}).status_code == 303


@pytest.mark.parametrize("target", [0, 4, 1.5, 10**20])
def test_only_a_target_that_is_there_can_be_replayed(
    client: FlaskClient, partly: str, target: object
) -> None:
    assert client.post(f"/api/events/{partly}/replay", json={"target": target}).status_code in (
        400,
        409,
    )


def test_a_target_that_is_being_called_cannot_be_replayed(sample: Sample) -> None:
    [event_id] = arrive(sample, 1)
    with pytest.raises(CantReplay, match="it has none"):
        replay(sample.bridge(), event_id, 1)
    decided(sample, event_id, NewTarget("start", "on_push", correlation_id=event_id))
    with pytest.raises(CantReplay, match="still being called"):
        replay(sample.bridge(), event_id, 1)


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        (
            1,
            "expired",
            "Expired: the task wait_other of deploy (workflow-deploy-other), the only target it may have",
        ),
        (
            1,
            "ignored",
            "Ignored: the task wait_other of deploy (workflow-deploy-other), the only target it may have",
        ),
        (
            3,
            "ignored",
            "Ignored: the start of on_push (number 2 of it), the only target it may have",
        ),
    ],
)
def test_a_replay_that_came_to_nothing_says_why(
    cli: Cli, sample: Sample, partly: str, target: int, status: str, words: str
) -> None:
    new_id = replay(sample.bridge(), partly, target, confirmed=True)
    finish(sample, new_id, status)  # type: ignore[arg-type]
    assert words in cli("events", "show", new_id).stdout
