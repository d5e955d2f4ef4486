"""What keeps the store small and quick."""

from __future__ import annotations

import pytest

from store.records import Pruned, Result, Workflow
from store.sql import rows
from store.sql.store import Store
from tests.support.deciding import adopt
from tests.support.makers import (
    ME,
    NOW,
    arrive,
    completion,
    decide,
    end,
    event,
    return_tasks,
    start,
    task,
)


def test_what_is_finished_and_old_is_pruned_in_small_steps_and_nothing_else(store: Store) -> None:
    for number in range(30):
        adopt(store, ME, [task(number)], NOW)
        decide(store, arrive(store, f"e{number}"), completion(number))
    targets = store.claims.claim("me", NOW, 0, 99)
    store.claims.record_results("me", [Result(target, "done") for target in targets[:20]], NOW)
    store.workflows.remember([Workflow(f"w{number}", 1, "r", NOW, None) for number in range(30)])
    arrive(store, "waits")
    assert store.maintenance.prune(NOW, 8) == Pruned(0, False), "not before its time"
    steps = [store.maintenance.prune(NOW + 1, 8) for _ in range(3)]
    assert steps == [Pruned(8, True), Pruned(8, True), Pruned(4, False)]
    assert store.queries.event_counts() == {"pending": 11}
    assert event(store, "waits")
    assert [store.queries.task(f"t{number}") is None for number in range(30)] == [True] * 20 + [
        False
    ] * 10
    assert [store.workflows.find(f"w{number}") is None for number in range(30)] == [True] * 20 + [
        False
    ] * 10
    assert store.queries.targets_of([f"e{number}" for number in range(20)]) == []


def test_tasks_that_ended_without_an_event_are_pruned_too(store: Store) -> None:
    adopt(store, ME, [task(number) for number in range(20)], NOW)
    store.tasks.drop(ME, [f"t{number}" for number in range(20)], NOW)
    assert [store.maintenance.prune(NOW + 1, 8) for _ in range(3)] == [
        Pruned(0, True),
        Pruned(0, True),
        Pruned(0, False),
    ]
    assert all(store.queries.task(f"t{number}") is None for number in range(20))


def test_an_event_with_very_many_targets_is_pruned_in_steps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "STEP", 4)
    for id_, number in (("many", 10), ("few", 1)):
        decide(store, arrive(store, id_), *map(start, range(number)))
        end(store, id_, *["done"] * number)  # type: ignore[list-item]
    arrive(store, "waits")
    left = []
    while store.maintenance.prune(NOW + 1, 8).more:
        left.append(len(store.queries.targets_of(["many", "few"])))
    assert left == [7, 3]
    assert store.queries.targets_of(["many", "few"]) == []
    assert store.queries.event("many") is None
    assert store.queries.event("few") is None
    assert store.queries.event_counts() == {"pending": 1}


def test_what_is_about_very_many_rows_is_done_in_steps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "STEP", 3)
    tasks = [task(number) for number in range(10)]
    assert adopt(store, ME, tasks, NOW) == tasks
    store.tasks.drop(ME, [f"t{number}" for number in range(10)], NOW)
    assert store.queries.waiting_tasks() == []
    return_tasks(store, *(task(number) for number in range(10, 20)))
    store.tasks.wait_again(ME, [f"t{number}" for number in range(10, 20)])
    assert len(store.queries.waiting_tasks()) == 10
    store.workflows.remember([Workflow(f"w{number}", 1, "r", NOW, None) for number in range(10)])
    assert all(store.workflows.find(f"w{number}") for number in range(10))


def test_numbers_of_pruned_events_and_targets_are_not_given_out_again(store: Store) -> None:
    """Whoever follows events, and a late result, would take the new one for the old one."""

    def finished(id_: str) -> tuple[int, int]:
        [target] = decide(store, arrive(store, id_), start(), claim=1)
        store.claims.record_results("me", [Result(target, "done", None, "w")], NOW)
        return event(store, id_).seq, target.id

    before = finished("e1")
    while store.maintenance.prune(NOW + 1, 8).more:
        pass
    assert store.queries.event("e1") is None
    assert all(new > old for new, old in zip(finished("e2"), before, strict=True))
