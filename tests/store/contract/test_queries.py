"""What people look at."""

from __future__ import annotations

from collections import Counter

import pytest

from store.delivery_records import WithoutEvent
from store.records import Change, Decision, EventStatus, SetAside
from store.sql import stretches
from store.sql.event_search import EventFilter
from store.sql.store import Store
from store.story import Note
from tests.support import deciding
from tests.support.deciding import adopt
from tests.support.makers import ME, NOW, arrive, completion, decide, end, ids, start, task

STATUSES: tuple[EventStatus, ...] = ("pending", "delivered", "expired", "ignored", "failed")


@pytest.fixture
def full(store: Store) -> Store:
    """An event of each webhook in each status, and a held one: `status-webhook`, the ones of `b`
    last."""
    for webhook in ("a", "b"):
        for status in STATUSES:
            arrive(store, f"{status}-{webhook}", webhook=webhook, received_at=NOW + 5)
        decide(store, f"delivered-{webhook}", start(1))
        end(store, f"delivered-{webhook}", "done")
        decide(store, f"failed-{webhook}", start(2))
        end(store, f"failed-{webhook}", "failed")
        others = [
            Decision(f"{status}-{webhook}", status, "no") for status in ("expired", "ignored")
        ]  # type: ignore[arg-type]
        held = Decision(arrive(store, f"held-{webhook}", webhook=webhook), "pending", "held")
        deciding.decide(store, ME, [*others, held], NOW, 0)
    return store


def listed(store: Store, **filter_: object) -> list[str]:
    return ids(store.queries.events(EventFilter(**filter_)))  # type: ignore[arg-type]


def test_events_are_listed_newest_first_and_page_by_page(full: Store) -> None:
    everything = [f"{name}-{webhook}" for webhook in "ba" for name in ("held", *reversed(STATUSES))]
    assert listed(full) == everything
    page = full.queries.events(EventFilter(limit=5))
    assert ids(page) == everything[:5]
    assert listed(full, before_seq=page[-1].seq) == everything[5:]


def test_arrivals_are_the_numbers_after_one(full: Store) -> None:
    seqs = [event.seq for event in reversed(full.queries.events(EventFilter()))]
    assert full.queries.arrivals(seqs[-3]) == seqs[-2:]
    assert full.queries.arrivals(seqs[-1]) == []


def test_events_are_listed_by_webhook_and_status(full: Store) -> None:
    assert listed(full, webhook="a") == [f"{name}-a" for name in ("held", *reversed(STATUSES))]
    assert listed(full, webhook="a", limit=2) == ["held-a", "failed-a"]
    assert listed(full, webhook="unknown") == []
    for status in STATUSES:
        held = ["held-{}"] if status == "pending" else []
        names = [*held, f"{status}-{{}}"]
        assert listed(full, status=status) == [
            name.format(webhook) for webhook in "ba" for name in names
        ]
        assert listed(full, status=status, webhook="b") == [name.format("b") for name in names]
        seq = full.queries.events(EventFilter(status=status, webhook="b"))[-1].seq
        assert listed(full, status=status, before_seq=seq) == [name.format("a") for name in names]
        assert listed(full, webhook="a", status=status, before_seq=seq, limit=1) == [
            names[0].format("a")
        ]


def test_events_are_counted_by_status(full: Store) -> None:
    assert full.queries.event_counts() == {
        "pending": 4,
        "delivered": 2,
        "expired": 2,
        "ignored": 2,
        "failed": 2,
    }


def test_the_oldest_pending_event_is_undecided_or_has_a_call_to_be_made(store: Store) -> None:
    assert store.queries.oldest_pending() is None
    arrive(store, "held", received_at=NOW - 3)
    decide(store, "held", hold="held")
    assert store.queries.oldest_pending() is None
    arrive(store, "undecided", received_at=NOW)
    assert store.queries.oldest_pending() == NOW
    arrive(store, "called", received_at=NOW - 1)
    decide(store, "called", start(), claim=1)
    assert store.queries.oldest_pending() == NOW - 1
    arrive(store, "to call", received_at=NOW - 2)
    decide(store, "to call", start())
    assert store.queries.oldest_pending() == NOW - 2
    [target] = store.queries.targets_of(["to call"])
    store.quarantine.set_aside([SetAside("target", str(target.id), "w", "why", NOW, 1, NOW)])
    assert store.queries.oldest_pending() == NOW - 1, "what is set aside is told by itself"
    arrive(store, "fails", received_at=NOW - 9)
    store.quarantine.set_aside([SetAside("event", "fails", "w", "why", NOW, 1, NOW)])
    assert store.queries.oldest_pending() == NOW - 1
    arrive(store, "held back", webhook="paused", received_at=NOW - 9)
    store.pauses.pause("paused", NOW)
    assert store.queries.oldest_pending() == NOW - 1
    store.pauses.resume("paused")
    assert store.queries.oldest_pending() == NOW - 9


