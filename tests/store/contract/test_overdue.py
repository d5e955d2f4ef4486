"""What was to be done and wasn't shows, and nothing else does."""

from __future__ import annotations

from store.records import Result, SetAside
from store.sql.store import Store
from tests.support.makers import NOW, arrive, decide, start

LATE = NOW + 60_000


def test_nothing_is_overdue_before_its_time_or_when_it_is_done(store: Store) -> None:
    assert store.queries.overdue(LATE) == set()
    arrive(store, "e1")
    assert store.queries.overdue(NOW) == set()
    [undecided] = store.queries.overdue(LATE)
    decide(store, "e1", start())
    assert store.queries.overdue(NOW) == set()
    [due] = store.queries.overdue(LATE)
    [target] = store.claims.claim("me", NOW, 0, 1)
    [claimed] = store.queries.overdue(LATE)
    store.claims.record_results("me", [Result(target, "pending", "500", due_at=NOW + 5)], NOW)
    [again] = store.queries.overdue(LATE)
    assert len({undecided, due, again}) == 3, "each try makes it another"
    assert claimed == again, "the try is over when another is made"
    [target] = store.claims.claim("me", NOW + 5, 0, 1)
    store.claims.record_results("me", [Result(target, "done", workflow_id="w")], NOW + 5)
    assert store.queries.overdue(LATE) == set()


def test_held_events_and_targets_that_wait_for_their_next_try_are_not_overdue(store: Store) -> None:
    decide(store, arrive(store, "e1"), hold="held")
    decide(store, arrive(store, "e2"), start())
    [target] = store.claims.claim("me", NOW, 0, 1)
    store.claims.record_results("me", [Result(target, "pending", "500", due_at=LATE + 1)], NOW)
    assert store.queries.overdue(LATE) == set()


def test_only_the_first_of_each_webhook_shows(store: Store) -> None:
    for number in range(3):
        for webhook in "ab":
            arrive(store, f"{webhook}{number}", webhook=webhook)
            decide(store, arrive(store, f"{webhook}-{number}", webhook=webhook), start())
    seen = store.queries.overdue(LATE)
    assert len(seen) == 4
    decide(store, "a1")
    assert store.queries.overdue(LATE) == seen, "not the first"
    decide(store, "b0")
    assert len(seen - store.queries.overdue(LATE)) == 1


def test_what_people_or_the_bridge_have_put_off_is_left_out(store: Store) -> None:
    for webhook in ("paused", "left out", "set aside", "paced"):
        arrive(store, webhook, webhook=webhook)
    decide(store, "paced", start())
    store.pauses.pause("paused", NOW)
    store.quarantine.set_aside([SetAside("event", "set aside", "set aside", "why", NOW, 1, NOW)])
    assert store.queries.overdue(LATE, ["left out"], ["paced"]) == set()
    assert len(store.queries.overdue(LATE, [], ["paced"])) == 1
    assert len(store.queries.overdue(LATE, ["left out"])) == 1
    later = arrive(store, "later", webhook="set aside")
    [seen] = store.queries.overdue(LATE, ["left out"], ["paced"])
    decide(store, later)
    assert store.queries.overdue(LATE, ["left out"], ["paced"]) == set(), (
        "one that is set aside hides no other"
    )
    assert seen
    [target] = store.queries.targets_of(["paced"])
    store.quarantine.set_aside([SetAside("target", str(target.id), "paced", "why", NOW, 1, NOW)])
    assert store.queries.overdue(LATE, ["left out"]) == set()
