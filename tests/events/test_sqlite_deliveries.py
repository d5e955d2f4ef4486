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

from events.records import NewEvent, new_event_id
from events.sqlite import SqliteStore, open_store
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
