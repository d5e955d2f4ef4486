"""Deliveries that are kept as they came: with their events or not at all, in order, within bounds."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from store.delivery_records import RawDelivery, WithoutEvent
from store.postgres import PostgresStore
from store.rules import eviction
from store.rules.eviction import Bounds
from store.sql.deliveries import KEPT
from store.sql.raw_deliveries import LISTENED
from store.sql.store import Store
from tests.support.makers import NOW, ids, kept, new_event
from tools.servers import eventually

BYTES = bytes(range(256))
HEADERS = {"x-signature": "v1=\xfc", "content-type": "application/json"}
RAW = RawDelivery(
    "", "w", "accepted", NOW, query="a=1&b=%20", headers=HEADERS, body=b'\x00{"a": 1}\xff'
)
YEARS = Bounds(1000, 10**9, 10**12)


def keep(store: Store, id_: str, webhook: str = "w", body: bytes = b"{}", ago: int = 0) -> None:
    """A delivery arrived then, and is kept."""
    at = store.now() - ago
    raw = replace(RAW, webhook=webhook, at=at, headers={}, query="", body=body)
    store.deliveries.append([new_event(id_, webhook=webhook, received_at=at, raw=raw)])


def prune(store: Store, webhook: str = "w", **changed: int) -> None:
    store.raw_deliveries.prune(webhook, {"accepted": replace(LISTENED, **changed)})


def settle(store: Store) -> None:
    """Waits for what else writes to the server: on PostgreSQL the list ends before what could still
    be overtaken."""
    if isinstance(store, PostgresStore):
        oldest = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        newest = f"SELECT max(number) >> 16 < {oldest} FROM bridge.raw_deliveries"
        eventually(lambda: store._connections.read(newest)[0][0] is not False)


def listed(store: Store, webhook: str = "w", after: int = 0) -> list[str]:
    settle(store)
    return [one.id for one in store.raw_deliveries.listed(webhook, after)]


def test_a_delivery_is_kept_byte_for_byte(store: Store) -> None:
    raw = replace(RAW, at=store.now())
    store.deliveries.append([new_event("e1", received_at=raw.at, raw=raw)])
    settle(store)
    [found], last = store.raw_deliveries.next_accepted("w", 0, 9)
    assert found == replace(raw, id="e1", event_id="e1", number=last)
    assert store.raw_deliveries.listed("w") == [replace(found, query="", headers={}, body=b"")]


def test_a_delivery_of_several_events_is_kept_once_and_a_duplicate_not_again(store: Store) -> None:
    now = store.now()
    one, two, three = (replace(RAW, at=now, query=query) for query in "abc")
    first = [new_event(f"a{n}", delivery_id=f"d{n}", received_at=now, raw=one) for n in "12"]
    again = [new_event(f"b{n}", delivery_id=f"d{n}", received_at=now, raw=two) for n in "12"]
    store.deliveries.append(first)
    store.deliveries.append(again)
    store.deliveries.append(
        [replace(again[0], raw=three), new_event("b3", received_at=now, raw=three)]
    )
    assert listed(store) == ["a1", "b3"], "the last has an event that is new"


def test_each_webhooks_deliveries_are_listed_after_the_last_one_that_was_seen(
    store: Store, other: Store
) -> None:
    for number in range(4):
        keep(store, f"e{number}", webhook="wv"[number % 2])
    settle(store)
    first = other.raw_deliveries.listed("w")[0]
    assert listed(other, after=first.number) == ["e2"]
    assert ids(other.raw_deliveries.listed("v", 0, 1)) == ["e1"]
    assert listed(other, "unknown") == []
    assert other.raw_deliveries.next_accepted("unknown", 7, 9) == ([], 7)


def test_only_the_newest_are_kept_in_number_and_in_bytes(store: Store) -> None:
    for number in range(5):
        keep(store, f"e{number}")
    keep(store, "other", webhook="v")
    prune(store, number=3, bytes=100)
    assert (listed(store), listed(store, "v")) == (["e2", "e3", "e4"], ["other"])
    keep(store, "large", body=b"x" * 97)
    prune(store, number=3, bytes=100)
    assert listed(store) == ["e4", "large"]
    keep(store, "too large", body=b"x" * 101)
    prune(store, number=3, bytes=100)
    assert listed(store) == []
    keep(store, "next")
    assert listed(store) == ["next"]


def test_ids_go_on_after_everything_was_pruned(store: Store) -> None:
    """Or who listens would miss what comes after the last that it saw."""
    keep(store, "e1")
    settle(store)
    seen = store.raw_deliveries.listed("w")[0].number
    prune(store, number=0)
    assert listed(store) == []
    keep(store, "e2")
    assert listed(store, after=seen) == ["e2"]


def test_the_last_one_that_is_no_longer_listed_is_known(store: Store) -> None:
    """Or who listens couldn't be told that something is missing."""
    assert store.raw_deliveries.last_pruned("w") is None
    keep(store, "old", ago=LISTENED.age + 1000)
    found = store.raw_deliveries.last_pruned("w")
    assert found is not None
    assert found.id == "old"
    prune(store)
    assert store.raw_deliveries.last_pruned("w") == replace(found, verdict="pruned")
    assert store.raw_deliveries.last_pruned("v") is None
    keep(store, "e1"), keep(store, "e2")
    for _ in range(2):
        prune(store, number=1)
        assert getattr(store.raw_deliveries.last_pruned("w"), "id", None) == "e1"
        assert listed(store) == ["e2"]


