"""What a workflow left unread when it ended is delivered again: first in its lane, in order, and
its events say so."""

from __future__ import annotations

from store.records import Result, TargetState, place_of
from store.rules.keys import lane_of
from store.sql.keys import Conversation
from store.sql.store import Store
from tests.support.makers import NOW, arrive, decide, end, event, message, start, states

LANE = lane_of("agent", "k")
TALK = Conversation("w1", "agent", LANE, 1)


def delivered(store: Store, *ids: str) -> None:
    """Messages that went to the same workflow, one after the other."""
    for id_ in ids:
        decide(store, arrive(store, id_), message())
        [target] = store.claims.claim("me", NOW, 0, 9)
        store.claims.record_results("me", [Result(target, "done", workflow_id="w1")], NOW)


def test_a_workflow_is_known_from_its_first_message_until_it_is_settled(store: Store) -> None:
    assert store.conversations.open() == []
    delivered(store, "e1", "e2")
    assert store.conversations.open() == [TALK]
    assert store.conversations.of("w1") == TALK
    assert [one.event_id for one in store.conversations.given(TALK)] == ["e1", "e2"]
    store.conversations.close(TALK, store.conversations.given(TALK), [], "", NOW)
    assert (store.conversations.open(), store.conversations.of("w1")) == ([], None)
    assert event(store, "e2").status == "delivered"


def test_what_was_left_unread_comes_before_what_was_queued_since(store: Store) -> None:
    delivered(store, "e1", "e2", "e3")
    decide(store, arrive(store, "e4"), message())
    [claimed] = store.claims.claim("me", NOW, 0, 9)
    decide(store, arrive(store, "e5"), message())
    given = store.conversations.given(TALK)
    for _ in range(2):
        store.conversations.close(TALK, given, given[1:], "w1 ended", NOW)
    assert [event(store, f"e{number}").status for number in (1, 2, 3)] == [
        "delivered",
        "pending",
        "pending",
    ]
    assert event(store, "e2").settled_at is None
    assert not store.lanes.is_first(claimed)
    store.claims.record_results("me", [Result(claimed, "queued")], NOW)
    for id_ in ("e2", "e3", "e4", "e5"):
        [target] = store.claims.claim("me", NOW, 0, 9)
        assert target.event_id == id_
        assert store.lanes.is_first(target)
        store.claims.record_results("me", [Result(target, "done", workflow_id="w2")], NOW)
        assert event(store, id_).status == "delivered"
    assert [one.workflow_id for one in store.conversations.open()] == ["w2"]


def test_it_stays_open_for_a_message_that_was_recorded_while_the_workflow_was_looked_up(
    store: Store,
) -> None:
    delivered(store, "e1")
    given = store.conversations.given(TALK)
    delivered(store, "e2")
    store.conversations.close(TALK, given, given, "w1 ended", NOW)
    assert store.conversations.open() == [TALK]
    assert [one.event_id for one in store.conversations.given(TALK)] == ["e2"]


def test_what_a_restarted_workflow_was_given_before_is_settled(store: Store) -> None:
    delivered(store, "e1", "e2")
    store.conversations.close(TALK, store.conversations.given(TALK), [], "", NOW)
    delivered(store, "e3")
    [again] = store.conversations.open()
    assert [one.event_id for one in store.conversations.given(again)] == ["e3"]


def test_one_that_waits_for_another_try_goes_behind_it(store: Store) -> None:
    delivered(store, "e1")
    decide(store, arrive(store, "e2"), message())
    [target] = store.claims.claim("me", NOW, 0, 9)
    store.claims.record_results("me", [Result(target, "pending", "paused", due_at=NOW)], NOW)
    given = store.conversations.given(TALK)
    store.conversations.close(TALK, given, given, "w1 ended", NOW)
    assert [states(store, id_) for id_ in ("e1", "e2")] == [["pending"], ["queued"]]


def test_one_that_is_queued_again_as_the_last_before_it_ends_is_due_at_once(store: Store) -> None:
    delivered(store, "e1")
    decide(store, arrive(store, "e2"), message())
    [second] = store.claims.claim("me", NOW, 0, 9)
    given = store.conversations.given(TALK)
    store.conversations.close(TALK, given, given, "w1 ended", NOW)
    [first] = store.claims.claim("me", NOW, 0, 9)
    store.claims.record_results("me", [Result(first, "done", workflow_id="w2")], NOW)
    store.claims.record_results("me", [Result(second, "queued")], NOW)
    assert [one.event_id for one in store.claims.claim("me", NOW, 0, 9)] == ["e2"]


def test_an_event_whose_message_comes_to_nothing_then_is_no_longer_delivered(store: Store) -> None:
    delivered(store, "e1")
    decide(store, arrive(store, "e2"), message(otherwise="ignore"), start())
    for target in store.claims.claim("me", NOW, 0, 9):
        store.claims.record_results("me", [Result(target, "done", workflow_id="w1")], NOW)
    given = store.conversations.given(TALK)
    store.conversations.close(TALK, given, given, "w1 ended", NOW)
    for _ in range(2):
        [target] = store.claims.claim("me", NOW, 0, 9)
        assert target.error == "w1 ended"
        store.claims.record_results(
            "me", [Result(target, "skipped", "w1 ended before it read it")], NOW
        )
    assert (event(store, "e1").status, event(store, "e2").status) == ("ignored", "delivered")
    assert [one.id for one in store.decisions.agenda(9).undecided] == []


def test_an_event_that_a_replay_resolved_before_its_message_fails_is_unresolved(
    store: Store,
) -> None:
    decide(store, arrive(store, "e1"), message(), start())
    for target in store.claims.claim("me", NOW, 0, 9):
        state: TargetState = "failed" if target.kind == "start" else "done"
        store.claims.record_results("me", [Result(target, state, workflow_id="w1")], NOW)
    only = next(place_of(one) for one in store.queries.targets_of(["e1"]) if one.kind == "start")
    decide(store, arrive(store, "r1", replay_of="e1", origin="e1", only=only), start())
    end(store, "r1", "done")
    assert event(store, "e1").resolved_by == "r1"
    given = store.conversations.given(TALK)
    store.conversations.close(TALK, given, given, "w1 ended", NOW)
    end(store, "e1", "failed")
    assert (event(store, "e1").status, event(store, "e1").resolved_by) == ("failed", None)
    assert store.queries.unresolved() == 1
