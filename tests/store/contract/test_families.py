"""Which failed events still need somebody: not those that a replay has resolved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store import one_target
from store.one_target import OneTarget
from store.records import Decision, EventStatus, Result, TargetState, place_of
from store.sql.decisions import Plan
from store.sql.event_search import EventFilter
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
    new_event,
    start,
    task,
)


def failed(store: Store, id_: str, *states: TargetState, origin: str | None = None) -> str:
    """An event, or a replay, whose starts ended so; one that failed by default."""
    replay(store, id_, origin) if origin else arrive(store, id_)
    decide(store, id_, *map(start, range(1, len(states or "1") + 1)))
    end(store, id_, *(states or ("failed",)))
    return id_


def replay(store: Store, id_: str, origin: str, only: OneTarget | None = None) -> str:
    return arrive(store, id_, replay_of=origin, origin=origin, only=only)


def delivered(store: Store, id_: str, origin: str, only: OneTarget | None = None) -> str:
    decide(store, replay(store, id_, origin, only), start())
    end(store, id_, "done")
    return id_


def unresolved(store: Store, **more: str) -> list[str]:
    """The newest first, as they are listed; they are counted, too."""
    found = ids(store.queries.events(EventFilter(unresolved=True, **more)))  # type: ignore[arg-type]
    if not more:
        assert store.queries.unresolved() == len(found)
    return found


def test_a_failed_event_is_unresolved_until_a_replay_is_delivered(store: Store) -> None:
    failed(store, "other", "failed")
    failed(store, "e1", "done", "failed")
    failed(store, "e1 again", origin="e1")
    assert unresolved(store) == ["e1 again", "e1", "other"]
    assert unresolved(store, webhook="w") == ["e1 again", "e1", "other"]
    assert unresolved(store, webhook="v") == []
    delivered(store, "third", "e1")
    assert unresolved(store) == ["other"]
    assert {id_: event(store, id_).resolved_by for id_ in ("e1", "e1 again", "third", "other")} == {
        "e1": "third",
        "e1 again": "third",
        "third": None,
        "other": None,
    }
    assert store.queries.event_counts() == {"failed": 3, "delivered": 1}, "the status stays"


def test_a_replay_that_fails_after_another_was_delivered_is_resolved_at_once(store: Store) -> None:
    failed(store, "e1")
    replay(store, "late", "e1")
    delivered(store, "third", "e1")
    decide(store, "late", start())
    end(store, "late", "failed")
    assert unresolved(store) == []
    assert event(store, "late").resolved_by == "third"


def test_an_event_that_fails_after_its_replay_was_delivered_is_resolved_at_once(
    store: Store,
) -> None:
    decide(store, arrive(store, "e1"), start())
    [target] = store.claims.claim("me", NOW, 0, 9)
    delivered(store, "second", "e1")
    store.claims.record_results("me", [Result(target, "failed", "why")], NOW)
    assert (event(store, "e1").status, event(store, "e1").resolved_by) == ("failed", "second")
    assert unresolved(store) == []


def test_an_event_whose_hold_ends_after_its_replay_was_delivered_is_resolved_at_once(
    store: Store,
) -> None:
    for name in ("e1", "e2"):
        decide(store, arrive(store, name), hold="held")
    delivered(store, "second", "e1")
    store.decisions.decide(ME, Plan(expired=["e1", "e2", "unknown"]), NOW, 0)
    assert [
        (event(store, name).status, event(store, name).resolved_by) for name in ("e1", "e2")
    ] == [
        ("expired", "second"),
        ("expired", None),
    ]


def test_a_replay_whose_one_target_cannot_be_read_holds_up_none_of_its_family(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(store, "e1")
    with monkeypatch.context() as patch:
        patch.setattr(
            one_target, "to_text", lambda only: '{"kind": "dance"}' if only is not None else None
        )
        replay(store, "broken", "e1", OneTarget("start", "flow", entry=1))
    deciding.decide(store, ME, [Decision("broken", "ignored", "no", origin="e1")], NOW, 0)
    delivered(store, "second", "e1")
    assert event(store, "e1").resolved_by == "second"


@pytest.mark.parametrize("status", ["expired", "ignored"])
def test_what_was_never_taken_is_resolved_too(store: Store, status: EventStatus) -> None:
    deciding.decide(store, ME, [Decision(arrive(store, "e1"), status, "no")], NOW, 0)
    delivered(store, "second", "e1")
    assert event(store, "e1").resolved_by == "second"
    last = Decision(replay(store, "last", "e1"), status, "no", origin="e1")
    deciding.decide(store, ME, [last], NOW, 0)
    assert event(store, "last").resolved_by == "second"


def test_a_replay_whose_hold_ends_with_nothing_left_to_do_resolves_its_event(store: Store) -> None:
    failed(store, "e1")
    decide(store, replay(store, "second", "e1"), start(), hold="held")
    end(store, "second", "done")
    assert unresolved(store) == ["e1"]
    store.decisions.decide(ME, Plan(expired=["second"]), NOW, 0)
    assert unresolved(store) == []


def test_a_replay_of_a_pruned_event_resolves_its_siblings(store: Store) -> None:
    failed(store, "second", origin="pruned")
    delivered(store, "third", "pruned")
    assert event(store, "second").resolved_by == "third"


def test_replays_to_one_target_resolve_an_event_once_nothing_else_of_it_failed(
    store: Store,
) -> None:
    adopt(store, ME, [task(1)], NOW)
    decide(store, arrive(store, "e1"), completion(1), start(1), start(2))
    end(store, "e1", "unknown", "done", "failed")
    wait, first, second = map(place_of, store.queries.targets_of(["e1"]))
    assert (first, second) == (
        OneTarget("start", "flow", entry=1),
        OneTarget("start", "flow", entry=2),
    )
    delivered(store, "r1", "e1", only=second)
    delivered(store, "r2", "e1", only=first)
    failed(store, "r3", origin="e1")
    assert unresolved(store) == ["e1"], "what failed of r3 was delivered by r2"
    delivered(store, "r4", "e1", only=wait)
    assert event(store, "e1").resolved_by == "r4"
    assert unresolved(store) == []


def test_what_is_replayed_to_one_target_needs_only_that_one(store: Store) -> None:
    one, other = OneTarget("start", "flow", entry=2), OneTarget("start", "flow", entry=1)
    failed(store, "e1", "failed", "failed")
    for number, only in enumerate((one, other)):
        ignored = Decision(
            replay(store, f"ignored{number}", "e1", only), "ignored", "no", origin="e1"
        )
        deciding.decide(store, ME, [ignored], NOW, 0)
    delivered(store, "r1", "e1", only=one)
    assert [event(store, f"ignored{number}").resolved_by for number in range(2)] == ["r1", None]
    assert event(store, "e1").resolved_by is None


def test_the_place_of_a_target_outlives_its_iteration(store: Store) -> None:
    looping = task(1, reference_name="wait__3")
    place = OneTarget("complete", "flow", "w1", "wait")
    assert place.is_for(looping)
    assert place.is_for(replace(looping, iteration=3))
    assert not place.is_for(replace(looping, iteration=0)), "a number of the user's own"
    assert not place.is_for(task(1, reference_name="wait_3"))
    assert not place.is_for(task(2, reference_name="wait"))
    assert not place.is_for(task(1, workflow="other"))


def test_a_repeated_delivery_tells_how_its_event_came_to_nothing_until_a_replay_resolves_it(
    store: Store,
) -> None:
    def came_to() -> str | None:
        [again] = store.deliveries.append([new_event("again", delivery_id="d")])
        assert (again.event_id, again.duplicate) == ("e1", True)
        return again.came_to

    decide(store, arrive(store, delivery_id="d"), start())
    assert came_to() is None
    end(store, "e1", "failed")
    assert came_to() == "failed"
    delivered(store, "e2", "e1")
    assert came_to() is None
