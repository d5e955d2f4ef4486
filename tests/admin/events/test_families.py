"""An event, its replays, and whether one of them delivered what the event didn't."""

from __future__ import annotations

import json

from flask.testing import FlaskClient

from admin.events.replay import families, replay
from store.records import Decision, Event, EventStatus, NewTarget, Result, Term
from tests.admin.conftest import Cli
from tests.support.deciding import decide
from tests.support.sample import Sample


def finish(sample: Sample, event_id: str, status: EventStatus) -> None:
    """What becomes of a pending event: with one target if it is delivered or failed."""
    store, now = sample.store, sample.store.now()
    if status == "pending":
        return
    if status in ("expired", "ignored"):
        decide(store, Term("sample"), [Decision(event_id, status, "no")], now, 0)
        return
    target = NewTarget("start", "on_push", correlation_id=event_id)
    decision = Decision(event_id, "pending", "no", (target,))
    [claimed] = decide(store, Term("sample"), [decision], now, 1)
    state = "done" if status == "delivered" else "failed"
    store.claims.record_results("sample", [Result(claimed, state, workflow_id="started")], now)  # type: ignore[arg-type]


def replayed(sample: Sample, event_id: str, status: EventStatus) -> str:
    """A replay that came to this end."""
    new_id = replay(sample.bridge(), event_id, confirmed=True)
    finish(sample, new_id, status)
    return new_id


def event(sample: Sample, event_id: str) -> Event:
    return sample.bridge().event(event_id)


def test_replays_of_replays_are_one_family(sample: Sample) -> None:
    first = sample.events["refused"]
    second = replayed(sample, first, "failed")
    third = replayed(sample, second, "delivered")
    sibling = replayed(sample, first, "failed")
    found = families(
        sample.store.queries,
        [event(sample, one) for one in (second, sibling, sample.events["expired"])],
    )
    assert found[second] == found[sibling]
    assert found[second].origin == first
    assert [one.id for one in found[second].replays] == [second, third, sibling]
    assert [one.id for one in found[second].replays_of(first)] == [second, sibling]
    assert found[sample.events["expired"]].replays == ()
    for failed in (first, second, sibling):
        assert event(sample, failed).resolved_by == third
    assert event(sample, third).resolved_by is None


def test_an_event_names_its_replays_and_they_name_it(
    cli: Cli, client: FlaskClient, sample: Sample
) -> None:
    old = sample.events["refused"]
    first = replayed(sample, old, "failed")
    for command in ("show", "explain"):
        assert f"Replayed, as event {first}, which is failed." in cli("events", command, old).stdout
        assert f"A replay of event {old}." in cli("events", command, first).stdout
    second = replayed(sample, old, "delivered")
    for command in ("show", "explain"):
        for resolved in (old, first):
            text = cli("events", command, resolved).stdout
            assert f"Resolved by replay {second}, which was delivered." in text
            assert "Fix the cause" not in text
    shown = json.loads(cli("events", "show", old, "--json").stdout)
    assert shown["resolvedBy"] == second
    assert shown["replays"] == [
        {"eventId": first, "status": "failed"},
        {"eventId": second, "status": "delivered"},
    ]
    assert client.get("/events?status=failed").text.count("resolved by replay</span>") == 2
    page = client.get(f"/events/{old}").text
    assert f'<dt>Resolved by</dt><dd><a class="id" href="/events/{second}">' in page
    assert f'<dt>Replayed as</dt><dd><a class="id" href="/events/{first}">' in page
