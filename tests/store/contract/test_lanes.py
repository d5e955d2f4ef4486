"""Messages of one lane: one at a time, in the order of their decisions, and no cost to others."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import pytest

from store.records import Decision, EventStatus, Result, TargetState
from store.rules.keys import lane_of
from store.sql.store import Store
from tests.support import deciding
from tests.support.backends import Backend
from tests.support.makers import ME, NOW, arrive, decide, event, message, start, states


def test_a_message_is_claimed_once_the_earlier_ones_of_its_lane_have_ended(store: Store) -> None:
    for number in range(3):
        decide(store, arrive(store, f"e{number}"), message(), claim=9)
    assert [states(store, f"e{number}") for number in range(3)] == [
        ["pending"],
        ["queued"],
        ["queued"],
    ]
    for number in range(3):
        [target] = store.claims.claim("me", NOW, 0, 9)
        assert (target.event_id, target.correlation_id, target.otherwise) == (
            f"e{number}",
            "k",
            "start",
        )
        assert store.claims.claim("other", NOW, 0, 9) == []
        store.claims.record_results("me", [Result(target, "done", workflow_id=f"w{number}")], NOW)
        assert event(store, f"e{number}").status == "delivered"
    assert store.lanes.latest_workflow(lane_of("agent", "k")) == "w2"
    assert store.lanes.latest_workflow(lane_of("agent", "another")) is None


@pytest.mark.parametrize("ends", ["failed", "cancelled", "skipped"])
def test_a_message_that_ends_otherwise_lets_the_next_one_go(
    store: Store, ends: TargetState
) -> None:
    decide(store, arrive(store, "e1"), message())
    decide(store, arrive(store, "e2"), message())
    [target] = store.claims.claim("me", NOW, 0, 9)
    store.claims.record_results("me", [Result(target, ends, "why")], NOW)
    assert [one.event_id for one in store.claims.claim("me", NOW, 0, 9)] == ["e2"]


def test_a_message_that_is_retried_stays_the_first_and_holds_up_no_other_lane(store: Store) -> None:
    decide(store, arrive(store, "e1"), message("a"))
    decide(store, arrive(store, "e2"), message("a"))
    [target] = store.claims.claim("me", NOW, 0, 9)
    store.claims.record_results(
        "me", [Result(target, "pending", "full", workflow_id="w1", due_at=NOW + 500)], NOW
    )
    decide(store, arrive(store, "e3"), message("b"), start())
    others = store.claims.claim("me", NOW, 0, 9)
    assert [(one.event_id, one.kind) for one in others] == [("e3", "message"), ("e3", "start")]
    assert store.claims.next_due() == NOW + 500
    [again] = store.claims.claim("me", NOW + 500, 0, 9)
    assert (again.event_id, again.attempts, again.workflow_id) == ("e1", 2, "w1")


def test_a_held_message_is_looked_for_again_at_once_if_a_later_one_starts_its_workflow(
    store: Store,
) -> None:
    lane = lane_of("agent", "k")
    decide(store, arrive(store, "e1"), message(otherwise="hold"))
    [target] = store.claims.claim("me", NOW, 0, 9)
    store.claims.record_results(
        "me", [Result(target, "pending", "held", due_at=NOW + 500, not_sent=True)], NOW
    )
    decide(store, arrive(store, "e2"), message(otherwise="hold"))
    decide(store, arrive(store, "e3"), message("another"))
    assert (store.claims.next_due(), store.lanes.next_start(lane)) == (NOW, None)
    store.claims.record_results(
        "me", [Result(one, "done") for one in store.claims.claim("me", NOW, 0, 9)], NOW
    )
    assert store.claims.next_due() == NOW + 500
    decide(store, arrive(store, "e4"), message())
    later = store.lanes.next_start(lane)
    assert later is not None
    assert (later.event_id, store.claims.next_due()) == ("e4", NOW)
    [first] = store.claims.claim("me", NOW, 0, 9)
    assert first.event_id == "e1"
    store.claims.record_results("me", [Result(first, "pending", "lost", due_at=NOW + 500)], NOW)
    decide(store, arrive(store, "e5"), message())
    assert store.claims.next_due() == NOW + 500, "its last call may still be taking effect"


def test_a_message_that_leaves_its_lane_lets_the_next_one_go_and_may_still_be_delivered(
    store: Store,
) -> None:
    decide(store, arrive(store, "e1"), message())
    decide(store, arrive(store, "e2"), message())
    [target] = store.claims.claim("me", NOW, 0, 9)
    store.claims.record_results(
        "me", [Result(target, "pending", "why", due_at=NOW + 500, leaves_lane=True)], NOW
    )
    [second] = store.claims.claim("me", NOW, 0, 9)
    assert second.event_id == "e2"
    [first] = store.claims.claim("me", NOW + 500, 0, 9)
    assert (first.event_id, first.lane) == ("e1", None)
    store.claims.record_results(
        "me", [Result(one, "done", workflow_id="w") for one in (first, second)], NOW
    )
    assert [event(store, id_).status for id_ in ("e1", "e2")] == ["delivered", "delivered"]


def test_a_claim_that_ran_out_is_taken_over_before_the_next_message(store: Store) -> None:
    decide(store, arrive(store, "e1"), message())
    decide(store, arrive(store, "e2"), message())
    [lost] = store.claims.claim("dead", NOW, 0, 9)
    [taken] = store.claims.claim("me", NOW + 10, NOW + 1, 9)
    assert (taken.event_id, taken.attempts) == ("e1", 2)
    store.claims.record_results("dead", [Result(lost, "done")], NOW)
    assert store.claims.claim("me", NOW + 10, 0, 9) == []


def test_a_long_lane_is_one_target_to_the_claims(store: Store) -> None:
    messages = [
        Decision(arrive(store, f"e{number}"), "pending", "no", (message(),))
        for number in range(300)
    ]
    deciding.decide(store, ME, messages, NOW, 0)
    decide(store, arrive(store, "other", webhook="x"), start())
    assert {one.event_id for one in store.claims.claim("me", NOW, 0, 2)} == {"e0", "other"}


@pytest.mark.parametrize(
    ("ends", "status"),
    [("done", "delivered"), ("skipped", "ignored"), ("cancelled", "expired"), ("failed", "failed")],
)
def test_an_event_of_a_message_ends_as_its_message_does(
    store: Store, ends: TargetState, status: EventStatus
) -> None:
    decide(store, arrive(store), message())
    [target] = store.claims.claim("me", NOW, 0, 9)
    store.claims.record_results("me", [Result(target, ends, "why")], NOW)
    assert event(store, "e1").status == status


def test_nothing_gets_stuck_while_messages_arrive_and_end_at_the_same_time(
    backend: Backend, store: Store
) -> None:
    """The leader adds messages while two workers end the ones before."""
    number, keys = 120, ("a", "b", "c")
    for place in range(number):
        arrive(store, f"e{place:03}")
    done: list[tuple[str, str]] = []
    over = threading.Event()

    def lead() -> None:
        own = backend.open()
        for place in range(number):
            decision = Decision(f"e{place:03}", "pending", "no", tuple(map(message, keys)))
            deciding.decide(own, ME, [decision], NOW, 0)

    def work(name: str) -> None:
        own = backend.open()
        while not over.is_set():
            claimed = own.claims.claim(name, NOW, 0, 2)
            done.extend((one.correlation_id or "", one.event_id) for one in claimed)
            own.claims.record_results(
                name, [Result(one, "done", workflow_id="w") for one in claimed], NOW
            )
            if (
                not claimed
                and leading.done()
                and own.claims.next_due() is None
                and len(done) >= number * len(keys)
            ):
                over.set()

    with ThreadPoolExecutor(3) as pool:
        leading = pool.submit(lead)
        workers = [pool.submit(work, name) for name in ("one", "two")]
        try:
            wait([leading, *workers], 120, FIRST_EXCEPTION)
        finally:
            over.set()
        for one in (leading, *workers):
            one.result(120)
    for key in keys:
        assert [event_id for of, event_id in done if of == key] == [
            f"e{place:03}" for place in range(number)
        ]
