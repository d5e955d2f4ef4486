"""What an event says is erased once it is over; what it did stays known."""

from __future__ import annotations

from store.sql.admin import ERASED
from store.sql.store import Store
from tests.store.contract.makers import arrive, decide, end, event, start


def test_an_event_that_is_over_loses_what_it_says_and_keeps_what_it_did(store: Store) -> None:
    decide(store, arrive(store, "e1"), start())
    assert not store.erasures.erase("e1"), "its workflow still needs its payload"
    end(store, "e1", "done")
    assert store.erasures.erase("e1")
    erased = event(store, "e1")
    assert (erased.payload, erased.headers, erased.query) == (ERASED, {}, {})
    assert (erased.status, [one.state for one in store.queries.targets_of(["e1"])]) == ("delivered", ["done"])
    assert store.erasures.erase("e1"), "once more does nothing"
    assert not store.erasures.erase("unknown")
