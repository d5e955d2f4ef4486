"""Answers for senders that wait: opened with their event, found by the worker, recorded once, read
by every relay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.answers import NO_WORKFLOW, Answer
from store.delivery_records import AnswerWanted
from store.records import Decision, Result, TargetState
from store.sql.store import Store
from tests.support import deciding
from tests.support.deciding import adopt
from tests.support.makers import ME, NOW, arrive, completion, decide, end, new_event, start, task

LATER = NOW + 20_000
WANTED = AnswerWanted("$.reply", LATER)


def waits(store: Store, id_: str = "e1", wait_until: int = LATER, **more: object) -> str:
    return arrive(store, id_, answer=AnswerWanted("$.reply", wait_until), **more)


def open_ids(store: Store, now: int = NOW) -> list[str]:
    return [one.event_id for one in store.answers.open(now)]


def test_an_answer_is_opened_with_the_event_that_wants_one(store: Store, other: Store) -> None:
    arrive(store, "at-once")
    waits(store)
    [found] = other.answers.open(NOW)
    assert (found.event_id, found.webhook, found.output, found.wait_until) == (
        "e1",
        "w",
        "$.reply",
        LATER,
    )
    assert other.answers.waited("at-once") is None
    waited = other.answers.waited("e1")
    assert waited is not None
    assert (waited.wanted, waited.answer) == (WANTED, None)


def test_a_duplicate_opens_no_answer_of_its_own(store: Store) -> None:
    waits(store, "e1", delivery_id="d")
    [again] = store.deliveries.append([new_event("e2", delivery_id="d", answer=WANTED)])
    assert (again.event_id, again.duplicate) == ("e1", True)
    assert open_ids(store) == ["e1"]


def test_open_answers_are_read_in_the_order_of_their_times_and_in_pages(store: Store) -> None:
    for number, wait_until in enumerate((3, 1, 1, 2, -1)):
        waits(store, f"e{number}", NOW + wait_until)
    for step in (1, 2, 3, 4, 1000):
        assert [one.event_id for one in store.answers.open(NOW, step)] == ["e1", "e2", "e3", "e0"]
    assert open_ids(store, NOW + 3) == ["e0"], "nobody waits for the others any more"


def test_whoever_comes_back_opens_the_answer_again(store: Store, other: Store) -> None:
    waits(store, wait_until=NOW - 1)
    assert open_ids(store) == []
    other.answers.want({"e1": AnswerWanted("$.other", LATER)})
    other.answers.want({"e1": AnswerWanted("$.older", LATER - 1)})
    [found] = store.answers.open(NOW)
    assert (found.output, found.wait_until) == ("$.other", LATER)


def test_an_event_from_before_somebody_waited_may_have_an_answer_too(store: Store) -> None:
    arrive(store)
    store.answers.want({"e1": WANTED, "unknown": WANTED})
    assert open_ids(store) == ["e1"]


def test_the_first_answer_counts_and_only_where_one_is_wanted(store: Store, other: Store) -> None:
    waits(store)
    arrive(store, "e2")
    store.answers.record(
        [Answer("e1", "COMPLETED", "w1", '"hi"'), Answer("e2", "FAILED"), Answer("e3", "FAILED")]
    )
    other.answers.record([Answer("e1", "FAILED", "w1"), Answer("e1", "TERMINATED", "w1")])
    found = other.answers.of_events(["e1", "e2", "e3"])
    assert {id_: replace(answer, answered_at=0) for id_, answer in found.items()} == {
        "e1": Answer("e1", "COMPLETED", "w1", '"hi"')
    }
    assert found["e1"].answered_at > 0
    store.answers.want({"e1": AnswerWanted("$.other", LATER + 9)})
    assert open_ids(store) == []
    waited = store.answers.waited("e1")
    assert waited is not None
    assert (waited.wanted, waited.answer) == (WANTED, found["e1"])


def test_relays_read_which_of_their_events_were_answered(store: Store, other: Store) -> None:
    for number in range(4):
        waits(store, f"e{number}")
    store.answers.record([Answer(f"e{number}", "COMPLETED", "w", '"four"') for number in range(3)])
    assert sorted(other.answers.of_events(["e0", "e2", "e3", "unknown"])) == ["e0", "e2"]
    assert len(other.answers.of_events(["e0", "e1", "e2"], most=2)) == 2
    assert other.answers.of_events([]) == {}


def test_any_text_can_be_an_answer(store: Store) -> None:
    odd = AnswerWanted("$['\0']", LATER)
    arrive(store, answer=odd)
    store.answers.want({"e1": replace(odd, wait_until=LATER + 1)})
    answer = Answer("e1", "odd \0 \ud800", "w \0", '"\\u0000 \\ud800 ü"')
    store.answers.record([answer])
    assert store.answers.of_events(["e1"])["e1"].body == answer.body


def test_answers_are_pruned_with_their_events(store: Store) -> None:
    for id_ in ("e1", "e2"):
        decide(store, waits(store, id_), start())
    end(store, "e1", "done")
    store.answers.record([Answer("e1", "FAILED"), Answer("e2", "FAILED")])
    arrive(store, "newest")
    store.maintenance.prune(NOW + 1, 9)
    assert list(store.answers.of_events(["e1", "e2"])) == ["e2"]


# --- which workflow


def answers_with(store: Store, *event_ids: str) -> dict[str, str]:
    found = store.answers.workflows(event_ids)
    return {id_: one if isinstance(one, str) else one.workflow_id for id_, one in found.items()}


def record(store: Store, *results: tuple[TargetState, str | None]) -> None:
    """The due targets, in their order, come to these ends, with these workflows."""
    claimed = store.claims.claim("me", NOW + 10**6, 0, 99)
    made = [Result(t, state, "why", id_) for t, (state, id_) in zip(claimed, results, strict=True)]
    store.claims.record_results("me", made, NOW)


def test_an_event_is_answered_with_the_first_workflow_that_it_started(store: Store) -> None:
    adopt(store, ME, [task()], NOW)
    waits(store)
    assert answers_with(store, "e1") == {}, "undecided"
    decide(store, "e1", completion(), start(1), start(2))
    assert answers_with(store, "e1") == {}, "not made yet"
    record(store, ("done", None), ("pending", None), ("done", "second"))
    assert answers_with(store, "e1") == {}, "the first may still be made"
    record(store, ("done", "first"))
    assert answers_with(store, "e1", "unknown") == {"e1": "first"}


@pytest.mark.parametrize("status", ["ignored", "expired", "failed"])
def test_an_event_that_ended_without_a_workflow_has_none(store: Store, status: str) -> None:
    waits(store)
    if status == "failed":
        decide(store, "e1", start())
        end(store, "e1", "failed")
    else:
        deciding.decide(store, ME, [Decision("e1", status, "no")], NOW, 0)  # type: ignore[arg-type]
    assert answers_with(store, "e1") == {"e1": NO_WORKFLOW[status]}  # type: ignore[index]


def test_once_a_replay_was_delivered_the_answer_is_open_again_and_is_the_replays(
    store: Store,
) -> None:
    decide(store, waits(store, "e1"), start())
    end(store, "e1", "failed")
    store.answers.record([Answer("e1", "start_failed")])
    arrive(store, "e2", replay_of="e1", origin="e1")
    decide(store, "e2", start())
    assert answers_with(store, "e1") == {"e1": "start_failed"}
    record(store, ("done", "of the replay"))
    assert answers_with(store, "e1") == {"e1": "of the replay"}
    waited = store.answers.waited("e1")
    assert waited is not None
    assert waited.answer is None
    store.answers.record([Answer("e1", "COMPLETED", "of the replay", '"hi"')])
    assert store.answers.of_events(["e1"])["e1"].body == '"hi"'
