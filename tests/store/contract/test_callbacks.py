"""Events that came by a callback's URL: whose they are, how they find their task, when they are
over, and which are forgotten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import get_args

import pytest

from store.one_target import callback_to, from_text, to_text
from store.records import Decision, NewTarget, Result, Target, Task
from store.sql.claims import Ahead
from store.sql.decisions import Plan
from store.sql.store import Store
from store.sql.tasks import Asks
from tests.support.makers import ME, NOW, arrive, completion, event, new_event, task

PLACE = callback_to("w1", "approve__2")


def called(store: Store, id_: str, webhook: str = "w", name: str = "approve") -> Target:
    """A callback's event, whose target this worker has claimed."""
    arrive(store, id_, webhook=webhook, only=callback_to("w1", name))
    new = NewTarget("complete", "unknown", workflow_id="w1", reference_name=name)
    [target] = decide(store, id_, new, claim=1)
    return target


def decide(store: Store, id_: str, *targets: NewTarget, claim: int = 0) -> list[Target]:
    plan = Plan([Decision(id_, "pending", "held", targets)], {id_: event(store, id_)})
    return store.decisions.decide(ME, plan, NOW, claim)


def adopt(store: Store, found: Task, now: int = NOW) -> None:
    store.tasks.adopt(ME, [(found, Asks(("$.a",), 1))], now, {})


def name(
    store: Store,
    target: Target,
    task_id: str = "t1",
    *,
    worker: str = "me",
    scheduled_at: int = NOW,
    webhooks: tuple[str, ...] = ("w",),
) -> Target | str:
    named = replace(target, workflow="flow", task_id=task_id, reference_name="approve", iteration=0)
    return store.claims.name_task(worker, named, scheduled_at, scheduled_at, webhooks, NOW + 5)


def record(store: Store, target: Target | str, state: str = "done", **more: bool) -> None:
    assert isinstance(target, Target)
    store.claims.record_results("me", [Result(target, state, final=True, **more)], NOW)  # type: ignore[arg-type]


def again(store: Store, target: Target, now: int, due_at: int = 0) -> Target:
    """The target's call found no task; it is claimed once more."""
    later = Result(target, "pending", "not yet", due_at=due_at or now, did_nothing=True)
    store.claims.record_results("me", [later], now)
    if due_at:
        return target
    [claimed] = store.claims.claim("me", now, 0, 9)
    return claimed


def task_state(store: Store) -> tuple[str, int]:
    found = store.queries.task("t1")
    assert found is not None
    return found.state, found.wait


def test_an_event_keeps_the_task_that_it_is_for(store: Store) -> None:
    arrive(store, only=PLACE, delivery_id="callback w1/approve__2")
    assert event(store, "e1").only == PLACE
    assert event(store, "e1").is_callback
    assert [one.only for one in store.decisions.agenda(10).undecided] == [PLACE]
    again = store.deliveries.append(
        [new_event("e2", only=PLACE, delivery_id="callback w1/approve__2")]
    )
    assert (again[0].duplicate, again[0].event_id) == (True, "e1")


@pytest.mark.parametrize("is_known", [True, False])
def test_its_target_gets_the_task_and_no_other_one_has_it(store: Store, is_known: bool) -> None:
    """Of a task that waits for an event there is a row; of one of another type there is none."""
    if is_known:
        adopt(store, task(1))
    first, second = called(store, "e1"), called(store, "e2")
    assert name(store, second) == "behind", "the older one goes first"
    named = name(store, first)
    assert isinstance(named, Target)
    assert name(store, second) == "taken"
    [stored] = store.queries.targets_of(["e1"])
    assert stored == named
    assert (stored.task_id, stored.workflow, stored.wait) == ("t1", "flow", 1)
    assert not is_known or task_state(store) == ("taken", 1)
    record(store, named)
    assert (event(store, "e1").status, event(store, "e1").hold) == ("delivered", "no")
    assert not is_known or task_state(store) == ("completed", 1)
    assert name(store, second) == "taken"
    assert name(store, second, "t2") == replace(second, workflow="flow", task_id="t2", iteration=0)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_task_that_waits_again_under_its_id_is_another_wait(store: Store, is_known: bool) -> None:
    if is_known:
        adopt(store, task(1))
    record(store, name(store, called(store, "e1")))
    rerun = name(store, called(store, "e2"), scheduled_at=NOW + 1)
    assert isinstance(rerun, Target)
    assert rerun.wait == 2
    assert not is_known or task_state(store) == ("taken", 2)
    assert name(store, called(store, "e3"), scheduled_at=NOW + 2) == "taken"


