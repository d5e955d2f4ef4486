"""The worker's part of the store: one transaction for what belongs together, and no target in two hands."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from events.records import Decision, Event, Hold, Lead, NewEvent, NewTarget, Result, Target, Task, Workflow
from events.sqlite import SqliteStore, open_store
from events.store import LeadLost, News

NOW = 1_700_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = open_store(f"sqlite:///{tmp_path}/bridge.db")
    assert store.take_lead("me", 10**6)
    yield store
    store._connections.close()


def arrive(store: SqliteStore, number: int = 1) -> str:
    id_ = f"event{number}"
    store.append([NewEvent(id_, "w", NOW, "{}", {}, {}, NOW + 1000)])
    return id_


def task(number: int = 1, **more: Any) -> Task:
    return replace(Task(f"t{number}", f"w{number}", "flow", "wait", {"$.a": 1}, NOW), **more)


def completion(number: int = 1) -> NewTarget:
    return NewTarget("complete", "flow", f"w{number}", f"t{number}", "wait")


def start(number: int = 1) -> NewTarget:
    return NewTarget("start", "flow", correlation_id=f"event#{number}")


def decide(
    store: SqliteStore, id_: str, *targets: NewTarget, claim: int = 0, hold: Hold = "no", expired: tuple[str, ...] = ()
) -> list[Target]:
    return store.decide("me", [Decision(id_, "pending", hold, targets)], expired, NOW, "me", claim)


def event(store: SqliteStore, id_: str) -> Event:
    found = store.event(id_)
    assert found is not None
    return found


def states(store: SqliteStore, id_: str) -> list[str]:
    return [target.state for target in store.targets_of([id_])]


# --- the lease ---


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", lambda: clock.ms / 1000)
    return clock


class Clock:
    ms = NOW


def test_the_lead_is_one_workers_until_it_runs_out_or_is_given_up(store: SqliteStore, clock: Clock) -> None:
    store.resign("me")
    assert store.take_lead("me", 1) == Lead(NOW + 1000)
    assert store.take_lead("another", 1) is None
    assert store.take_lead("me", 1) == Lead(NOW + 1000), "it has it anew"
    assert store.keep_lead("me", 2)
    assert not store.keep_lead("another", 2)
    clock.ms += 2000
    assert store.take_lead("another", 1) is None
    clock.ms += 1
    assert store.take_lead("another", 1) == Lead(NOW + 3001, "me", NOW + 2000)
    assert store.leader() == ("another", NOW + 3001)
    assert not store.keep_lead("me", 9)
    store.resign("me")
    assert store.leader() == ("another", NOW + 3001), "only the holder gives it up"
    store.resign("another")
    assert store.leader() is None
    assert store.take_lead("me", 1) == Lead(NOW + 3001), "who resigned has said goodbye"


def test_a_lead_that_was_given_up_is_not_kept(store: SqliteStore) -> None:
    store.resign("me")
    assert not store.keep_lead("me", 9)
    assert store.leader() is None
    assert store.take_lead("another", 1)


def test_the_lead_of_the_dead_need_not_run_out(store: SqliteStore, clock: Clock) -> None:
    assert store.keep_lead("me", 9)
    store._unlock("me")  # as the kernel does when a process ends
    assert store.take_lead("another", 1) == Lead(NOW + 1000, "me", NOW)


def test_who_took_the_lead_from_one_that_hangs_is_not_taken_for_dead_when_that_one_gives_way(
    store: SqliteStore, clock: Clock
) -> None:
    store.keep_lead("me", 1)
    clock.ms += 1001
    assert store.take_lead("living", 9), "without the lock"
    store.resign("me")
    assert store.take_lead("me", 1) is None
    assert store.take_lead("third", 1) is None
    assert store.keep_lead("living", 9), "it gets the lock now"
    assert store.take_lead("third", 1) is None
    store._unlock("living")
    assert store.take_lead("third", 1)


def test_only_the_holder_writes_what_is_decided(store: SqliteStore) -> None:
    id_ = arrive(store)
    store.adopt("me", [task()], NOW)
    for write in (
        lambda: store.adopt("another", [task(2)], NOW),
        lambda: store.drop("another", ["t1"], NOW),
        lambda: store.look_again("another", ["t1"]),
        lambda: store.decide("another", [Decision(id_, "expired", "no")], [], NOW, None, 0),
    ):
        with pytest.raises(LeadLost):
            write()
    assert event(store, id_).decided_at is None
    assert [waiting.id for waiting in store.waiting_tasks()] == ["t1"]


# --- tasks ---


def test_a_task_is_adopted_once_and_comes_back_as_it_was(store: SqliteStore) -> None:
    new = task(response_timeout=30, domain="billing", broken="why")
    assert store.adopt("me", [new, task(2)], NOW) == [new, task(2)]
    assert store.adopt("me", [new, replace(new, found_by="index")], NOW) == []
    assert store.task("t1") == new
    assert store.waiting_tasks(limit=1) == [new]
    assert store.waiting_tasks(after="t1") == [task(2)]
    assert store.waiting_count() == 2


def test_the_index_brings_back_no_task_that_has_ended_but_the_queue_does(store: SqliteStore) -> None:
    store.adopt("me", [task()], NOW)
    store.drop("me", ["t1"], NOW)
    assert store.adopt("me", [task(found_by="index")], NOW) == []
    assert store.task("t1").state == "gone"  # type: ignore[union-attr]
    assert len(store.adopt("me", [task()], NOW)) == 1, "Conductor runs it again"
    assert [waiting.id for waiting in store.waiting_tasks()] == ["t1"]


def test_a_task_that_an_event_has_is_neither_adopted_nor_dropped(store: SqliteStore) -> None:
    store.adopt("me", [task()], NOW)
    decide(store, arrive(store), completion())
    assert store.adopt("me", [task(), task(found_by="index")], NOW) == []
    store.drop("me", ["t1"], NOW)
    assert store.task("t1").state == "taken"  # type: ignore[union-attr]


def test_a_task_is_given_to_one_event_at_a_time(store: SqliteStore) -> None:
    store.adopt("me", [task()], NOW)
    decide(store, arrive(store, 1), completion())
    second = arrive(store, 2)
    with pytest.raises(Exception, match="UNIQUE"):
        decide(store, second, start(), completion())
    assert states(store, second) == [], "all of a decision or nothing"
    assert event(store, second).decided_at is None


def test_tasks_that_are_handed_over_wait_for_the_decider_to_look(store: SqliteStore) -> None:
    store.hand_over([task()], NOW)
    store.hand_over([task()], NOW)
    assert [returned.id for returned in store.returned_tasks()] == ["t1"]
    assert store.waiting_tasks() == []
    store.look_again("me", ["t1"])
    assert store.returned_tasks() == []
    assert [waiting.id for waiting in store.waiting_tasks()] == ["t1"]


# --- claims ---


def test_a_target_is_claimed_by_one_worker(store: SqliteStore) -> None:
    decide(store, arrive(store), *map(start, range(10)))
    first, second = store.claim("one", NOW, 0, 6), store.claim("two", NOW, 0, 6)
    assert (len(first), len(second)) == (6, 4)
    assert not {t.id for t in first} & {t.id for t in second}
    assert {(t.claimed_by, t.attempts, t.state) for t in first} == {("one", 1, "claimed")}
    assert store.claim("three", NOW, 0, 6) == []


def test_workers_of_several_processes_never_have_one_target(store: SqliteStore, tmp_path: Path) -> None:
    decide(store, arrive(store), *map(start, range(300)))
    code = """