def test_what_failed_within_a_time_is_found_unless_somebody_has_acknowledged_it(
    full: Store,
) -> None:
    failed = {event.webhook: event for event in full.queries.events(EventFilter(status="failed"))}
    (at,) = {event.settled_at for event in failed.values()}
    assert at is not None
    found = [(event.id, webhook) for webhook, event in sorted(failed.items())]
    assert sorted(full.queries.failed_since(at - 1, 9), key=lambda one: one[1]) == found
    assert len(full.queries.failed_since(at - 1, 1)) == 1
    assert full.queries.failed_since(at, 9) == []
    full.acknowledgements.record([failed["a"].id], Note(NOW, "ada", "acknowledged", "known"))
    assert sorted(full.queries.failed_since(at - 1, 9), key=lambda one: one[1]) == found[1:]


def test_waiting_tasks_are_listed_and_counted(store: Store) -> None:
    tasks = [task(1), task(2, workflow="other", broken="why"), task(3)]
    adopt(store, ME, [*tasks, task(4), task(5)], NOW)
    store.tasks.drop(ME, ["t4"], NOW)
    decide(store, arrive(store), completion(5))
    assert store.queries.waiting_tasks() == tasks
    assert store.queries.waiting_tasks(limit=2) == tasks[:2]
    assert store.queries.waiting_tasks(after="t1") == tasks[1:]
    assert store.queries.waiting_tasks(workflow="flow") == [tasks[0], tasks[2]]
    assert store.queries.waiting_count() == 3
    assert store.queries.waiting_by_workflow() == {"flow": 2, "other": 1}
    assert store.queries.broken_tasks() == [tasks[1]]
    assert store.queries.broken_tasks(without=["other"]) == []
    assert ids(store.queries.targets_on("t5")) == ids(store.queries.targets_of(["e1"]))
    assert store.queries.targets_on("t1") == []


def test_targets_are_read_of_many_events_at_once(store: Store) -> None:
    decide(store, arrive(store, "e1"), start(1))
    decide(store, arrive(store, "e2"), start(2), start(3))
    assert [one.correlation_id for one in store.queries.targets_of(["e2", "e1"])] == [
        "start#1",
        "start#2",
        "start#3",
    ]
    assert store.queries.targets_of([]) == []
    assert len(store.queries.targets_of([f"e{number}" for number in range(1100)])) == 3


def test_rejections_and_counts_are_read_newest_first(store: Store) -> None:
    many = [
        WithoutEvent("w", number, 401, f"reason {number}", "10.0.0.1", "GET")
        for number in range(130)
    ]
    store.without_events.record([WithoutEvent("other", 0, 400, "old")], {("other", "rejected"): 1})
    store.without_events.record(many, {("w", "rejected"): 130})
    store.without_events.record([], {("w", "rejected"): 2, ("w", "accepted"): 5})
    kept = store.without_events.rejections("w", limit=1000)
    assert kept == list(reversed(many))[: len(kept)]
    assert len(kept) == 100, "a bounded number of each webhook"
    assert store.without_events.rejections("other") == [WithoutEvent("other", 0, 400, "old")]
    assert store.without_events.rejections(limit=1) == [many[-1]]
    assert store.queries.delivery_counts(0) == {
        "w": {"rejected": 132, "accepted": 5},
        "other": {"rejected": 1},
    }
    assert store.queries.delivery_counts(store.now() + 2 * 3_600_000) == {}


def test_what_was_filtered_is_kept_apart_from_rejections(store: Store) -> None:
    store.without_events.record([WithoutEvent("w", 1, 401, "refused")], {("w", "rejected"): 1})
    store.without_events.record(
        [WithoutEvent("w", n, 200, f"reason {n}", kind="filtered") for n in range(130)],
        {("w", "filtered"): 130},
    )
    store.without_events.record(
        [WithoutEvent("v", 2, 204, "other", kind="filtered")], {("v", "filtered"): 1}
    )
    assert (
        store.without_events.rejections("w")
        == store.without_events.rejections()
        == [WithoutEvent("w", 1, 401, "refused")]
    )
    filtered = store.without_events.rejections("w", 1000, filtered=True)
    assert [one.reason for one in filtered] == [f"reason {n}" for n in reversed(range(30, 130))]
    assert store.without_events.rejections(limit=1, filtered=True) == [
        WithoutEvent("v", 2, 204, "other", kind="filtered")
    ]


