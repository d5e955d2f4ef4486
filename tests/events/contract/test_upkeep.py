"""What keeps the store small and quick."""

from __future__ import annotations

from events.records import Result, Workflow
from events.store import Store
from tests.events.contract.makers import NOW, arrive, completion, decide, event, task


def test_what_is_finished_and_old_is_pruned_in_small_steps_and_nothing_else(store: Store) -> None:
    for number in range(30):
        store.adopt("me", [task(number)], NOW)
        decide(store, arrive(store, f"e{number}"), completion(number))
    targets = store.claim("me", NOW, 0, 99)
    store.record_results("me", [Result(target, "done") for target in targets[:20]], NOW)
    store.remember_workflows([Workflow(f"w{number}", 1, "r", NOW, None) for number in range(30)])
    arrive(store, "waits")
    assert store.prune(NOW, 8) == 0, "not before its time"
    steps = []
    while step := store.prune(NOW + 1, 8):
        steps.append(step)
    assert max(steps) <= 8
    assert sum(steps) == 20
    assert store.event_counts() == {"pending": 11}
    assert event(store, "waits")
    assert [store.task(f"t{number}") is None for number in range(30)] == [True] * 20 + [False] * 10
    assert [store.workflow(f"w{number}") is None for number in range(30)] == [True] * 20 + [False] * 10
    assert store.targets_of([f"e{number}" for number in range(20)]) == []


def test_tasks_that_ended_without_an_event_are_pruned_too(store: Store) -> None:
    store.adopt("me", [task(number) for number in range(20)], NOW)
    store.drop("me", [f"t{number}" for number in range(20)], NOW)
    for _ in range(3):
        store.prune(NOW + 1, 8)
    assert all(store.task(f"t{number}") is None for number in range(20))


def test_tending_changes_nothing_that_can_be_seen(store: Store) -> None:
    arrive(store)
    for _ in range(3):
        store.tend()
    assert event(store, "e1").status == "pending"