def test_a_mark_of_what_was_pruned_is_never_replaced_by_an_earlier_one(
    store: Store, other: Store
) -> None:
    """However late another process prunes."""
    for number in range(3):
        keep(store, f"e{number}")
    read = other._connections.read

    def reads_late(*arguments: Any) -> Any:
        found = read(*arguments)
        prune(store, number=0)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(other._connections, "read", reads_late)
        prune(other, number=1)
    assert getattr(store.raw_deliveries.last_pruned("w"), "id", None) == "e2"


def test_the_greatest_number_is_known_whatever_was_pruned(store: Store) -> None:
    """Or who listens to a store that was restored couldn't be told that its place is another
    one's."""
    assert store.raw_deliveries.greatest_number("w") == 0
    keep(store, "e1"), keep(store, "e2"), keep(store, "e3", webhook="v")
    settle(store)
    last = store.raw_deliveries.listed("w")[-1].number
    assert store.raw_deliveries.greatest_number("w") == last
    prune(store, number=0)
    assert store.raw_deliveries.greatest_number("w") == last


def test_those_that_are_too_old_are_not_listed_even_before_they_are_pruned(store: Store) -> None:
    keep(store, "old", ago=LISTENED.age + 1000)
    keep(store, "new")
    assert listed(store) == ["new"]


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
            seen.append(one.id)
            last = one.number
        if are_done:
            break
    assert sorted(seen) == sorted(f"{relay}-{n}" for relay in range(2) for n in range(number))
    assert [one for one in seen if one.startswith("0")] == [f"0-{n}" for n in range(number)]


# --- rejected, and saved by people ---


def test_a_refused_delivery_is_kept_byte_for_byte(store: Store) -> None:
    whole = RawDelivery(
        "k1",
        "w",
        "rejected",
        NOW,
        remote="2001:db8::1",
        status=401,
        reason="why",
        method="PUT",
        path="/api/webhook/",
        url="http://h/x",
        query="a=%00&b",
        headers={"x-ü": "\xff"},
        body=BYTES,
    )
    store.raw_deliveries.keep([whole])
    assert store.raw_deliveries.rejected("k1") == whole
    assert store.raw_deliveries.rejected("other") is None


def test_what_is_kept_twice_because_an_answer_was_lost_is_there_once(store: Store) -> None:
    for _ in range(2):
        store.raw_deliveries.keep([kept("k1"), kept("k2")])
    assert ids(store.raw_deliveries.next_rejected("w", 0)) == ["k1", "k2"]


def test_they_are_read_in_order_of_arrival_page_by_page_or_the_newest_first(store: Store) -> None:
    store.raw_deliveries.keep([kept(f"k{n}", at=NOW + n) for n in range(5)])
    store.raw_deliveries.keep([kept("k5", webhook="v")])
    page = store.raw_deliveries.next_rejected("w", NOW + 1, limit=2)
    assert ids(page) == ["k1", "k2"]
    assert ids(store.raw_deliveries.next_rejected("w", NOW + 1, page[-1].id)) == ["k3", "k4"]
    assert ids(store.raw_deliveries.newest_rejected(2)) == ["k5", "k4"]


def test_one_that_was_accepted_is_no_longer_to_be_read_but_says_what_it_became(
    store: Store,
) -> None:
    store.raw_deliveries.keep([kept("k1", body=BYTES), kept("k2")])
    store.raw_deliveries.accepted("k1", "e1")
    assert (
        ids(store.raw_deliveries.next_rejected("w", 0))
        == ids(store.raw_deliveries.newest_rejected(9))
        == ["k2"]
    )
    found = store.raw_deliveries.rejected("k1")
    assert found is not None
    assert (found.event_id, found.body) == ("e1", b"")


def test_no_more_rejected_ones_stay_of_a_webhook_than_the_bounds(store: Store) -> None:
    store.raw_deliveries.keep(
        [kept("v1", webhook="v"), kept("v2", webhook="v"), *(kept(f"k{n}") for n in range(6))]
    )
    store.raw_deliveries.prune("w", {"rejected": replace(YEARS, number=3)})
    assert ids(store.raw_deliveries.next_rejected("w", 0)) == ["k3", "k4", "k5"]
    store.raw_deliveries.prune("w", {"rejected": replace(YEARS, bytes=2 * kept("k5").size)})
    assert ids(store.raw_deliveries.next_rejected("w", 0)) == ["k4", "k5"]
    assert ids(store.raw_deliveries.next_rejected("v", 0)) == ["v1", "v2"]
    assert sorted(store.raw_deliveries.webhooks()) == ["v", "w"]