def test_ids_are_found_by_their_beginning(store: Store) -> None:
    begin = "01935c2e-6f3a-7000-8000-00000000000"
    names = [arrive(store, begin + last) for last in "3a1f"] + [
        arrive(store, "01935c2f" + begin[8:] + "0")
    ]
    assert store.queries.event_ids(begin + "0", begin + "f", 10) == sorted(names[:4])
    assert store.queries.event_ids(begin + "0", begin + "f", 2) == sorted(names[:4])[:2]
    assert store.queries.event_ids(begin + "4", begin + "9", 10) == []


def test_what_belongs_to_a_workflow_a_delivery_or_a_lane_is_found(store: Store) -> None:
    adopt(store, ME, [task(1), task(2)], NOW)
    decide(store, arrive(store, "e1", delivery_id="d1"), completion(1), start(2))
    arrive(store, "e2", delivery_id="d2")
    workflow = task(1).workflow_id
    for first in ("t1", workflow):
        assert ids(store.queries.tasks_with(first, first, 5)) == ["t1"]
    (target,) = store.queries.targets_with(workflow, workflow, 5)
    assert (target.event_id, target.task_id) == ("e1", "t1")
    assert store.queries.event_ids_of_delivery("d1", "d1", 5) == ["e1"]
    # Of each webhook the first.
    assert sorted(store.queries.event_ids_of_delivery("d1", "d2", 5)) == ["e1"]
    assert store.queries.targets_in_lanes(["no such lane"], 5) == []


def test_changes_are_kept_newest_first(store: Store) -> None:
    for number, webhook in enumerate(["one", "other", "one"]):
        store.changes.record(Change(number, "admin", "edited", webhook, f"change {number}"))
    assert [change.at for change in store.changes.newest()] == [2, 1, 0]
    assert store.changes.newest("one", 1) == [Change(2, "admin", "edited", "one", "change 2")]


def test_deliveries_are_counted_by_hour(store: Store) -> None:
    store.without_events.record(
        [], {("one", "accepted"): 3, ("other", "accepted"): 2, ("one", "rejected"): 1}
    )
    hours = store.queries.delivery_hours(store.now() - 7_200_000)
    assert sorted((outcome, number) for _hour, outcome, number in hours) == [
        ("accepted", 5),
        ("rejected", 1),
    ]
    assert all(hour % 3_600_000 == 0 for hour, _outcome, _number in hours)
    assert [number for _hour, _outcome, number in store.queries.delivery_hours(0, "other")] == [2]


def test_the_kept_definitions_are_those_of_the_last_good_files(store: Store, other: Store) -> None:
    assert store.kept_definitions.all() == {}
    store.kept_definitions.keep({"a.yaml": "1", "b.yaml": "2"})
    assert other.kept_definitions.all() == {"a.yaml": "1", "b.yaml": "2"}
    other.kept_definitions.keep({"b.yaml": "3", "c.yaml": "é"})
    assert store.kept_definitions.all() == {"b.yaml": "3", "c.yaml": "é"}
    store.kept_definitions.keep(store.kept_definitions.all())
    store.kept_definitions.keep({})
    assert other.kept_definitions.all() == {}


def test_a_list_is_read_without_what_is_large(store: Store) -> None:
    arrive(store, "e1", payload='{"a": "needle"}', headers={"x": "y"})
    for query in (EventFilter(listing=True), EventFilter(text="needle", listing=True)):
        (listed_event,) = store.queries.events(query)
        assert (listed_event.id, listed_event.payload, listed_event.headers) == ("e1", "{}", {})


def test_a_list_says_what_kind_of_event_each_is_and_what_it_tells(store: Store) -> None:
    parts = {"$.repository": "acme/shop", "$.\u00e4": "caf\u00e9 \ud800"}
    arrive(store, "e1", type="pu\ud800sh", summary_parts=parts)
    arrive(store, "e2", summary_parts={})
    arrive(store, "before")
    for listing in (True, False):
        before, nothing, told = store.queries.events(EventFilter(listing=listing))
        assert (before.type, before.summary_parts) == (None, None), (
            "of events from before nothing is known"
        )
        assert (nothing.type, nothing.summary_parts) == (None, {})
        assert (told.type, list((told.summary_parts or {}).items())) == (
            "pu\ufffdsh",
            list(parts.items()),
        )
    assert store.queries.listed(["e1"])["e1"].summary_parts == parts


def test_the_newest_replays_of_an_event_are_found_however_many_there_are(store: Store) -> None:
    for id_, origin in (
        ("a", None),
        ("b", None),
        ("a1", "a"),
        ("pruned1", "pruned"),
        ("a2", "a"),
        ("a11", "a"),
    ):
        arrive(store, id_, replay_of=origin, origin=origin)
    decide(store, "a1", start())
    end(store, "a1", "done")
    found = store.queries.replays(["a", "b", "pruned"], 20)
    assert {origin: ids(replays) for origin, replays in found.items()} == {
        "a": ["a1", "a2", "a11"],
        "pruned": ["pruned1"],
    }
    assert ids(store.queries.replays(["a"], 1)["a"]) == ["a1", "a11"], "the newest of each status"
    assert found["a"][0].payload == "{}"
    assert store.queries.replays([], 20) == {}


