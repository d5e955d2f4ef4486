"""What the deciding worker reads and writes: all of a decision or nothing, and only by who has
leadership."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from store.errors import LeadershipLost, StoreUnavailable, Unstorable
from store.records import Decision, NewTarget, Term, Workflow
from store.sql.decisions import Plan
from store.sql.store import Store
from tests.support import deciding
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
    return_tasks,
    start,
    states,
    task,
)

WRITES: dict[str, Callable[[Store], object]] = {
    "adopt": lambda store: adopt(store, Term("another"), [task(2)], NOW),
    "drop": lambda store: store.tasks.drop(Term("another"), ["t1"], NOW),
    "wait_again": lambda store: store.tasks.wait_again(Term("another"), ["t1"]),
    "decide": lambda store: deciding.decide(
        store, Term("another"), [Decision("e1", "expired", "no")], NOW, 0
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_only_the_leader_writes_what_is_decided(store: Store, name: str) -> None:
    arrive(store)
    adopt(store, ME, [task()], NOW)
    with pytest.raises(LeadershipLost):
        WRITES[name](store)
    assert event(store, "e1").decided_at is None
    assert ids(store.queries.waiting_tasks()) == ["t1"]


# --- reading ---


def test_undecided_events_are_read_in_the_order_of_arrival(store: Store) -> None:
    for id_ in ("c", "a", "d", "b"):
        arrive(store, id_)
    assert ids(store.decisions.agenda(3).undecided) == ["c", "a", "d"]
    assert ids(store.decisions.agenda(3).undecided) == ["c", "a", "d"], (
        "what is left undecided is read again"
    )
    decide(store, "c")
    assert ids(store.decisions.agenda(9).undecided) == ["a", "d", "b"]


def test_undecided_events_of_some_webhooks_are_left_out(store: Store) -> None:
    for number, webhook in enumerate(["c", "a", "b", "a", "c", "b", "a"]):
        arrive(store, f"{number}{webhook}", webhook=webhook)
    assert ids(store.decisions.agenda(9, ["b"]).undecided) == ["0c", "1a", "3a", "4c", "6a"]
    assert ids(store.decisions.agenda(3, ["b", "unknown"]).undecided) == ["0c", "1a", "3a"]
    assert ids(store.decisions.agenda(9, {"a", "b"}).undecided) == ["0c", "4c"]
    assert store.decisions.agenda(9, {"a", "b", "c"}).undecided == []
    deciding.decide(store, ME, [Decision("0c", "expired", "no")], NOW, 0)
    assert ids(store.decisions.agenda(9, ["a", "b"]).undecided) == ["4c"]


# --- tasks ---


def test_a_task_is_adopted_once_and_comes_back_as_it_was(store: Store) -> None:
    new = task(response_timeout=30, domain="billing", broken="why", matches={"$.ä": [1, None, "x"]})
    assert adopt(store, ME, [new, task(2)], NOW) == [new, task(2)]
    assert adopt(store, ME, [new, replace(new, found_by="index")], NOW) == []
    assert store.queries.task("t1") == new
    assert store.queries.task("t3") is None


@pytest.mark.parametrize("state", ["completed", "gone"])
def test_a_settled_task_waits_again_whoever_shows_it_unless_the_answer_may_be_older(
    store: Store, state: str
) -> None:
    """Conductor has run it again, or it was wrongly believed to be gone."""
    adopt(store, ME, [task()], NOW - 9)
    if state == "gone":
        store.tasks.drop(ME, ["t1"], NOW)
    else:
        decide(store, arrive(store), completion())
        end(store, "e1", "done")
    assert adopt(store, ME, [task(found_by="index", seen_at=NOW)], NOW + 5) == []
    assert store.queries.task("t1").state == state  # type: ignore[union-attr]
    assert len(adopt(store, ME, [task(found_by="index", seen_at=NOW + 1)], NOW + 5)) == 1
    assert [(one.id, one.seen_at) for one in store.queries.waiting_tasks()] == [("t1", NOW + 1)]
    store.tasks.drop(ME, ["t1"], NOW + 6)
    assert len(adopt(store, ME, [task()], NOW)) == 1, "a queue hands out what waits again only"


def test_a_person_forgets_tasks_that_wait_and_the_last_that_settled_by_a_time_are_known(
    store: Store,
) -> None:
    adopt(store, ME, [task(number) for number in range(5)], NOW)
    decide(store, arrive(store), completion(0))
    assert store.tasks.not_waiting(["t1", "t2", "unknown"]) == []
    assert sorted(store.tasks.forget(["t0", "t1", "t2", "unknown"], NOW + 1)) == ["t1", "t2"]
    assert sorted(store.tasks.not_waiting(["t0", "t1", "t2", "t3"])) == ["t1", "t2"]
    store.tasks.drop(ME, ["t3"], NOW + 2)
    assert (store.tasks.settled_by(NOW + 2, 1), store.tasks.settled_by(NOW, 9)) == (["t3"], [])
    assert sorted(store.tasks.settled_by(NOW + 1, 9)) == ["t1", "t2"]


def test_a_task_that_an_event_has_is_neither_adopted_nor_dropped(store: Store) -> None:
    adopt(store, ME, [task()], NOW)
    decide(store, arrive(store), completion())
    assert adopt(store, ME, [task(), task(found_by="index")], NOW) == []
    store.tasks.drop(ME, ["t1"], NOW)
    assert store.queries.task("t1").state == "taken"  # type: ignore[union-attr]


def test_tasks_that_have_returned_wait_for_the_decider_to_look(store: Store) -> None:
    return_tasks(store, task())
    assert ids(store.decisions.agenda(9).returned) == ["t1"]
    assert store.queries.waiting_tasks() == []
    store.tasks.wait_again(ME, ["t1"])
    assert store.decisions.agenda(9).returned == []
    assert ids(store.queries.waiting_tasks()) == ["t1"]


def test_a_task_that_is_found_after_it_has_returned_waits_at_once(store: Store) -> None:
    """Else an event that is decided between the two would miss it: the agenda was read before."""
    return_tasks(store, task())
    found = task(found_by="index")
    assert ids(adopt(store, ME, [found], NOW)) == ["t1"]
    assert store.decisions.agenda(9).returned == []
    assert ids(store.queries.waiting_tasks()) == ["t1"]
    assert adopt(store, ME, [found], NOW) == []


def test_looked_up_workflows_are_remembered(store: Store) -> None:
    found = Workflow("w1", 2, "root", NOW, "event")
    assert store.workflows.find("w1") is None
    store.workflows.remember([found, Workflow("w2", 1, "w2", NOW, None)])
    store.workflows.remember([found])
    assert store.workflows.find("w1") == found
    store.workflows.forget(["w1", "w3"])
    assert store.workflows.find("w1") is None
    assert store.workflows.find("w2") is not None


# --- deciding ---


def test_a_decision_is_written_down(store: Store) -> None:
    adopt(store, ME, [task()], NOW)
    decide(store, arrive(store), completion(), start(), hold="no")
    found = event(store, "e1")
    assert (found.status, found.hold, found.decided_at, found.settled_at) == (
        "pending",
        "no",
        NOW,
        None,
    )
    made = store.queries.targets_of(["e1"])
    assert [(one.kind, one.task_id, one.correlation_id) for one in made] == [
        ("complete", "t1", None),
        ("start", None, "start#1"),
    ]
    assert {
        (one.state, one.attempts, one.claimed_by, one.due_at, one.created_at) for one in made
    } == {("pending", 0, None, NOW, NOW)}
    assert store.queries.task("t1").state == "taken"  # type: ignore[union-attr]
    assert store.queries.waiting_tasks() == []
    deciding.decide(store, ME, [Decision("e1", "pending", "held")], NOW + 5, 0)
    assert event(store, "e1").decided_at == NOW, "the time of the first decision stays"


def test_a_task_is_given_to_one_event_at_a_time(store: Store) -> None:
    adopt(store, ME, [task()], NOW)
    decide(store, arrive(store, "e1"), completion())
    arrive(store, "e2")
    with pytest.raises(Unstorable, match=r"(?i)unique"):
        decide(store, "e2", start(), completion())
    assert not issubclass(Unstorable, StoreUnavailable), "it says nothing about the store"
    assert states(store, "e2") == [], "all of a decision or nothing"
    assert event(store, "e2").decided_at is None


def test_the_decider_claims_the_first_targets_as_it_decides(store: Store) -> None:
    claimed = decide(store, arrive(store), *map(start, range(3)), claim=2)
    assert [
        (one.correlation_id, one.state, one.attempts, one.claimed_by, one.claimed_at)
        for one in claimed
    ] == [
        ("start#0", "claimed", 1, "me", NOW),
        ("start#1", "claimed", 1, "me", NOW),
    ]
    assert states(store, "e1") == ["claimed", "claimed", "pending"]


def test_a_hold_that_ran_out_leaves_what_the_targets_make_of_the_event(store: Store) -> None:
    for number in range(3):
        arrive(store, f"e{number}")
    decide(store, "e0", hold="held")
    decide(store, "e1", start(1), hold="held")
    end(store, "e1", "done")
    decide(store, "e2", start(2), hold="held")
    store.decisions.decide(ME, Plan(expired=["e0", "e1", "e2"]), NOW + 5, 0)
    found = [event(store, f"e{number}") for number in range(3)]
    assert [one.status for one in found] == ["expired", "delivered", "pending"]
    assert [one.hold for one in found] == ["no", "no", "no"]
    assert [one.settled_at for one in found] == [NOW + 5, NOW + 5, None]
    assert store.decisions.held(0, 9) == []
    end(store, "e2", "done")
    assert event(store, "e2").status == "delivered"


def test_names_and_ids_of_any_characters_are_written_and_left_out_as_they_are(store: Store) -> None:
    odd = 'it\'s \\ 100%s {a,"b"} $1; -- é'
    arrive(store, "e1", webhook=odd)
    arrive(store, "e2", webhook="w")
    assert ids(store.decisions.agenda(9, [odd]).undecided) == ["e2"]
    made = NewTarget("start", odd, correlation_id=odd)
    other = NewTarget("complete", "NULL", workflow_id="null", task_id=odd, reference_name="")
    store.leadership.resign(ME)
    term = store.leadership.elect(odd, 60)
    assert term is not None
    deciding.decide(store, term, [Decision("e1", "pending", "no", (made, other))], NOW, 9)
    found = [
        (t.workflow, t.workflow_id, t.task_id, t.reference_name, t.claimed_by)
        for t in store.queries.targets_of(["e1"])
    ]
    assert found == [(odd, None, None, None, odd), ("NULL", "null", odd, "", odd)]