def test_what_a_stranger_has_rejected_pushes_out_nothing_of_another_kind(store: Store) -> None:
    keep(store, "accepted")
    store.raw_deliveries.save(ODD, 1)
    store.raw_deliveries.keep([kept(f"k{number}") for number in range(9)])
    store.raw_deliveries.prune("w", {"accepted": LISTENED, "rejected": Bounds(1, 10**9, 10**12)})
    assert listed(store) == ["accepted"]
    assert ids(store.raw_deliveries.next_rejected("w", 0)) == ["k8"]
    assert [one.name for one in store.raw_deliveries.saved("w")] == [ODD.name]


def test_a_page_of_large_ones_is_short_but_never_empty(store: Store) -> None:
    large = bytes(eviction.READ_AT_ONCE + 1)
    store.raw_deliveries.keep([kept(f"k{number}", body=large) for number in range(3)])
    assert ids(store.raw_deliveries.next_rejected("w", 0)) == ["k0"]
    assert ids(store.raw_deliveries.newest_rejected(9)) == ["k2"]


def test_a_rejection_knows_what_was_kept_of_it(store: Store) -> None:
    store.raw_deliveries.keep([kept("k1")])
    rejections = [WithoutEvent("w", NOW, 401, "no", kept_id=id_) for id_ in ("k1", "pruned", None)]
    store.without_events.record(rejections, {("w", "rejected"): 3})
    assert [one.kept_id for one in store.without_events.rejections("w")] == [None, None, "k1"]


ODD = RawDelivery(
    "",
    "w",
    "saved",
    NOW,
    name="ü 'x' %s",
    method="PUT",
    query="a=%s&b=?",
    headers={"X-B": "2", "X-A": "\ud800"},
    body='{"a": "\0 \U0001f600"}'.encode(),
)


def test_a_saved_delivery_is_kept_as_it_was_written_whatever_is_in_it(
    store: Store, other: Store
) -> None:
    assert store.raw_deliveries.save(ODD, 1)
    (found,) = other.raw_deliveries.saved("w")
    assert found == other.raw_deliveries.find_saved("w", ODD.name)
    assert replace(found, id="") == ODD
    assert list(found.headers) == ["X-B", "X-A"]
    assert other.raw_deliveries.find_saved("another", ODD.name) is None
    assert other.raw_deliveries.saved("another") == []


def test_a_webhook_has_only_so_many_saved_deliveries_and_one_of_each_name(store: Store) -> None:
    saved = store.raw_deliveries
    assert [saved.save(replace(ODD, name=name), 2) for name in ("b", "a", "c")] == [
        True,
        True,
        False,
    ]
    assert saved.save(replace(ODD, name="a", body=b"{}", at=NOW + 1), 2), (
        "in place of the one of that name"
    )
    assert [(one.name, one.body) for one in saved.saved("w")] == [("a", b"{}"), ("b", ODD.body)]
    assert saved.save(replace(ODD, webhook="another", name="c"), 2), "each webhook has its own"


def test_a_saved_delivery_is_deleted_once(store: Store, other: Store) -> None:
    store.raw_deliveries.save(ODD, 1)
    assert [one.raw_deliveries.delete_saved("w", ODD.name) for one in (other, store)] == [
        True,
        False,
    ]
    assert store.raw_deliveries.saved("w") == []


# --- deliveries without an event ---


def test_deliveries_without_an_event_are_read_together_in_order_of_arrival(store: Store) -> None:
    store.without_events.record(
        [
            WithoutEvent("w", 10, 401, "refused", "203.0.113.9"),
            WithoutEvent("v", 30, 200, "not wanted", kind="filtered"),
        ],
        {("w", "rejected"): 1},
    )
    again = WithoutEvent("w", 20, 200, "", "203.0.113.9", "GET", event_id="e1", kind="duplicate")
    store.without_events.record([again, replace(again, at=40)], {})
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
    assert [one.at for one in store.without_events.newest(limit=1)] == [40]


def test_each_webhooks_newest_duplicates_are_kept(store: Store) -> None:
    store.without_events.record(
        [WithoutEvent("v", 1, 200, "", event_id="e0", kind="duplicate")], {}
    )
    store.without_events.record(
        [
            WithoutEvent("w", at, 200, "", event_id="e1", kind="duplicate")
            for at in range(KEPT + 30)
        ],
        {},
    )
    store.without_events.record([], {})
    assert [one.at for one in store.without_events.newest("w", 1000)] == [*range(30, KEPT + 30)]
    assert [one.at for one in store.without_events.newest("v")] == [1]
