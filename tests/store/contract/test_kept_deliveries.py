"""Rejected deliveries with their bytes."""

from __future__ import annotations

from store.delivery_records import KeptDelivery, Rejection
from store.rules import eviction
from store.sql.store import Store
from tests.store.contract.makers import NOW, ids, kept

BYTES = bytes(range(256))


def test_a_refused_delivery_is_kept_byte_for_byte(store: Store) -> None:
    whole = KeptDelivery(
        "k1",
        "w",
        NOW,
        401,
        "why",
        "2001:db8::1",
        "PUT",
        "/api/webhook/",
        "http://h/x",
        "a=%00&b",
        {"x-ü": "\xff"},
        BYTES,
    )
    store.kept_deliveries.keep([whole], {"w": 5})
    assert store.kept_deliveries.delivery("k1") == whole
    assert store.kept_deliveries.delivery("other") is None


def test_what_is_kept_twice_because_an_answer_was_lost_is_there_once(store: Store) -> None:
    for _ in range(2):
        store.kept_deliveries.keep([kept("k1"), kept("k2")], {"w": 5})
    assert ids(store.kept_deliveries.next("w", 0)) == ["k1", "k2"]


def test_they_are_read_in_order_of_arrival_page_by_page_or_the_newest_first(store: Store) -> None:
    store.kept_deliveries.keep([kept(f"k{n}", at=NOW + n) for n in range(5)], {"w": 9})
    store.kept_deliveries.keep([kept("k5", webhook="v")], {"v": 9})
    page = store.kept_deliveries.next("w", NOW + 1, limit=2)
    assert ids(page) == ["k1", "k2"]
    assert ids(store.kept_deliveries.next("w", NOW + 1, page[-1].id)) == ["k3", "k4"]
    assert ids(store.kept_deliveries.newest(2)) == ["k5", "k4"]


def test_one_that_was_accepted_is_no_longer_to_be_read_but_says_what_it_became(store: Store) -> None:
    store.kept_deliveries.keep([kept("k1", body=BYTES), kept("k2")], {"w": 9})
    store.kept_deliveries.accepted("k1", "e1")
    assert ids(store.kept_deliveries.next("w", 0)) == ids(store.kept_deliveries.newest(9)) == ["k2"]
    found = store.kept_deliveries.delivery("k1")
    assert found is not None
    assert (found.event_id, found.body) == ("e1", b"")


def test_no_more_are_kept_of_a_webhook_than_it_says(store: Store) -> None:
    store.kept_deliveries.keep([kept("v1", webhook="v")], {"v": 1})
    for number in range(6):
        store.kept_deliveries.keep([kept(f"k{number}")], {"w": 3})
    assert ids(store.kept_deliveries.next("w", 0)) == ["k3", "k4", "k5"]
    assert ids(store.kept_deliveries.next("v", 0)) == ["v1"]


def test_no_more_bytes_are_kept_of_a_webhook_than_the_bound(store: Store) -> None:
    large = bytes(eviction.BYTES // 3)
    store.kept_deliveries.keep([kept(f"k{number}", body=large) for number in range(4)], {"w": 9})
    assert [store.kept_deliveries.delivery(f"k{number}") is not None for number in range(4)] == [
        False,
        False,
        True,
        True,
    ]


def test_a_page_of_large_ones_is_short_but_never_empty(store: Store) -> None:
    large = bytes(eviction.READ_AT_ONCE + 1)
    store.kept_deliveries.keep([kept(f"k{number}", body=large) for number in range(3)], {"w": 9})
    assert ids(store.kept_deliveries.next("w", 0)) == ["k0"]
    assert ids(store.kept_deliveries.newest(9)) == ["k2"]


def test_retention_deletes_them(store: Store) -> None:
    store.kept_deliveries.keep([kept("old", at=NOW - 1), kept("older", at=NOW - 2), kept("new")], {"w": 9})
    assert store.maintenance.prune(NOW, 1).more
    assert store.maintenance.prune(NOW, 1).more
    assert not store.maintenance.prune(NOW, 1).more
    assert store.kept_deliveries.delivery("old") is None
    assert store.kept_deliveries.delivery("new") is not None


def test_a_rejection_knows_what_was_kept_of_it(store: Store) -> None:
    store.kept_deliveries.keep([kept("k1")], {"w": 5})
    rejections = [Rejection("w", NOW, 401, "no", kept_id=id_) for id_ in ("k1", "pruned", None)]
    store.deliveries.record_rejections(rejections, {("w", "rejected"): 3})
    assert [one.kept_id for one in store.queries.rejections("w")] == [None, None, "k1"]
