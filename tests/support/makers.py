"""Short ways to make what the contract's tests need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from store.delivery_records import RawDelivery
from store.records import (
    Decision,
    Event,
    Hold,
    NewEvent,
    NewTarget,
    Otherwise,
    Result,
    Target,
    TargetState,
    Task,
    Term,
)
from store.rules.keys import lane_of
from store.sql.store import Store
from tests.support import deciding

NOW = 1_700_000_000_000
ME = Term("me")
"""Of the worker that is leader in the tests."""


def new_event(id_: str, **more: Any) -> NewEvent:
    return replace(NewEvent(id_, "w", NOW, '{"a": 1}', {}, {}, NOW + 1000), **more)


def arrive(store: Store, id_: str = "e1", **more: Any) -> str:
    """An event is accepted."""
    assert not store.deliveries.append([new_event(id_, **more)])[0].duplicate
    return id_


def kept(id_: str, **more: Any) -> RawDelivery:
    """A rejected delivery with its bytes."""
    fields = {
        "webhook": "w",
        "at": NOW,
        "remote": "192.0.2.1",
        "body": b"{}",
        "headers": {"x-signature": "no"},
        **more,
    }
    url = "http://h/webhook/w"
    return RawDelivery(
        id=id_, verdict="rejected", status=401, reason="no", path="/webhook/", url=url, **fields
    )


def task(number: int = 1, **more: Any) -> Task:
    return replace(
        Task(f"t{number}", f"w{number}", "flow", "wait", {"$.a": 1}, NOW, seen_at=NOW), **more
    )


def completion(number: int = 1) -> NewTarget:
    return NewTarget("complete", "flow", f"w{number}", f"t{number}", "wait")


def start(number: int = 1) -> NewTarget:
    return NewTarget("start", "flow", correlation_id=f"start#{number}")


def message(key: str = "k", otherwise: Otherwise = "start") -> NewTarget:
    return NewTarget(
        "message", "agent", correlation_id=key, lane=lane_of("agent", key), otherwise=otherwise
    )


def decide(
    store: Store, id_: str, *targets: NewTarget, claim: int = 0, hold: Hold = "no"
) -> list[Target]:
    """The worker `me` decides the event."""
    return deciding.decide(store, ME, [Decision(id_, "pending", hold, targets)], NOW, claim)


def end(store: Store, id_: str, *states: TargetState) -> None:
    """The event's targets, in their order, come to these ends."""
    claimed = [
        target for target in store.claims.claim("me", NOW + 10**6, 0, 99) if target.event_id == id_
    ]
    results = [Result(target, state, "why") for target, state in zip(claimed, states, strict=True)]
    store.claims.record_results("me", results, NOW)


def return_tasks(store: Store, *tasks: Task, term: Term = ME) -> None:
    """These tasks were taken by an event, and refused it for good."""
    fresh = deciding.adopt(store, term, tasks, NOW)
    id_ = arrive(store, f"refused {fresh[0].id}", webhook="refused")
    taken = [
        NewTarget("complete", one.workflow, one.workflow_id, one.id, one.reference_name)
        for one in fresh
    ]
    claimed = deciding.decide(
        store, term, [Decision(id_, "pending", "no", (*taken,))], NOW, len(taken)
    )
    store.claims.record_results(
        term.holder, [Result(target, "failed", "no") for target in claimed], NOW
    )


def event(store: Store, id_: str) -> Event:
    found = store.queries.event(id_)
    assert found is not None
    return found


def states(store: Store, id_: str) -> list[TargetState]:
    return [target.state for target in store.queries.targets_of([id_])]


def ids(items: list[Any]) -> list[str]:
    return [item.id for item in items]
