"""Events in: committed in groups, durably, each delivery whole or not at all."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from events.records import NewEvent, Rejection, new_event_id
from events.sqlite import SqliteStore, open_store
from events.sqlite.deliveries import REJECTIONS_KEPT
from events.store import StoreUnavailable


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = open_store(f"sqlite:///{tmp_path / 'bridge.db'}")
    yield store
    store._connections.close()


def event(delivery_id: str | None = None, payload: str = '{"a": 1}', webhook: str = "w") -> NewEvent:
    return NewEvent(new_event_id(), webhook, 1000, payload, {"host": "h"}, {"q": "1"}, 2000, delivery_id)


def stored(store: SqliteStore) -> list[str]:
    return [one.id for one in store.undecided(1000)]


def test_what_was_appended_is_read_as_it_was(store: SqliteStore) -> None:
    new = event("d1", '{"ü": [1, 2.5, null]}')
    [committed] = store.append([new])

    assert (committed.event_id, committed.duplicate) == (new.id, False)
    found = store.event(new.id)
    assert found is not None
    assert (found.webhook, found.payload, found.headers, found.query) == ("w", new.payload, new.headers, new.query)
    assert (found.received_at, found.hold_until, found.delivery_id) == (1000, 2000, "d1")
    assert (found.status, found.decided_at, found.hold) == ("pending", None, "no")


def test_a_delivery_id_counts_once_in_its_webhook_and_names_the_first_event(store: SqliteStore) -> None:
    first, again, elsewhere = event("d"), event("d"), event("d", webhook="other")
    store.append([first])

    [repeated] = store.append([again])
    [other] = store.append([elsewhere])

    assert (repeated.event_id, repeated.duplicate) == (first.id, True)
    assert not other.duplicate
    assert stored(store) == [first.id, elsewhere.id]


def test_two_elements_of_one_delivery_with_one_id_are_one_event(store: SqliteStore) -> None:
    one, two, three = event("d1"), event("d2"), event("d1")
    committed = store.append([one, two, three])
    assert [(each.event_id, each.duplicate) for each in committed] == [(one.id, False), (two.id, False), (one.id, True)]


def test_events_without_a_delivery_id_are_never_duplicates(store: SqliteStore) -> None:
    assert not any(committed.duplicate for committed in store.append([event(), event()]))


def test_a_delivery_of_very_many_elements_is_committed_whole(store: SqliteStore) -> None:
    events = [event(f"d{number}") for number in range(1500)] + [event("d7")]
    committed = store.append(events)
    assert committed[-1] == type(committed[-1])(events[7].id, True)
    assert store.event_counts() == {"pending": 1500}


def test_deliveries_of_many_threads_are_all_stored_and_share_commits(store: SqliteStore) -> None:
    commits = 0
    commit = store._commit

    def counted(group: list[object]) -> None:
        nonlocal commits
        commits += 1
        time.sleep(0.002)  # a slow disk: the others come meanwhile
        commit(group)  # type: ignore[arg-type]

    store._commit = counted  # type: ignore[method-assign, assignment]

    with ThreadPoolExecutor(16) as pool:
        duplicates = list(pool.map(lambda number: store.append([event(f"d{number % 150}")])[0].duplicate, range(200)))

    assert sum(duplicates) == 50
    assert len(stored(store)) == 150
    assert commits < 150


def test_deliveries_that_were_handed_in_share_the_commit_of_the_first_that_asks(store: SqliteStore) -> None:
    first, second, again = store.submit([event("a")]), store.submit([event("b")]), store.submit([event("a")])
    assert stored(store) == []
    [one] = second.committed()
    assert len(stored(store)) == 2
    commits = store._connections.read("PRAGMA data_version")
    assert not one.duplicate
    assert [first.committed()[0].duplicate, again.committed()[0].duplicate] == [False, True]
    assert store._connections.read("PRAGMA data_version") == commits


def test_a_group_that_fails_fails_for_all_of_it_and_the_next_one_is_not_touched(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(group: list[object]) -> None:
        raise StoreUnavailable("database or disk is full")

    both = store.submit([event("a")]), store.submit([event("b")])
    with monkeypatch.context() as patch:
        patch.setattr(store, "_commit", fails)
        for one in both:
            with pytest.raises(StoreUnavailable):
                one.committed()
    assert not store.append([event("a")])[0].duplicate
    assert len(stored(store)) == 1


def test_a_delivery_that_the_database_refuses_takes_no_other_with_it(store: SqliteStore) -> None:
    good, bad = event("good"), event("bad", payload="\ud800")  # a lone surrogate is no UTF-8
    gathered = threading.Barrier(2)
    begin = store._take

    def take(group: list[object]) -> list[object]:
        # Both are in the group: the second one waits in the queue before the first is taken.
        while len(store._waiting) < 2 and not group:
            time.sleep(0.001)
        return begin(group)  # type: ignore[arg-type, return-value]

    store._take = take  # type: ignore[method-assign, assignment]

    def append(one: NewEvent) -> object:
        gathered.wait(30)
        try:
            return store.append([one])
        except StoreUnavailable as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(append, (good, bad)))

    assert isinstance(outcomes[1], StoreUnavailable)
    assert not isinstance(outcomes[0], StoreUnavailable)
    assert stored(store) == [good.id]


def test_a_commit_wakes_who_listens_and_a_duplicate_does_not(store: SqliteStore) -> None:
    descriptor = store._wake.listen()
    assert descriptor is not None
    try:
        store.append([event("d")])
        assert select.select([descriptor], [], [], 5)[0]
        os.read(descriptor, 100)
        store.append([event("d")])
        assert not select.select([descriptor], [], [], 0)[0]
    finally:
        os.close(descriptor)


def test_a_listener_that_died_is_no_reason_to_fail(store: SqliteStore) -> None:
    descriptor = store._wake.listen()
    assert descriptor is not None
    store.append([event()])
    os.close(descriptor)
    for _ in range(3):
        store.append([event()])
    again = store._wake.listen()
    assert again is not None
    store.append([event()])
    assert select.select([again], [], [], 5)[0]
    os.close(again)


def test_verified_stands_for_one_fingerprint_and_from_its_first_time(store: SqliteStore) -> None:
    assert store.verified_at("w", "f1") is None
    store.set_verified("w", "f1", 1)
    store.set_verified("w", "f1", 2)
    assert store.verified_at("w", "f1") == 1
    store.set_verified("w", "f2", 3)
    assert store.verified_at("w", "f1") is None
    assert store.verifications() == {"w": ("f2", 3)}


def test_the_salt_is_made_once(store: SqliteStore, tmp_path: Path) -> None:
    salt = store.fingerprint_salt()
    other = open_store(f"sqlite:///{tmp_path / 'bridge.db'}")
    assert other.fingerprint_salt() == salt
    assert len(salt) >= 16
    assert "fingerprint_salt" not in store.facts()
    other._connections.close()


def test_rejections_are_kept_in_a_bounded_number_a_webhook(store: SqliteStore) -> None:
    many = [Rejection("w", number, 401, f"reason {number}") for number in range(REJECTIONS_KEPT + 30)]
    store.record_rejections([Rejection("other", 0, 400, "old")], {("other", "rejected"): 1})
    store.record_rejections(many, {("w", "rejected"): len(many)})
    store.record_rejections([], {("w", "rejected"): 2, ("w", "accepted"): 5})

    kept = store.rejections("w", limit=1000)
    assert [one.at for one in kept] == list(reversed(range(30, REJECTIONS_KEPT + 30)))
    assert len(store.rejections("other")) == 1
    assert store.delivery_counts(0)["w"] == {"rejected": len(many) + 2, "accepted": 5}
