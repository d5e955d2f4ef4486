"""Deliveries that are kept as they came: with their events or not at all, in order, within bounds."""

from __future__ import annotations

import base64
import threading
from dataclasses import replace

import pytest

from store.delivery_records import Duplicate, NoLongerKept, RawDelivery, Rejection
from store.postgres import PostgresStore
from store.sql import raw_deliveries
from store.sql.deliveries import DUPLICATES_KEPT
from store.sql.store import Store
from tests.store.contract.makers import eventually, new_event

RAW = RawDelivery(
    "POST", "a=1&b=%20", {"x-signature": "v1=\xfc", "content-type": "application/json"}, b'\x00{"a": 1}\xff'
)


def keep(store: Store, id_: str, webhook: str = "w", body: bytes = b"{}", **more: object) -> None:
    """A delivery arrives now, and is kept."""
    raw = replace(RAW, body=body)
    store.deliveries.append([new_event(id_, webhook=webhook, received_at=store.now(), raw=raw, **more)])


def settle(store: Store) -> None:
    """Waits for what else writes to the server: on PostgreSQL the list ends before what could still be overtaken."""
    if isinstance(store, PostgresStore):
        newest = (
            "SELECT max(id) >> 16 < pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM bridge.raw_deliveries"
        )
        eventually(lambda: store._connections.read(newest)[0][0] is not False)


def listed(store: Store, webhook: str = "w", after: int = 0) -> list[str]:
    settle(store)
    return [one.event_id for one in store.raw_deliveries.listed(webhook, after)]


def test_a_delivery_is_kept_byte_for_byte(store: Store) -> None:
    store.deliveries.append([new_event("e1", received_at=store.now(), raw=RAW)])
    settle(store)
    [found] = store.raw_deliveries.listed("w")
    assert (found.event_id, found.size) == ("e1", len(RAW.body))
    [kept] = store.raw_deliveries.read([found.id])
    assert (kept.method, kept.query, kept.headers) == (RAW.method, RAW.query, RAW.headers)
    assert base64.b64decode(kept.body) == RAW.body


def test_nothing_is_kept_of_a_delivery_that_doesnt_ask_for_it(store: Store) -> None:
    store.deliveries.append([new_event("e1", received_at=store.now())])
    assert listed(store) == []


def test_a_delivery_of_several_events_is_kept_once_and_a_duplicate_not_again(store: Store) -> None:
    now = store.now()
    first, again = ([new_event(f"{at}{n}", delivery_id=f"d{n}", received_at=now, raw=RAW) for n in "12"] for at in "ab")
    store.deliveries.append(first)
    store.deliveries.append(again)
    store.deliveries.append([again[0], new_event("b3", received_at=now, raw=RAW)])
    assert listed(store) == ["a1", "b3"], "the last has an event that is new"


def test_each_webhooks_deliveries_are_listed_after_the_last_one_that_was_seen(store: Store, other: Store) -> None:
    for number in range(4):
        keep(store, f"e{number}", webhook="wv"[number % 2])
    settle(store)
    first = other.raw_deliveries.listed("w")[0]
    assert listed(other, after=first.id) == ["e2"]
    assert [one.event_id for one in other.raw_deliveries.listed("v", 0, 1)] == ["e1"]
    assert listed(other, "unknown") == []
    assert other.raw_deliveries.read([]) == []


def test_only_the_newest_are_kept_in_number_and_in_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_deliveries, "KEPT", 3)
    monkeypatch.setattr(raw_deliveries, "KEPT_BYTES", 100)
    for number in range(5):
        keep(store, f"e{number}")
    keep(store, "other", webhook="v")
    store.raw_deliveries.prune()
    assert (listed(store), listed(store, "v")) == (["e2", "e3", "e4"], ["other"])
    keep(store, "large", body=b"x" * 97)
    store.raw_deliveries.prune()
    assert listed(store) == ["e4", "large"]
    keep(store, "too large", body=b"x" * 101)
    store.raw_deliveries.prune()
    assert listed(store) == []
    keep(store, "next")
    assert listed(store) == ["next"]