import sys
from events.sqlite import open_store
store = open_store(sys.argv[1])
while targets := store.claim(sys.argv[2], int(sys.argv[3]), 0, 7):
    print(*(target.id for target in targets))
"""
    url = f"sqlite:///{tmp_path}/bridge.db"
    started = [
        subprocess.Popen([sys.executable, "-c", code, url, name, str(NOW)], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two", "three")
    ]
    claimed = [id_ for process in started for id_ in process.communicate(timeout=60)[0].split()]
    assert len(claimed) == len(set(claimed)) == 300


def test_a_claim_that_shows_no_result_goes_to_another_when_it_is_old(store: SqliteStore) -> None:
    decide(store, arrive(store), start())
    store.claim("one", NOW, 0, 1)
    assert store.claim("two", NOW + 10_000, NOW, 1) == []
    [taken] = store.claim("two", NOW + 10_001, NOW + 1, 1)
    assert (taken.claimed_by, taken.attempts) == ("two", 2)


def test_a_result_counts_only_under_the_claim_that_it_was_made_under(store: SqliteStore) -> None:
    id_ = arrive(store)
    decide(store, id_, start())
    [old] = store.claim("one", NOW, 0, 1)
    [new] = store.claim("one", NOW + 10, NOW + 1, 1)
    for stale in (old, replace(new, attempts=3)):
        store.record_results("one", [Result(stale, "failed", "stale")], NOW)
    store.record_results("two", [Result(new, "failed", "another's")], NOW)
    assert states(store, id_) == ["claimed"]
    store.record_results("one", [Result(new, "done", workflow_id="w")], NOW)
    store.record_results("one", [Result(new, "failed", "late")], NOW)
    [target] = store.targets_of([id_])
    assert (target.state, target.workflow_id, target.error) == ("done", "w", None)


def test_a_target_is_not_claimed_before_its_time_also_when_that_changed_meanwhile(store: SqliteStore) -> None:
    id_ = arrive(store)
    decide(store, id_, start())
    [target] = store.claim("one", NOW, 0, 1)
    found = store._connections.read

    def overtaken(sql: str, parameters: Any = ()) -> Any:
        rows = found(sql, parameters)
        # Between look and claim the first worker's call is broken off, and may still be taking effect.
        store.record_results("one", [Result(target, "pending", "lost", due_at=NOW + 20_000)], NOW)
        return rows

    store._connections.read = overtaken  # type: ignore[method-assign]
    assert store.claim("two", NOW + 10_000, NOW + 5, 1) == []
    store._connections.read = found  # type: ignore[method-assign]
    assert store.claim("two", NOW + 10_000, NOW + 5, 1) == []
    assert store.next_due() == NOW + 20_000
    assert len(store.claim("two", NOW + 20_000, 0, 1)) == 1


def test_a_claim_is_renewed_by_its_worker_alone(store: SqliteStore) -> None:
    decide(store, arrive(store), start())
    [target] = store.claim("one", NOW, 0, 1)
    assert store.renew_claim("one", target, NOW + 5000)
    assert store.claim("two", NOW + 5001, NOW + 5000, 1) == []
    assert not store.renew_claim("two", target, NOW)
    store.claim("two", NOW + 5002, NOW + 5001, 1)
    assert not store.renew_claim("one", target, NOW)


def test_when_conductor_is_back_only_what_waited_for_that_is_due(store: SqliteStore) -> None:
    id_ = arrive(store)
    decide(store, id_, start(1), start(2))
    waits, lost = store.claim("one", NOW, 0, 2)
    late = NOW + 60_000
    store.record_results(
        "one",
        [Result(waits, "pending", "away", due_at=late, not_sent=True), Result(lost, "pending", "lost", due_at=late)],
        NOW,
    )
    store.hurry(NOW + 1)
    assert [target.id for target in store.claim("one", NOW + 1, 0, 9)] == [waits.id]


def test_the_decider_claims_the_first_targets_as_it_decides(store: SqliteStore) -> None:
    id_ = arrive(store)
    claimed = decide(store, id_, *map(start, range(3)), claim=2)
    assert [target.correlation_id for target in claimed] == ["event#0", "event#1"]
    assert states(store, id_) == ["claimed", "claimed", "pending"]


# --- what follows from results ---


def settle(store: SqliteStore, id_: str, *outcomes: str) -> None:
    """All targets of the event come to these ends."""
    targets = store.claim("one", NOW + 10**6, 0, 99)
    assert len(targets) == len(outcomes)
    store.record_results("one", [Result(t, o, "why") for t, o in zip(targets, outcomes, strict=True)], NOW)  # type: ignore[arg-type]


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
        ("cs", ["done", "pending"], "pending", "no"),
        ("cs", ["done", "failed"], "failed", "no"),
        ("s", ["failed"], "failed", "no"),
        ("c", ["failed"], "failed", "no"),
        ("ss", ["done", "done"], "delivered", "no"),
    ],
)
def test_an_events_status_follows_from_its_targets(
    store: SqliteStore, kinds: str, outcomes: list[str], status: str, hold: Hold
) -> None:
    id_ = arrive(store)
    made = [completion(n) if kind == "c" else start(n) for n, kind in enumerate(kinds)]
    store.adopt("me", [task(n) for n, kind in enumerate(kinds) if kind == "c"], NOW)
    decide(store, id_, *made)
    listener = store.listener("events")
    settle(store, id_, *outcomes)
    for_decider = listener._select(0)
    listener.close()
    found = event(store, id_)
    assert (found.status, found.hold) == (status, hold)
    assert (found.settled_at is not None) == (hold == "no" and status != "pending")
    assert for_decider == (hold == "recheck" or "failed" in outcomes[: kinds.count("c")])
    assert [freed.id for freed in store.freed(9)] == [id_] * (hold == "recheck")


@pytest.mark.parametrize(
    ("outcome", "state"), [("done", "completed"), ("cancelled", "gone"), ("failed", "returned"), ("pending", "taken")]
)
def test_a_tasks_state_follows_from_its_target(store: SqliteStore, outcome: str, state: str) -> None:
    store.adopt("me", [task()], NOW)
    id_ = arrive(store)
    decide(store, id_, completion())
    settle(store, id_, outcome)
    assert store.task("t1").state == state  # type: ignore[union-attr]


def test_a_hold_that_ran_out_leaves_what_the_targets_make_of_the_event(store: SqliteStore) -> None:
    ids = [arrive(store, number) for number in range(3)]
    decide(store, ids[0], hold="held")
    decide(store, ids[1], start(1), hold="held")
    settle(store, ids[1], "done")
    decide(store, ids[2], start(2), hold="held")
    store.decide("me", [], ids, NOW + 5, None, 0)
    assert [event(store, id_).status for id_ in ids] == ["expired", "delivered", "pending"]
    assert [event(store, id_).hold for id_ in ids] == ["no", "no", "no"]
    settle(store, ids[2], "done")
    assert event(store, ids[2]).status == "delivered"


# --- reading on ---


def test_undecided_and_held_events_are_read_in_the_order_of_arrival(store: SqliteStore) -> None:
    ids = [arrive(store, number) for number in range(4)]
    assert [found.id for found in store.undecided(3)] == ids[:3]
    for id_ in ids[:3]:
        decide(store, id_, hold="held")
    assert [found.id for found in store.undecided(9)] == ids[3:]
    assert [found.id for found in store.held(0, 2)] == ids[:2]
    assert [found.id for found in store.held(store.held(0, 2)[-1].seq, 2)] == [ids[2]]
    assert set(store.events_of([*ids, "unknown"])) == set(ids)


def test_undecided_events_of_some_webhooks_are_left_out(store: SqliteStore) -> None:
    webhooks = ["c", "a", "b", "a", "c", "b", "a"]
    for number, webhook in enumerate(webhooks):
        store.append([NewEvent(f"{number}{webhook}", webhook, NOW, "{}", {}, {}, NOW)])
    assert [found.id for found in store.undecided(9, ["b"])] == ["0c", "1a", "3a", "4c", "6a"]
    assert [found.id for found in store.undecided(3, ["b", "unknown"])] == ["0c", "1a", "3a"]
    assert [found.id for found in store.undecided(9, {"a", "b"})] == ["0c", "4c"]
    assert store.undecided(9, {"a", "b", "c"}) == []
    store.decide("me", [Decision("0c", "expired", "no")], [], NOW, None, 0)
    assert [found.id for found in store.undecided(9, ["a", "b"])] == ["4c"]


@pytest.mark.parametrize("news", ["events", "targets"])
def test_a_commit_by_another_connection_ends_the_wait(store: SqliteStore, tmp_path: Path, news: News) -> None:
    listener = store.listener(news)
    listener.wait(0)
    other = open_store(f"sqlite:///{tmp_path}/bridge.db")
    for wake in (lambda: arrive(other), listener.wake):
        timer = threading.Timer(0.05, wake)
        timer.start()
        began = time.monotonic()
        listener.wait(60)
        assert time.monotonic() - began < 50
        timer.join()
    wake()
    listener.wait(60)
    listener.wait(0.01)
    listener.close()
    listener.wake()
    other.close()


def test_claims_without_a_call_are_given_back_as_they_were(store: SqliteStore) -> None:
    id_ = arrive(store)
    decide(store, id_, start(1), start(2))
    first, _ = store.claim("one", NOW, 0, 2)
    store.give_back("another", [first], NOW)
    store.give_back("one", [replace(first, attempts=2)], NOW)
    assert states(store, id_) == ["claimed", "claimed"]
    store.give_back("one", [first], NOW + 5)
    store.give_back("one", [first], NOW + 6)
    [again] = store.claim("two", NOW + 5, 0, 9)
    assert (again.id, again.attempts) == (first.id, 1)
    store.record_results("one", [Result(first, "failed", "it was given back")], NOW)
    assert states(store, id_) == ["claimed", "claimed"]


def test_looked_up_workflows_are_remembered(store: SqliteStore) -> None:
    found = Workflow("w1", 2, "root", NOW, "event")
    assert store.workflow("w1") is None
    store.remember_workflows([found])
    assert store.workflow("w1") == found


# --- retention ---


def test_what_is_finished_and_old_is_pruned_in_small_steps_and_nothing_else(store: SqliteStore) -> None:
    for number in range(30):
        id_ = arrive(store, number)
        store.adopt("me", [task(number)], NOW)
        decide(store, id_, completion(number))
    targets = store.claim("one", NOW, 0, 99)
    store.record_results("one", [Result(target, "done") for target in targets[:20]], NOW)
    store.remember_workflows([Workflow(f"w{number}", 1, "r", NOW, None) for number in range(30)])
    waiting = arrive(store, 99)
    assert store.prune(NOW, 8) == 0, "not before its time"
    steps = []
    while step := store.prune(NOW + 1, 8):
        steps.append(step)
    assert max(steps) <= 8
    assert sum(steps) == 20
    assert store.event_counts() == {"pending": 11}
    assert event(store, waiting)
    assert [store.task(f"t{number}") is None for number in range(30)] == [True] * 20 + [False] * 10
    assert [store.workflow(f"w{number}") is None for number in range(30)] == [True] * 20 + [False] * 10
    assert store.targets_of([f"event{number}" for number in range(20)]) == []


def test_tasks_that_ended_without_an_event_are_pruned_too(store: SqliteStore) -> None:
    store.adopt("me", [task(number) for number in range(20)], NOW)
    store.drop("me", [f"t{number}" for number in range(20)], NOW)
    for _ in range(3):
        store.prune(NOW + 1, 8)
    assert all(store.task(f"t{number}") is None for number in range(20))