def test_events_are_listed_by_their_ids(store: Store) -> None:
    arrive(store, "a")
    arrive(store, "b", payload='{"b": 1}')
    assert {
        id_: event.payload for id_, event in store.queries.listed(["b", "unknown"]).items()
    } == {"b": "{}"}
    assert store.queries.listed([]) == {}


def test_events_that_had_an_effect_are_told_from_those_that_had_none(store: Store) -> None:
    for id_ in ("both", "half", "failed", "undecided"):
        arrive(store, id_)
    for id_, first, second in (
        ("both", "done", "done"),
        ("half", "failed", "done"),
        ("failed", "failed", "failed"),
    ):
        decide(store, id_, start(1), start(2))
        end(store, id_, first, second)  # type: ignore[arg-type]
    assert store.queries.with_effect(["both", "half", "failed", "undecided", "unknown"]) == {
        "both",
        "half",
    }
    assert store.queries.with_effect([]) == set()


def test_lists_read_no_more_than_some_targets_of_an_event_with_very_many(store: Store) -> None:
    for id_ in ("many", "few", "none"):
        arrive(store, id_)
    decide(store, "few", *(start(number) for number in range(3)))
    decide(store, "many", *(start(number) for number in range(6)), claim=4)
    found = store.queries.some_targets_of(["few", "many", "none", "unknown"], 3)
    assert found == sorted(found, key=lambda target: target.id)
    assert Counter((target.event_id, target.state) for target in found) == {
        ("few", "pending"): 3,
        ("many", "claimed"): 3,
        ("many", "pending"): 2,
    }
    assert store.queries.some_targets_of(["many"], 6) == store.queries.targets_of(["many"])
    assert store.queries.some_targets_of([], 3) == []


def test_an_events_targets_are_read_page_by_page_and_counted(store: Store) -> None:
    for id_ in ("other", "many"):
        arrive(store, id_)
        decide(store, id_, *(start(number) for number in range(6)), claim=4)
    all_of_it = store.queries.targets_of(["many"])
    assert [store.queries.targets_in_order("many", 4, skipped) for skipped in (0, 4, 6)] == [
        all_of_it[:4],
        all_of_it[4:],
        [],
    ]
    assert store.queries.target_states("many") == {"claimed": 4, "pending": 2}
    assert store.queries.target_states("unknown") == {}


def test_what_became_of_events_is_counted_by_the_time_of_their_arrival(store: Store) -> None:
    for back, state in ((300, "failed"), (200, "done"), (100, None)):
        for webhook in ("a", "b"):
            event = arrive(store, f"{webhook}-{back}", webhook=webhook, received_at=NOW - back)
            if state is not None:
                decide(store, event, start(back))
                end(store, event, state)  # type: ignore[arg-type]
    times = [NOW - 300, NOW - 200, NOW - 100]
    for webhook, number in ((None, 2), ("a", 1)):
        failed, delivered, pending = store.queries.by_time(times, webhook)
        assert +Counter(failed.numbers) == {"failed": number}
        assert +Counter(delivered.numbers) == {"delivered": number}
        assert delivered.took == [200] * number
        assert +Counter(pending.numbers) == {"pending": number}
    assert not +Counter(store.queries.by_time([NOW])[0].numbers)
    assert not +Counter(store.queries.by_time([NOW - 300], "unknown")[0].numbers)


def test_more_events_than_are_counted_are_estimated(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        event = arrive(store, f"e-{number:02}", received_at=NOW + number)
        if number % 2:
            deciding.decide(store, ME, [Decision(event, "expired", "no")], NOW, 0)
    for bound in ("COUNTED", "PENDING"):
        monkeypatch.setattr(stretches, bound, 5)
    for webhook in (None, "w"):
        found = [one.numbers for one in store.queries.by_time([NOW, NOW + 20], webhook)]
        counts = [one[status] for one in found for status in ("pending", "expired")]
        assert all(abs(number - 10) <= 1 for number in counts), counts


def test_a_burst_of_failures_is_not_taken_for_all_that_came_with_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretches, "COUNTED", 5)
    for number in range(20):
        event = arrive(store, f"e-{number:02}", received_at=NOW + number)
        decide(store, event, start(number))
        end(store, event, "failed" if number > 11 else "done")
    [found] = store.queries.by_time([NOW])
    assert +Counter(found.numbers) == {"delivered": 12, "failed": 8}
    assert len(store.queries.unresolved_since(NOW + 15)) == 5