def test_ids_go_on_after_everything_was_pruned(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or who listens would miss what comes after the last that it saw."""
    keep(store, "e1")
    settle(store)
    seen = store.raw_deliveries.listed("w")[0].id
    monkeypatch.setattr(raw_deliveries, "KEPT_FOR", -60_000)
    store.raw_deliveries.prune()
    monkeypatch.undo()
    assert listed(store) == []
    keep(store, "e2")
    assert listed(store, after=seen) == ["e2"]


def test_the_last_one_that_is_no_longer_listed_is_known(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or who listens couldn't be told that something is missing."""
    assert store.raw_deliveries.last_pruned("w") is None
    old = store.now() - raw_deliveries.KEPT_FOR - 1000
    store.deliveries.append([new_event("old", received_at=old, raw=RAW)])
    found = store.raw_deliveries.last_pruned("w")
    assert found is not None
    assert found.at == old
    store.raw_deliveries.prune()
    assert store.raw_deliveries.last_pruned("w") == found
    assert store.raw_deliveries.last_pruned("v") is None
    monkeypatch.setattr(raw_deliveries, "KEPT", 1)
    keep(store, "e1"), keep(store, "e2")
    settle(store)
    first = store.raw_deliveries.listed("w")[0]
    store.raw_deliveries.prune()
    store.raw_deliveries.prune()
    assert store.raw_deliveries.last_pruned("w") == NoLongerKept(first.id, first.at)
    assert listed(store) == ["e2"]
    assert store.raw_deliveries.read([first.id]) == []


def test_the_greatest_id_is_known_whatever_was_pruned(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or who listens to a store that was restored couldn't be told that its place is another one's."""
    assert store.raw_deliveries.greatest_id("w") == 0
    keep(store, "e1"), keep(store, "e2"), keep(store, "e3", webhook="v")
    settle(store)
    last = store.raw_deliveries.listed("w")[-1].id
    assert store.raw_deliveries.greatest_id("w") == last
    monkeypatch.setattr(raw_deliveries, "KEPT_FOR", -60_000)
    store.raw_deliveries.prune()
    assert store.raw_deliveries.greatest_id("w") == last


def test_those_that_are_too_old_are_not_listed_even_before_they_are_pruned(store: Store) -> None:
    store.deliveries.append([new_event("old", received_at=store.now() - raw_deliveries.KEPT_FOR - 1000, raw=RAW)])
    keep(store, "new")
    assert listed(store) == ["new"]


def test_what_was_kept_before_the_clock_was_set_back_does_not_stay_for_as_long_as_the_jump(store: Store) -> None:
    year = 365 * 24 * raw_deliveries.KEPT_FOR
    store.deliveries.append([new_event("ahead", received_at=store.now() + year, raw=RAW)])
    keep(store, "now")
    store.raw_deliveries.prune()
    assert listed(store) == ["now"]


def test_who_asks_for_what_came_after_the_last_one_misses_none(store: Store, other: Store) -> None:
    """However the commits of several relays overlap."""
    relays = [store, other]
    number = 40

    def deliver(relay: int) -> None:
        for n in range(number):
            keep(relays[relay], f"{relay}-{n}")

    threads = [threading.Thread(target=deliver, args=(relay,)) for relay in range(2)]
    for thread in threads:
        thread.start()
    seen: list[str] = []
    last = 0
    while True:
        if are_done := not any(thread.is_alive() for thread in threads):
            settle(store)
        for one in store.raw_deliveries.listed("w", last):
            seen.append(one.event_id)
            last = one.id
        if are_done:
            break
    assert sorted(seen) == sorted(f"{relay}-{n}" for relay in range(2) for n in range(number))
    assert [one for one in seen if one.startswith("0")] == [f"0-{n}" for n in range(number)]


# --- deliveries without an event ---


def test_deliveries_without_an_event_are_read_together_in_order_of_arrival(store: Store) -> None:
    store.deliveries.record_rejections(
        [Rejection("w", 10, 401, "refused", "203.0.113.9"), Rejection("v", 30, 200, "not wanted")],
        {("w", "rejected"): 1},
    )
    store.without_events.record_duplicates([Duplicate("w", 20, "e1", "203.0.113.9", "GET"), Duplicate("w", 40, "e1")])
    found = store.without_events.newest()
    assert [(one.at, one.kind, one.webhook, one.reason, one.event_id) for one in found] == [
        (10, "rejected", "w", "refused", None),
        (20, "duplicate", "w", "", "e1"),
        (30, "filtered", "v", "not wanted", None),
        (40, "duplicate", "w", "", "e1"),
    ]
    assert (found[1].remote, found[1].method) == ("203.0.113.9", "GET")
    assert len({one.key for one in found}) == 4
    assert [one.at for one in store.without_events.newest("v")] == [30]
    assert [one.at for one in store.without_events.newest(limit=1)] == [30, 40], "the newest of each table"


def test_each_webhooks_newest_duplicates_are_kept(store: Store) -> None:
    store.without_events.record_duplicates([Duplicate("v", 1, "e0")])
    store.without_events.record_duplicates([Duplicate("w", at, "e1") for at in range(DUPLICATES_KEPT + 30)])
    store.without_events.record_duplicates([])
    assert [one.at for one in store.without_events.newest("w", 1000)] == [*range(30, DUPLICATES_KEPT + 30)]
    assert [one.at for one in store.without_events.newest("v")] == [1]
