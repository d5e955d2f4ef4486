"""Events in: durably, each delivery whole or not at all, and each delivery id once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from store.errors import StoreUnavailable
from store.records import NewEvent, new_event_id
from store.sql.store import Store


def event(
    delivery_id: str | None = None, payload: str = '{"a": 1}', webhook: str = "w"
) -> NewEvent:
    return NewEvent(
        new_event_id(), webhook, 1000, payload, {"host": "h"}, {"q": "1"}, 2000, delivery_id
    )


def stored(store: Store) -> list[str]:
    return [one.id for one in store.decisions.agenda(1000).undecided]


def test_what_was_appended_is_read_as_it_was(store: Store) -> None:
    new = event("d1", '{"ü": [1, 2.5, null]}')
    [committed] = store.deliveries.append([new])

    assert (committed.event_id, committed.duplicate) == (new.id, False)
    found = store.queries.event(new.id)
    assert found is not None
    assert (found.webhook, found.payload, found.headers, found.query) == (
        "w",
        new.payload,
        new.headers,
        new.query,
    )
    assert (found.received_at, found.hold_until, found.delivery_id) == (1000, 2000, "d1")
    assert (found.status, found.decided_at, found.hold) == ("pending", None, "no")


def test_a_delivery_id_counts_once_in_its_webhook_and_names_the_first_event(store: Store) -> None:
    first, again, elsewhere = event("d"), event("d"), event("d", webhook="other")
    store.deliveries.append([first])

    [repeated] = store.deliveries.append([again])
    [different] = store.deliveries.append([elsewhere])

    assert (repeated.event_id, repeated.duplicate) == (first.id, True)
    assert not different.duplicate
    assert stored(store) == [first.id, elsewhere.id]


def test_a_delivery_id_tells_when_its_event_arrived_and_what_a_repetition_is_answered(
    store: Store,
) -> None:
    store.deliveries.append([event("d1")])
    repeated = store.deliveries.append([event("d1")])
    assert store.deliveries.known("w", ["d1", "d2"]) == {"d1": (1000, *repeated)}
    assert store.deliveries.known("other", ["d1"]) == {}


def test_two_elements_of_one_delivery_with_one_id_are_one_event(store: Store) -> None:
    one, two, three = event("d1"), event("d2"), event("d1")
    committed = store.deliveries.append([one, two, three])
    assert [(each.event_id, each.duplicate) for each in committed] == [
        (one.id, False),
        (two.id, False),
        (one.id, True),
    ]


def test_events_without_a_delivery_id_are_never_duplicates(store: Store) -> None:
    assert not any(committed.duplicate for committed in store.deliveries.append([event(), event()]))


def test_a_delivery_of_very_many_elements_is_committed_whole(store: Store) -> None:
    events = [event(f"d{number}") for number in range(1500)] + [event("d7")]
    committed = store.deliveries.append(events)
    assert committed[-1] == type(committed[-1])(events[7].id, True)
    assert store.queries.event_counts() == {"pending": 1500}


def test_verified_stands_for_one_fingerprint_and_from_its_first_time(store: Store) -> None:
    assert store.verifications.verified_at("w", "f1") is None
    store.verifications.set_verified("w", "f1", 1)
    store.verifications.set_verified("w", "f1", 2)
    assert store.verifications.verified_at("w", "f1") == 1
    store.verifications.set_verified("w", "f2", 3)
    assert store.verifications.verified_at("w", "f1") is None
    assert store.verifications.all() == {"w": ("f2", 3)}


def test_the_salt_is_made_once(store: Store, other: Store) -> None:
    salt = store.verifications.salt()
    assert other.verifications.salt() == salt
    assert len(salt) >= 16


def test_deliveries_of_many_threads_and_processes_are_stored_once(
    store: Store, other: Store
) -> None:
    def deliver(number: int) -> bool:
        return (
            (store, other)[number % 2].deliveries.append([event(f"d{number % 150}")])[0].duplicate
        )

    with ThreadPoolExecutor(16) as pool:
        duplicates = list(pool.map(deliver, range(200)))
    assert sum(duplicates) == 50
    assert len(stored(store)) == 150


def test_a_delivery_that_the_database_refuses_takes_no_other_with_it(store: Store) -> None:
    # No database has such a number.
    deliveries = [
        event("good"),
        replace(event("bad"), received_at=2**70),
        event("too"),
    ]

    def append(one: NewEvent) -> bool:
        try:
            return len(store.deliveries.append([one])) == 1
        except StoreUnavailable:
            return False

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(append, deliveries)) == [True, False, True]
    assert set(stored(store)) == {deliveries[0].id, deliveries[2].id}
