"""Events that came by a callback's URL: whose they are, when they are over, and which are
forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.one_target import callback_to, from_text, to_text
from store.records import Decision, Result
from store.sql.store import Store
from tests.support import deciding
from tests.support.makers import ME, NOW, arrive, completion, decide, event, new_event

PLACE = callback_to("w1", "approve__2")


def test_an_event_keeps_the_task_that_it_is_for(store: Store) -> None:
    arrive(store, only=PLACE, delivery_id="callback w1/approve__2")
    assert event(store, "e1").only == PLACE
    assert event(store, "e1").is_callback
    assert [one.only for one in store.decisions.agenda(10).undecided] == [PLACE]
    again = store.deliveries.append(
        [new_event("e2", only=PLACE, delivery_id="callback w1/approve__2")]
    )
    assert (again[0].duplicate, again[0].event_id) == (True, "e1")


def test_a_held_one_is_read_with_its_task(store: Store) -> None:
    decide(store, arrive(store, only=PLACE), hold="held")
    assert [one.only for one in store.decisions.held(0, 10)] == [PLACE]


@pytest.mark.parametrize(
    ("final", "after"), [(True, ("expired", "no")), (False, ("pending", "recheck"))]
)
def test_once_its_task_has_ended_without_it_it_is_over(
    store: Store, final: bool, after: tuple[str, str]
) -> None:
    arrive(store, only=PLACE)
    [target] = decide(store, "e1", replace(completion(), task_id=None), claim=1)
    assert target.task_id is None
    store.claims.record_results(
        "me", [Result(target, "cancelled", "it has ended", final=final)], NOW
    )
    assert (event(store, "e1").status, event(store, "e1").hold) == after
    [kept] = store.queries.targets_of(["e1"])
    assert (kept.task_id, kept.error) == (None, "it has ended")


def test_one_that_was_made_up_is_among_the_first_that_retention_deletes(store: Store) -> None:
    for id_ in ("e1", "e2", "e3"):
        arrive(store, id_, only=PLACE)
    decisions = [Decision("e1", "ignored", "no"), Decision("e2", "ignored", "no", forgotten=True)]
    deciding.decide(store, ME, decisions, NOW, 0)
    assert event(store, "e2").status == "ignored"
    assert store.maintenance.prune(NOW - 10**9, 10).events == 1
    assert store.queries.event("e2") is None
    assert store.queries.event("e1") is not None


def test_its_place_is_kept_as_text() -> None:
    assert from_text(str(to_text(PLACE))) == PLACE
    assert str(PLACE) == "task approve__2 of workflow w1"
