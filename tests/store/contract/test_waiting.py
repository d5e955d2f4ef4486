"""Discovery asks which of what Conductor shows is known to wait, and for a few that do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from store.sql.store import Store
from tests.support.makers import ME, NOW, task


def adopt(store: Store, numbers: Sequence[int], **more: Any) -> None:
    """These tasks wait; each was seen waiting at its number."""
    tasks = [task(number, seen_at=NOW + number, **more) for number in numbers]
    store.tasks.adopt(ME, [(one, None) for one in tasks], NOW, {})


def test_of_what_is_shown_it_is_told_what_is_known(store: Store, other: Store) -> None:
    adopt(store, range(1, 6))
    store.tasks.drop(ME, ["t5"], NOW)
    shown = ["t1", "t3", "t5", "t9", "w2\0"]
    assert other.waiting.among(shown) == {"t1", "t3"}
    assert other.waiting.among(shown, seen_by=NOW + 2) == {"t1"}
    assert other.waiting.among([]) == set()
    assert other.waiting.workflows_among(["w1", "w5", "w9"]) == {"w1"}
    assert other.waiting.workflows_among([]) == set()


def test_very_many_may_be_asked_for(store: Store) -> None:
    adopt(store, range(10))
    many = [f"t{number}" for number in range(2_500)]
    assert len(store.waiting.among(many)) == 10
    assert len(store.waiting.workflows_among([f"w{number}" for number in range(2_500)])) == 10


def test_waiting_tasks_are_read_in_pages(store: Store) -> None:
    adopt(store, range(1, 8))
    store.tasks.drop(ME, ["t2"], NOW)
    found, after = [], ""
    while page := store.waiting.page(after, 4):
        found.append(page)
        after = page[-1]
    assert found == [["t1", "t3", "t4", "t5"], ["t6", "t7"]]


def test_those_that_have_waited_for_longest_come_first(store: Store) -> None:
    adopt(store, [3, 1, 2])
    adopt(store, [0], workflow="other")
    store.tasks.drop(ME, ["t1"], NOW)
    assert store.waiting.seen_by(NOW + 2, 5) == ["t0", "t2"]
    assert store.waiting.seen_by(NOW + 9, 2) == ["t0", "t2"]
    assert store.waiting.seen_by(NOW + 9, 5, "flow") == ["t2", "t3"]
    assert store.waiting.seen_by(NOW - 1, 5) == []
