"""What an event says is erased once it is over; what it did stays known."""

from __future__ import annotations

from dataclasses import replace

from store.sql.admin import ERASED
from store.sql.store import Store
from tests.store.contract.test_raw_deliveries import RAW, keep, listed
from tests.support.makers import arrive, decide, end, event, kept, new_event, start


def test_an_event_that_is_over_loses_what_it_says_and_keeps_what_it_did(store: Store) -> None:
    decide(store, arrive(store, "e1"), start())
    assert not store.erasures.erase("e1"), "its workflow still needs its payload"
    end(store, "e1", "done")
    assert store.erasures.erase("e1")
    erased = event(store, "e1")
    assert (erased.payload, erased.headers, erased.query) == (ERASED, {}, {})
    assert (erased.status, [one.state for one in store.queries.targets_of(["e1"])]) == (
        "delivered",
        ["done"],
    )
    assert store.erasures.erase("e1"), "once more does nothing"
    assert not store.erasures.erase("unknown")


def test_what_is_kept_of_its_delivery_is_erased_too_and_who_listens_is_told(store: Store) -> None:
    for number in (1, 2, 3):
        keep(store, f"e{number}", body=b"secret", ago=10_000 * number)
    store.raw_deliveries.keep([kept("r1", webhook="w", query="q=secret"), kept("r2", webhook="w")])
    store.raw_deliveries.accepted("r1", "e2")
    decide(store, "e2", start())
    end(store, "e2", "done")
    assert store.erasures.erase("e2")
    assert listed(store) == ["e1", "e3"]
    pruned, refused, other = (
        store.raw_deliveries.last_pruned("w"),
        store.raw_deliveries.rejected("r1"),
        store.raw_deliveries.rejected("r2"),
    )
    assert pruned is not None and pruned.number > store.raw_deliveries.listed("w")[0].number
    assert refused is not None and (refused.query, refused.headers, refused.body) == ("", {}, b"")
    assert other is not None and other.body


def test_a_part_of_a_delivery_is_erased_with_all_that_is_kept_of_it(store: Store) -> None:
    raw = replace(RAW, at=store.now())
    store.deliveries.append([new_event(id_, received_at=raw.at, raw=raw) for id_ in ("e1", "e2")])
    keep(store, "e3", ago=10_000)
    decide(store, "e2", start())
    end(store, "e2", "done")
    assert store.erasures.erase("e2")
    assert listed(store) == ["e3"]
