"""Targets in the hands of workers: no target in two hands, and what follows from results."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from store.records import EventStatus, Hold, Result, Target, TargetState
from store.rules.transitions import Effects
from store.sql.store import Store
from tests.support.backends import Backend
from tests.support.deciding import adopt
from tests.support.makers import (
    ME,
    NOW,
    arrive,
    completion,
    decide,
    end,
    event,
    ids,
    start,
    states,
    task,
)


def test_a_target_is_claimed_by_one_worker(store: Store) -> None:
    decide(store, arrive(store), *map(start, range(10)))
    first, second = store.claims.claim("one", NOW, 0, 6), store.claims.claim("two", NOW, 0, 6)
    assert (len(first), len(second)) == (6, 4)
    assert not set(ids(first)) & set(ids(second))
    assert {(t.claimed_by, t.claimed_at, t.attempts, t.state) for t in first} == {
        ("one", NOW, 1, "claimed")
    }
    assert [t.correlation_id for t in first] == [f"start#{number}" for number in range(6)], (
        "the first ones first"
    )
    assert store.claims.claim("three", NOW, 0, 6) == []


def test_workers_at_the_same_time_never_have_one_target(backend: Backend, store: Store) -> None:
    decide(store, arrive(store), *map(start, range(200)))
    together = threading.Barrier(3)

    def work(name: str) -> list[str]:
        own = backend.open()
        together.wait(60)
        claimed = []
        while targets := own.claims.claim(name, NOW, 0, 7):
            claimed += ids(targets)
        return claimed

    with ThreadPoolExecutor(3) as pool:
        claimed = [id_ for part in pool.map(work, ("one", "two", "three")) for id_ in part]
    assert len(claimed) == len(set(claimed)) == 200


def test_claims_that_are_old_come_before_what_is_due(store: Store) -> None:
    decide(store, arrive(store), *map(start, range(8)))
    old = store.claims.claim("one", NOW, 0, 3)
    again = store.claims.claim("two", NOW + 10, NOW + 1, 4)
    assert len(again) == 4
    assert set(ids(old)) < set(ids(again))
    assert sorted(target.attempts for target in again) == [1, 2, 2, 2]


def test_a_result_counts_only_under_the_claim_that_it_was_made_under(store: Store) -> None:
    decide(store, arrive(store), start())
    [old] = store.claims.claim("one", NOW, 0, 1)
    [new] = store.claims.claim("one", NOW + 10, NOW + 1, 1)
    for stale in (old, replace(new, attempts=3)):
        store.claims.record_results("one", [Result(stale, "failed", "stale")], NOW)
    store.claims.record_results("two", [Result(new, "failed", "another's")], NOW)
    assert states(store, "e1") == ["claimed"]
    store.claims.record_results("one", [Result(new, "done", workflow_id="w")], NOW + 20)
    store.claims.record_results("one", [Result(new, "failed", "late")], NOW + 30)
    [target] = store.queries.targets_of(["e1"])
    assert (target.state, target.workflow_id, target.error) == ("done", "w", None)
    assert target.settled_at == NOW + 20


def test_a_result_under_a_lost_claim_replaces_none_under_the_next_one(store: Store) -> None:
    """As after a worker was frozen for longer than its claim lasts: both are recorded together."""
    decide(store, arrive(store), start())
    [lost] = store.claims.claim("one", NOW, 0, 9)
    [target] = store.claims.claim("one", NOW + 2, NOW + 1, 9)
    results = [
        Result(target, "done", workflow_id="f"),
        Result(lost, "pending", "no answer in time"),
    ]
    store.claims.record_results("one", results, NOW + 3)
    assert states(store, "e1") == ["done"]
    assert event(store, "e1").status == "delivered"


def test_a_target_that_is_to_be_tried_again_is_not_claimed_before_its_time(store: Store) -> None:
    decide(store, arrive(store), start())
    assert store.claims.next_due() == NOW
    [target] = store.claims.claim("one", NOW, 0, 1)
    assert store.claims.next_due() is None
    store.claims.record_results(
        "one", [Result(target, "pending", "lost", due_at=NOW + 20_000)], NOW
    )
    assert store.claims.claim("two", NOW + 19_999, NOW + 19_999, 1) == []
    assert store.claims.next_due() == NOW + 20_000
    [again] = store.claims.claim("two", NOW + 20_000, 0, 1)
    assert (again.attempts, again.error) == (2, "lost")


def test_a_claim_is_renewed_by_its_worker_alone(store: Store) -> None:
    decide(store, arrive(store), start())
    [target] = store.claims.claim("one", NOW, 0, 1)
    assert store.claims.renew("one", target, NOW + 5000)
    assert store.claims.claim("two", NOW + 5001, NOW + 5000, 1) == []
    assert not store.claims.renew("two", target, NOW)
    store.claims.claim("two", NOW + 5002, NOW + 5001, 1)
    assert not store.claims.renew("one", target, NOW)


def test_claims_without_a_call_are_given_back_as_they_were(store: Store) -> None:
    decide(store, arrive(store), start(1), start(2))
    first, _ = store.claims.claim("one", NOW, 0, 2)
    store.claims.give_back("another", [first], NOW)
    store.claims.give_back("one", [replace(first, attempts=2)], NOW)
    assert states(store, "e1") == ["claimed", "claimed"]
    store.claims.give_back("one", [first], NOW + 5)
    store.claims.give_back("one", [first], NOW + 6)
    [again] = store.claims.claim("two", NOW + 5, 0, 9)
    assert (again.id, again.attempts) == (first.id, 1)
    store.claims.record_results("one", [Result(first, "failed", "it was given back")], NOW)
    assert states(store, "e1") == ["claimed", "claimed"]


def test_when_conductor_is_back_only_what_waited_for_that_is_due(store: Store) -> None:
    decide(store, arrive(store), start(1), start(2))
    waits, lost = store.claims.claim("one", NOW, 0, 2)
    late = NOW + 60_000
    results = [
        Result(waits, "pending", "away", due_at=late, not_sent=True),
        Result(lost, "pending", "lost", due_at=late),
    ]
    store.claims.record_results("one", results, NOW)
    store.claims.hurry(NOW + 1)
    assert ids(store.claims.claim("one", NOW + 1, 0, 9)) == [waits.id]


def test_since_when_a_target_is_answered_5xx_is_known_to_the_next_claim(store: Store) -> None:
    decide(store, arrive(store), start(1))
    [target] = store.claims.claim("one", NOW, 0, 1)
    assert target.failing_since is None
    store.claims.record_results(
        "one", [Result(target, "pending", "500", due_at=NOW, failing_since=NOW - 7)], NOW
    )
    [target] = store.claims.claim("two", NOW, 0, 1)
    assert target.failing_since == NOW - 7
    store.claims.record_results("two", [Result(target, "pending", "waits", due_at=NOW)], NOW)
    [target] = store.claims.claim("two", NOW, 0, 1)
    assert target.failing_since is None


@pytest.mark.parametrize(
    ("kinds", "outcomes", "status", "hold"),
    [
        ("c", ["done"], "delivered", "no"),
        ("cc", ["done", "cancelled"], "delivered", "no"),
        ("c", ["cancelled"], "pending", "recheck"),
        ("cc", ["cancelled", "cancelled"], "pending", "recheck"),
        ("cs", ["cancelled", "done"], "pending", "recheck"),
        ("cs", ["cancelled", "pending"], "pending", "recheck"),
        ("cs", ["cancelled", "failed"], "failed", "recheck"),
        ("cc", ["cancelled", "unknown"], "failed", "no"),
        ("cs", ["done", "pending"], "pending", "no"),
        ("cs", ["done", "failed"], "failed", "no"),
        ("s", ["failed"], "failed", "no"),
        ("c", ["failed"], "failed", "no"),
        ("ss", ["done", "done"], "delivered", "no"),
    ],
)
def test_an_events_status_follows_from_its_targets(
    store: Store, kinds: str, outcomes: list[TargetState], status: EventStatus, hold: Hold
) -> None:
    made = [completion(n) if kind == "c" else start(n) for n, kind in enumerate(kinds)]
    adopt(store, ME, [task(n) for n, kind in enumerate(kinds) if kind == "c"], NOW)
    decide(store, arrive(store), *made)
    end(store, "e1", *outcomes)
    found = event(store, "e1")
    assert (found.status, found.hold) == (status, hold)
    assert (found.settled_at is not None) == (hold == "no" and status != "pending")
    assert ids(store.decisions.agenda(9).freed) == ["e1"] * (hold == "recheck")
    failed = [
        f"t{number}"
        for number, state in enumerate(outcomes)
        if state == "failed" and kinds[number] == "c"
    ]
    assert ids(store.decisions.agenda(9).returned) == failed


def test_a_completion_in_doubt_keeps_its_versions_and_if_it_is_unfit_task_and_event_are_free(
    store: Store,
) -> None:
    adopt(store, ME, [task(1), task(2)], NOW)
    made = (
        replace(completion(1), only_versions=(1, 20_240_101_1200)),
        replace(completion(2), only_versions=()),
    )
    decide(store, arrive(store), *made)
    claimed = store.claims.claim("one", NOW, 0, 9)
    assert [target.only_versions for target in claimed] == [(1, 20_240_101_1200), ()]
    assert [target.only_versions for target in store.queries.targets_of(["e1"])] == [
        (1, 20_240_101_1200),
        (),
    ]
    first, second = claimed
    store.claims.record_results(
        "one", [Result(first, "cancelled", "another version", unfit=True)], NOW
    )
    assert (event(store, "e1").hold, ids(store.decisions.agenda(9).returned)) == ("no", ["t1"])
    store.claims.record_results("one", [Result(second, "cancelled", "gone")], NOW)
    assert (ids(store.decisions.agenda(9).freed), ids(store.decisions.agenda(9).returned)) == (
        ["e1"],
        ["t1"],
    )
    assert store.queries.task("t2").state == "gone"  # type: ignore[union-attr]


def test_when_calls_of_a_kind_had_their_effects_is_known_to_all_workers(
    backend: Backend, store: Store
) -> None:
    assert store.effects.of_kind("start") is None
    store.effects.note("start", NOW)
    other = backend.open()
    other.effects.note("start", NOW + 60_000)
    assert store.effects.of_kind("start") == Effects(NOW, NOW + 60_000)
    assert store.effects.of_kind("complete") is None
    other.effects.note("start", NOW + 3_600_000)
    assert store.effects.of_kind("start") == Effects(NOW + 3_600_000, NOW + 3_600_000)


def test_a_completion_that_may_not_be_made_yet_is_claimed_by_nobody(store: Store) -> None:
    adopt(store, ME, [task(1), task(2)], NOW)
    decide(store, arrive(store), replace(completion(1), not_before=NOW + 5), completion(2), claim=9)
    first, second = store.queries.targets_of(["e1"])
    assert ((first.state, first.due_at), second.state) == (("pending", NOW + 5), "claimed")
    assert store.claims.claim("two", NOW + 4, 0, 9) == []
    assert [target.task_id for target in store.claims.claim("two", NOW + 5, 0, 9)] == ["t1"]


def test_a_completion_is_claimed_against_all_others_while_its_tasks_time_out_is_extended(
    backend: Backend, store: Store
) -> None:
    timed = [replace(task(n), response_timeout=30) for n in (1, 2, 3)]
    adopt(store, ME, [*timed, task(4)], NOW)
    decide(store, arrive(store), *map(completion, (1, 2, 4)))
    assert [(t.id, t.response_timeout) for t in store.tasks.taken_in_time("", 9)] == [
        ("t1", 30),
        ("t2", 30),
    ]
    assert [t.id for t in store.tasks.taken_in_time("t1", 9)] == ["t2"]
    other = backend.open()
    assert store.claims.claim_completion("me", "t3", NOW, NOW - 100) == "over", "it still waits"
    first, second = (claimed_completion(store, name) for name in ("t1", "t2"))
    assert [t.task_id for t in other.claims.claim("two", NOW, NOW - 100, 9)] == ["t4"]
    assert other.claims.claim_completion("two", "t1", NOW, NOW - 100) == "in flight"
    other.claims.hurry(NOW + 1)
    store.claims.give_back("me", [first], NOW + 7)
    store.claims.give_back("me", [second], NOW)
    assert [(t.task_id, t.attempts) for t in other.claims.claim("two", NOW + 6, NOW - 100, 9)] == [
        ("t2", 1)
    ]
    assert [(t.task_id, t.attempts) for t in other.claims.claim("two", NOW + 7, NOW - 100, 9)] == [
        ("t1", 1)
    ]
    store.claims.give_back("me", [first], NOW)
    assert states(store, "e1") == ["claimed"] * 3, "another's claims stand"


def claimed_completion(
    store: Store, task_id: str, now: int = NOW, free_before: int = NOW - 100
) -> Target:
    found = store.claims.claim_completion("me", task_id, now, free_before)
    assert isinstance(found, Target)
    return found


def test_no_completion_is_claimed_for_another_call_of_which_a_call_may_be_under_way(
    store: Store,
) -> None:
    adopt(store, ME, [replace(task(n), response_timeout=30) for n in (1, 2)], NOW)
    decide(store, arrive(store), *map(completion, (1, 2)))
    for target in store.claims.claim("two", NOW, 0, 9):
        for name in ("t1", "t2"):
            assert store.claims.claim_completion("me", name, NOW, NOW - 100) == "in flight"
        lost = Result(target, "pending", "lost", due_at=NOW + 50, not_sent=target.task_id == "t2")
        store.claims.record_results("two", [lost], NOW)
        if target.task_id == "t2":
            break
    assert claimed_completion(store, "t2", NOW + 60, NOW - 40).due_at == NOW + 50, (
        "Conductor wasn't reached"
    )
    assert store.claims.claim_completion("me", "t1", NOW + 60, NOW - 40) == "in flight"
    assert claimed_completion(store, "t1", NOW + 200, NOW + 100).attempts == 2
