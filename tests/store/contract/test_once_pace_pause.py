"""Starts that are one, paces that all workers keep together, and webhooks that are paused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from store.records import Agenda, Decision, NewTarget, OnceHolder, Result, Target
from store.sql.store import Store
from tests.support import deciding
from tests.support.backends import Backend
from tests.support.deciding import adopt
from tests.support.makers import ME, NOW, arrive, completion, decide, end, ids, start, states, task


def once(number: int = 1, key: str = "key", **more: Any) -> NewTarget:
    return replace(start(number), once_key=key, **{"once_while": "running", **more})


def arrived(store: Store, id_: str, *targets: NewTarget, claim: int = 0) -> list[Target]:
    return decide(store, arrive(store, id_), *targets, claim=claim)


# --- once ---


def test_the_first_start_with_a_key_holds_it(store: Store) -> None:
    [first] = arrived(store, "e1", once(1), claim=1)
    [second] = arrived(store, "e2", once(2), claim=1)
    assert (second.once_key, second.once_while) == ("key", "running")
    assert store.once_keys.holder("key") == OnceHolder(first.id, "claimed", None)
    assert store.once_keys.holder("another") is None
    store.claims.record_results("me", [Result(first, "done", workflow_id="workflow")], NOW)
    assert store.once_keys.holder("key") == OnceHolder(first.id, "done", "workflow")


def test_a_key_changes_hands_only_from_the_holder_that_was_seen(store: Store) -> None:
    [first] = arrived(store, "e1", once(1), claim=1)
    [second, third] = arrived(store, "e2", once(2), once(3), claim=2)
    seen = store.once_keys.holder("key")
    assert store.once_keys.take("key", seen, second.id)
    assert not store.once_keys.take("key", seen, third.id)
    assert not store.once_keys.take("key", None, third.id)
    assert store.once_keys.take("free", None, third.id)
    assert store.once_keys.holder("key") == OnceHolder(second.id, "claimed", None)
    assert first.id != second.id


def test_what_waits_for_the_holder_is_due_as_soon_as_that_has_ended(store: Store) -> None:
    [first] = arrived(store, "e1", once(1), claim=1)
    [second] = arrived(store, "e2", once(2), claim=1)
    store.claims.record_results(
        "me", [Result(second, "pending", "waits", due_at=NOW + 10_000, not_sent=True)], NOW
    )
    assert store.claims.claim("me", NOW + 1, 0, 9) == []
    store.claims.record_results("me", [Result(first, "done", workflow_id="workflow")], NOW + 1)
    [again] = store.claims.claim("me", NOW + 1, 0, 9)
    assert again.id == second.id
    store.claims.record_results(
        "me", [Result(again, "skipped", "there", workflow_id="workflow")], NOW + 2
    )
    assert states(store, "e2") == ["skipped"]
    found = store.queries.event("e2")
    assert found is not None
    assert (found.status, found.settled_at) == ("delivered", NOW + 2)


def test_a_pruned_holder_is_kept_only_while_its_workflow_may_run(store: Store) -> None:
    arrived(store, "e1", once(1), once(2, "kept", once_while="kept"), once(3, "refused"))
    claimed = store.claims.claim("me", NOW, 0, 9)
    store.claims.record_results(
        "me",
        [
            Result(claimed[0], "done", workflow_id="runs"),
            Result(claimed[1], "done", workflow_id="kept"),
            Result(claimed[2], "failed", "no such workflow"),
        ],
        NOW,
    )
    arrive(store, "e2")  # the newest event is never pruned
    assert store.maintenance.prune(NOW + 1, 10).events == 1
    assert store.once_keys.holder("key") == OnceHolder(None, None, "runs")
    assert store.once_keys.holder("kept") is None
    assert store.once_keys.holder("refused") is None

    assert store.once_keys.pruned("", 10) == [("key", "runs")]
    assert store.once_keys.pruned("key", 10) == []
    store.once_keys.forget([("key", "runs")])
    assert store.once_keys.holder("key") is None


def test_a_pruned_holders_key_changes_hands_too(store: Store) -> None:
    arrived(store, "e1", once(1))
    end(store, "e1", "done")
    [target] = store.queries.targets_of(["e1"])
    store.once_keys.holder("key")
    [second] = arrived(store, "e2", once(2), claim=1)
    assert store.once_keys.holder("key") == OnceHolder(target.id, "done", None)
    assert store.once_keys.take("key", store.once_keys.holder("key"), second.id)
    store.once_keys.forget([("key", "workflow")])
    assert store.once_keys.holder("key") == OnceHolder(second.id, "claimed", None), (
        "only pruned holders are forgotten"
    )


def test_a_pruned_holder_is_not_taken_for_another_one_of_its_key_that_was_pruned_later(
    store: Store,
) -> None:
    def prune(event_id: str, workflow_id: str) -> OnceHolder | None:
        [target] = store.claims.claim("me", NOW, 0, 9)
        store.claims.record_results("me", [Result(target, "done", workflow_id=workflow_id)], NOW)
        arrive(store, f"after {event_id}")  # the newest event is never pruned
        store.maintenance.prune(NOW + 1, 10)
        return store.once_keys.holder("key")

    arrived(store, "e1", once(1))
    seen = prune("e1", "ended")
    [second] = arrived(store, "e2", once(2), claim=1)
    assert store.once_keys.take("key", seen, second.id)
    store.claims.give_back("me", [second], NOW)
    runs = prune("e2", "runs")
    assert (seen, runs) == (OnceHolder(None, None, "ended"), OnceHolder(None, None, "runs"))
    [third] = arrived(store, "e3", once(3), claim=1)
    assert not store.once_keys.take("key", seen, third.id), (
        "its worker was held up after it had looked"
    )
    store.once_keys.forget([("key", "ended")])
    assert store.once_keys.holder("key") == runs
    assert store.once_keys.take("key", runs, third.id)


# --- pace ---


def paced(store: Store, id_: str, webhook: str, number: int) -> None:
    arrive(store, id_, webhook=webhook)
    targets = tuple(start(one) for one in range(number))
    assert (
        deciding.decide(store, ME, [Decision(id_, "pending", "no", targets, paced=True)], NOW, 99)
        == []
    )


def test_no_more_is_claimed_than_the_pace_allows_by_all_workers_together(
    backend: Backend, store: Store
) -> None:
    paced(store, "e1", "slow", 30)
    slow = {"slow": 10.0}
    assert [t.correlation_id for t in store.claims.claim("me", NOW, 0, 99, slow)] == ["start#0"]
    assert store.claims.claim("other", NOW, 0, 99, slow) == []
    assert store.claims.next_due(slow) == NOW + 100
    with ThreadPoolExecutor(4) as pool:
        stores = [backend.open() for _ in range(4)]
        claimed = list(
            pool.map(lambda one: ids(one.claims.claim("other", NOW + 1000, 0, 99, slow)), stores)
        )
    assert sum(map(len, claimed)) == 1


def test_what_waits_for_its_pace_is_in_no_others_way(store: Store) -> None:
    paced(store, "e1", "slow", 30)
    decide(store, arrive(store, "e2", webhook="quick"), start(1), start(2))
    claimed = store.claims.claim("me", NOW, 0, 3, {"slow": 1.0, "unused": 5.0})
    assert sorted(t.event_id for t in claimed) == ["e1", "e2", "e2"]
    assert store.claims.next_due({"slow": 1.0}) == NOW + 1000
    assert store.claims.next_due() == NOW


# --- pause ---


def test_a_webhook_is_paused_until_it_is_resumed(store: Store, other: Store) -> None:
    assert store.pauses.paused() == {}
    arrive(store)
    store.pauses.pause("w", NOW)
    store.pauses.pause("w", NOW + 5)
    assert other.pauses.paused() == {"w": NOW}
    assert store.decisions.agenda(9) == Agenda({"w": NOW}, [], [], [])
    assert other.pauses.resume("w")
    assert not other.pauses.resume("w")
    assert store.pauses.paused() == {}
    assert ids(store.decisions.agenda(9).undecided) == ["e1"]


def test_freed_events_can_be_left_out_by_webhook(store: Store) -> None:
    adopt(store, ME, [task()], NOW)
    decide(store, arrive(store), completion())
    end(store, "e1", "cancelled")
    assert ids(store.decisions.agenda(10).freed) == ["e1"]
    assert store.decisions.agenda(10, without=["w", "x"]).freed == []