def test_a_task_that_another_event_has_taken_is_not_its_own(store: Store) -> None:
    adopt(store, task(1))
    arrive(store, "other")
    decide(store, "other", completion(1))
    assert name(store, called(store, "e1")) == "taken"


def test_an_older_event_for_the_task_is_due_at_once_and_first(store: Store) -> None:
    first, second = called(store, "e1"), called(store, "e2", "v", "approve")
    again(store, first, NOW, due_at=NOW + 60_000)
    for other, state in (("e0", "later"), ("e9", "reject")):
        called(store, other, "w" if other == "e9" else "paused", state)
    assert store.claims.claim("me", NOW + 5, 0, 9) == []
    assert name(store, second, scheduled_at=NOW + 1, webhooks=("v",)) != "behind"
    record(store, replace(second, task_id="t1"), "cancelled")
    third = called(store, "e3")
    assert name(store, third, scheduled_at=NOW + 1, webhooks=("v", "w")) == "behind"
    [due] = store.claims.claim("me", NOW + 5, 0, 9)
    assert due.event_id == "e1"
    again(store, due, NOW + 5, due_at=NOW + 60_000)
    assert isinstance(name(store, third, scheduled_at=NOW + 1), Target), "it has had its turn"


def test_of_two_workers_at_once_one_gets_the_task(store: Store, other: Store) -> None:
    """Nobody knew the task before, so it has no row to lock."""
    for number in range(10):
        targets = [called(store, f"{number} {which}") for which in "ab"]
        task_id = f"t{number}"
        with ThreadPoolExecutor(2) as pool:
            found = list(
                pool.map(
                    lambda where, target: name(where, target, task_id, webhooks=()),  # noqa: B023
                    (store, other),
                    targets,
                )
            )
        assert sorted(isinstance(one, Target) for one in found) == [False, True]
        assert "taken" in found


def test_nothing_is_named_under_a_claim_that_is_lost(store: Store) -> None:
    target = called(store, "e1")
    assert name(store, target, worker="another") == "behind"
    assert name(store, replace(target, attempts=2)) == "behind"
    [stored] = store.queries.targets_of(["e1"])
    assert stored.task_id is None


def test_those_that_came_before_and_still_look_for_their_tasks_are_counted(store: Store) -> None:
    for id_, webhook in (("e1", "w"), ("e2", "w"), ("e3", "v")):
        again(store, called(store, id_, webhook), NOW, due_at=NOW + 9)
    last = called(store, "e4")
    called(store, "e5")
    for which in get_args(Ahead):
        assert store.claims.ahead(last, "w", which, 10) == 2
        assert store.claims.ahead(last, "w", which, 1) == 1


@pytest.mark.parametrize(
    ("state", "status"),
    [("cancelled", "expired"), ("skipped", "ignored"), ("failed", "failed"), ("done", "delivered")],
)
def test_once_its_target_has_ended_it_is_over(store: Store, state: str, status: str) -> None:
    record(store, called(store, "e1"), state)
    found = event(store, "e1")
    assert (found.status, found.hold, found.settled_at) == (status, "no", NOW)


def test_one_that_was_made_up_is_among_the_first_that_retention_deletes(store: Store) -> None:
    for id_ in ("e1", "e2"):
        record(store, called(store, id_), "skipped", forgotten=id_ == "e2")
    arrive(store, "e3", only=PLACE)
    assert event(store, "e2").status == "ignored"
    assert store.maintenance.prune(NOW - 10**9, 10).events == 1
    assert store.queries.event("e2") is None
    assert store.queries.event("e1") is not None


def test_its_place_is_kept_as_text() -> None:
    assert from_text(str(to_text(PLACE))) == PLACE
    assert str(PLACE) == "task approve__2 of workflow w1"
