"""What failed alone is set aside with its reason, is found when it is due, and goes with what it is
about."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from store.records import Decision, Result, SetAside
from store.sql.event_search import EventFilter
from store.sql.store import Store
from tests.support import deciding
from tests.support.backends import Backend
from tests.support.deciding import adopt
from tests.support.makers import ME, NOW, arrive, completion, decide, end, event, ids, start, task


def aside(id_: str = "t1", **more: Any) -> SetAside:
    return replace(SetAside("task", id_, "w", "500 from Conductor", NOW, 1, NOW + 1000), **more)


def test_an_item_is_set_aside_until_it_is_taken_back(store: Store, other: Store) -> None:
    store.quarantine.set_aside([aside("t1"), aside("t2", webhook=None), aside("t1", kind="event")])
    store.quarantine.set_aside([])
    assert other.quarantine.items() == [
        aside("t1", kind="event"),
        aside("t1"),
        aside("t2", webhook=None),
    ]
    assert other.quarantine.counts() == {"event": 1, "task": 2}
    other.quarantine.take_back("task", ["t1", "t7"])
    other.quarantine.take_back("task", [])
    assert store.quarantine.items() == [aside("t1", kind="event"), aside("t2", webhook=None)]
    assert store.quarantine.counts() == {"event": 1, "task": 1}


def test_a_further_failure_changes_all_but_since_when_it_is_so(store: Store) -> None:
    store.quarantine.set_aside([aside(since=NOW)])
    store.quarantine.set_aside(
        [aside(since=NOW + 5, reason="403", tries=2, due_at=NOW + 9000, webhook="v")]
    )
    assert store.quarantine.items() == [
        aside(since=NOW, reason="403", tries=2, due_at=NOW + 9000, webhook="v")
    ]
    store.quarantine.set_aside([aside(since=NOW - 5)])
    assert store.quarantine.items() == [aside(since=NOW - 5)]


def test_of_one_item_twice_in_a_batch_the_last_counts(store: Store) -> None:
    store.quarantine.set_aside([aside(reason="first"), aside(reason="last")])
    assert store.quarantine.items() == [aside(reason="last")]


def test_items_are_found_by_kind_time_and_id_the_longest_due_first(store: Store) -> None:
    tasks = [aside(f"t{number}", due_at=NOW + number) for number in range(5)]
    events = [aside(f"e{number}", kind="event", due_at=NOW + number) for number in range(5)]
    store.quarantine.set_aside([*reversed(tasks), *events])
    assert store.quarantine.items("task") == tasks
    assert store.quarantine.items("task", limit=2) == tasks[:2]
    assert store.quarantine.items("task", due_before=NOW + 2) == tasks[:2]
    assert store.quarantine.items(due_before=NOW + 2) == [events[0], tasks[0], events[1], tasks[1]]
    assert store.quarantine.items(due_before=NOW) == []
    assert store.quarantine.items(ids=["t3", "e1", "x"]) == [events[1], tasks[3]]
    assert store.quarantine.items("task", ids=["t3", "e1", "t1"]) == [tasks[1], tasks[3]]
    assert store.quarantine.items("task", NOW + 3, ["t3", "t1"]) == [tasks[1]]
    assert store.quarantine.items(ids=[]) == []
    assert (
        store.quarantine.items(ids=[f"t{number}" for number in range(2000)], limit=3) == tasks[:3]
    )


def test_what_is_set_aside_goes_with_its_event_or_task(store: Store) -> None:
    for number in range(3):
        adopt(store, ME, [task(number)], NOW)
        decide(store, arrive(store, f"e{number}"), completion(number))
    targets = store.claims.claim("me", NOW, 0, 9)
    store.claims.record_results("me", [Result(target, "done") for target in targets[:2]], NOW)
    items = [
        aside(id_, kind=kind, due_at=NOW + 10**6)  # type: ignore[arg-type]
        for number in range(3)
        for kind, id_ in (
            ("event", f"e{number}"),
            ("target", str(targets[number].id)),
            ("task", f"t{number}"),
            ("workflow", f"w{number}"),
        )
    ]
    store.quarantine.set_aside(
        [*items, aside("hooks.yaml", kind="definition", webhook=None, due_at=NOW + 10**6)]
    )
    assert store.maintenance.prune(NOW + 1, 9).events == 2
    assert ids(store.quarantine.items()) == ["hooks.yaml", "e2", str(targets[2].id), "t2", "w2"]


def test_what_nobody_has_tried_for_as_long_as_events_are_kept_goes(store: Store) -> None:
    store.quarantine.set_aside([aside(f"t{number}", due_at=NOW + number) for number in range(6)])
    store.maintenance.prune(NOW + 4, 3)
    assert ids(store.quarantine.items()) == ["t3", "t4", "t5"], "in small steps"
    store.maintenance.prune(NOW + 4, 3)
    assert ids(store.quarantine.items()) == ["t4", "t5"]


def test_workers_that_set_the_same_items_aside_and_take_them_back_never_block_one_another(
    backend: Backend, store: Store
) -> None:
    names = [f"t{number}" for number in range(50)]

    def work(turn: int) -> None:
        own = backend.open()
        ordered = names if turn % 2 else names[::-1]
        for _ in range(10):
            own.quarantine.set_aside([aside(name) for name in ordered])
            own.quarantine.take_back("task", ordered[:40])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    store.quarantine.take_back("task", names)
    assert store.quarantine.items() == []


# --- events ---


def event_aside(*ids_: str) -> list[SetAside]:
    return [aside(id_, kind="event") for id_ in ids_]


def test_an_event_that_is_set_aside_is_left_out_of_the_agenda_until_it_is_taken_back(
    store: Store,
) -> None:
    for id_ in ("e1", "e2", "e3"):
        arrive(store, id_)
    store.quarantine.set_aside(event_aside("e2"))
    store.quarantine.set_aside(event_aside("e2"))
    assert ids(store.decisions.agenda(9).undecided) == ["e1", "e3"]
    assert ids(store.decisions.agenda(9, ["v"]).undecided) == ["e1", "e3"]
    found = event(store, "e2")
    assert (found.status, found.decided_at, found.hold) == ("pending", None, "no")
    assert ids(store.queries.events(EventFilter(status="pending"))) == ["e3", "e2", "e1"]
    assert ids(store.queries.events(EventFilter(status="pending", webhook="w"))) == [
        "e3",
        "e2",
        "e1",
    ]
    assert store.queries.event_counts() == {"pending": 3}
    store.quarantine.take_back("event", ["e2", "unknown"])
    assert ids(store.decisions.agenda(9).undecided) == ["e1", "e2", "e3"]


def test_a_held_or_freed_event_that_is_set_aside_is_free_for_the_decider_to_look_at_afterwards(
    store: Store,
) -> None:
    for id_ in ("e1", "e2"):
        arrive(store, id_)
    adopt(store, ME, [task(2)], NOW)
    decide(store, "e1", hold="held")
    decide(store, "e2", completion(2))
    end(store, "e2", "cancelled")
    store.quarantine.set_aside(event_aside("e1", "e2"))
    assert (store.decisions.held(0, 9), store.decisions.agenda(9).freed) == ([], [])
    assert {event(store, id_).hold for id_ in ("e1", "e2")} == {"aside"}
    store.quarantine.take_back("event", ["e1", "e2"])
    assert (ids(store.decisions.held(0, 9)), ids(store.decisions.agenda(9).freed)) == (
        [],
        ["e1", "e2"],
    )


def test_an_event_that_is_set_aside_may_be_decided_and_stays_so(store: Store) -> None:
    for id_ in ("e1", "e2"):
        arrive(store, id_)
    store.quarantine.set_aside(event_aside("e1", "e2"))
    decide(store, "e1", start(), hold="held")
    deciding.decide(store, ME, [Decision("e2", "ignored", "no")], NOW + 5, 0)
    store.quarantine.set_aside(event_aside("e2"))
    store.quarantine.take_back("event", ["e1", "e2"])
    assert [(one.decided_at, one.hold) for one in (event(store, "e1"), event(store, "e2"))] == [
        (NOW, "held"),
        (NOW + 5, "no"),
    ]
    assert event(store, "e2").status == "ignored"
    assert store.decisions.agenda(9).undecided == []


def test_an_event_that_is_set_aside_is_not_forgotten_however_long_nobody_tries_it(
    store: Store,
) -> None:
    arrive(store)
    store.quarantine.set_aside([*event_aside("e1"), aside("t1")])
    store.maintenance.prune(NOW + 10**9, 100)
    assert ids(store.quarantine.items()) == ["e1"]


def test_a_target_that_has_ended_is_set_aside_no_longer_whoever_ended_it(store: Store) -> None:
    """Another worker may have set it aside a moment before, and nobody have known."""
    adopt(store, ME, [task(1), task(2)], NOW)
    arrive(store)
    decide(store, "e1", completion(1), completion(2))
    over, live = store.queries.targets_of(["e1"])
    [claimed] = store.claims.claim("me", NOW, 0, 1)
    assert claimed.id == over.id
    store.claims.record_results("me", [Result(claimed, "done")], NOW)
    store.quarantine.set_aside([aside(str(one.id), kind="target") for one in (over, live)])
    store.maintenance.prune(0, 100)
    assert ids(store.quarantine.items()) == [str(live.id)]
