"""Which events a list shows: by type, time, text and what their payload has, within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from store.records import Event, Result, SetAside
from store.sql import event_search
from store.sql.event_search import EventFilter
from store.sql.store import Store
from tests.support.makers import NOW, arrive, decide, end, ids, start

MINUTE = 60_000


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Events that one search reads."""
    monkeypatch.setattr(event_search, "SEARCHED", 3)
    yield 3


def found(store: Store, **asked: object) -> list[str]:
    return ids(store.queries.events(EventFilter(**asked)))  # type: ignore[arg-type]


def test_events_are_found_by_their_type_or_how_it_begins(store: Store) -> None:
    for id_, kind in (
        ("e1", "invoice.paid"),
        ("e2", "invoice.voided"),
        ("e3", None),
        ("e4", "Invoice.paid"),
    ):
        arrive(store, id_, type=kind, webhook="wv"[id_ == "e2"])
    assert found(store, type="invoice.paid") == ["e1"]
    assert found(store, type="invoice.*") == ["e2", "e1"]
    assert found(store, type="invoice.*", webhook="v") == ["e2"]
    assert found(store, type="*") == ["e4", "e2", "e1"]
    assert found(store, type="%") == found(store, type="invoice") == []


def test_text_is_found_whatever_its_case(store: Store) -> None:
    arrive(store, "e1", payload='{"a": "Needle \\u00c4 \u00c4"}', delivery_id="D-1")
    arrive(store, "e2", payload='{"b": "NEEDLE"}')
    arrive(store, "third", payload='{"c": "100 %_"}', webhook="v")
    assert found(store, text="neEdle") == ["e2", "e1"]
    assert found(store, text="0 %_") == found(store, text="hir", webhook="v") == ["third"], (
        "of its id, too"
    )
    assert found(store, text="d-1") == found(store, text="D-1") == ["e1"]
    assert found(store, text="needle \\U00C4 \u00c4") == ["e1"]
    assert found(store, text="\u00e4") == [], "only ASCII is folded, the same on every database"
    assert found(store, contains=("needle", '"A"')) == ["e1"]
    assert found(store, contains=("needle", '"A"'), text="needle", type="x") == []


def test_events_of_a_time_are_found(store: Store) -> None:
    times = [0, 1, 5, 4, 6, 6, 9]  # minutes; two relays' clocks differ
    for number, minute in enumerate(times):
        arrive(store, f"e{number}", received_at=NOW + minute * MINUTE, webhook="wv"[number % 2])
    for since, until, webhook in product((None, 0, 1, 4, 6, 10), (None, 0, 4, 6, 10), (None, "w")):
        asked = {
            "since": None if since is None else NOW + since * MINUTE,
            "until": None if until is None else NOW + until * MINUTE,
            "webhook": webhook,
        }
        expected = [
            f"e{number}"
            for number, minute in enumerate(times)
            if (since is None or minute >= since)
            and (until is None or minute < until)
            and (webhook is None or number % 2 == 0)
        ]
        assert found(store, **asked) == expected[::-1], asked
    assert found(store, since=NOW + 6 * MINUTE + 1) == ["e6"]
    assert found(store, until=NOW + 1) == ["e0"]


def test_a_search_says_how_far_it_went(store: Store, searched: int) -> None:
    def oldest(**asked: object) -> tuple[list[str], str | None]:
        page = store.queries.page(EventFilter(**asked))  # type: ignore[arg-type]
        return ids(list(page.events)), page.searched_to.id if page.searched_to else None

    for number in range(8):
        arrive(
            store,
            f"e{number}",
            type="even" if number % 2 == 0 else "odd",
            received_at=NOW + number * 5 * MINUTE,
        )
    assert oldest() == ([f"e{number}" for number in reversed(range(8))], None)
    assert oldest(type="even") == (["e6"], "e5")
    assert oldest(type="even", limit=1) == (["e6"], "e5")
    assert oldest(text="e1") == (["e1"], "e5"), "an id is found wherever it is"
    assert oldest(text="e1", type="even") == ([], "e5")
    assert oldest(type="even", before_seq=6) == (["e4", "e2"], "e2")
    assert oldest(type="even", before_seq=4) == (["e2", "e0"], None)
    assert oldest(type="even", until=NOW + 14 * MINUTE) == (["e2", "e0"], None)
    assert oldest(type="odd", since=NOW + 24 * MINUTE) == (["e7", "e5"], None)
    assert oldest(type="odd", after_seq=7) == (["e7"], None)


def test_resolved_and_unresolved_events_are_told_apart(store: Store) -> None:
    for id_ in ("again", "left", "other"):
        arrive(
            store,
            id_,
            webhook="v" if id_ == "other" else "w",
            type=id_,
            payload=f'{{"a": "{id_}"}}',
        )
        decide(store, id_, start())
        end(store, id_, "failed")
    arrive(store, "replay", replay_of="again", origin="again")
    decide(store, "replay", start())
    end(store, "replay", "done")
    assert found(store, resolved=True) == ["again"]
    assert found(store, resolved=True, status="failed", webhook="w") == ["again"]
    assert found(store, resolved=True, status="expired") == []
    assert found(store, unresolved=True) == ["other", "left"]
    assert found(store, unresolved=True, type="left") == ["left"]
    assert found(store, unresolved=True, text="OTHER") == ["other"]
    assert found(store, unresolved=True, text="again") == []
    assert found(store, unresolved=True, webhook="v", since=NOW) == ["other"]
    assert found(store, unresolved=True, until=NOW) == []


def test_pending_events_are_found_by_what_they_wait_for(store: Store) -> None:
    arrive(store, "done"), arrive(store, "new")
    decide(store, "done", start(1))
    end(store, "done", "done")
    for id_, webhook in (
        ("held", "w"),
        ("held v", "v"),
        ("retrying", "w"),
        ("paused", "v"),
        ("undecided", "w"),
    ):
        arrive(store, id_, webhook=webhook, payload=f'{{"a": "{id_}"}}')
    arrive(store, "aside"), arrive(store, "call aside")
    (
        decide(store, "held", hold="held"),
        decide(store, "held v", hold="held"),
        decide(store, "new", start(2)),
    )
    calls = [
        *decide(store, "retrying", start(3), claim=1),
        *decide(store, "call aside", start(4), claim=1),
    ]
    store.claims.record_results(
        "me", [Result(call, "pending", "503", due_at=NOW + 9) for call in calls], NOW
    )
    for kind, item in (("event", "aside"), ("target", str(calls[1].id)), ("target", "odd")):
        store.quarantine.set_aside([SetAside(kind, item, "w", "why", NOW, 1, NOW)])  # type: ignore[arg-type]
    store.pauses.pause("v", NOW)
    assert found(store, waiting="held") == ["held v", "held"]
    assert found(store, waiting="held", webhook="w") == ["held"]
    assert (
        found(store, waiting="retrying")
        == found(store, waiting="retrying", webhook="w")
        == ["retrying"]
    )
    assert (
        found(store, waiting="paused") == found(store, waiting="paused", webhook="v") == ["paused"]
    )
    assert found(store, waiting="quarantined") == ["call aside", "aside"]
    assert found(store, waiting="quarantined", limit=1) == ["call aside"]
    assert (
        found(store, waiting="retrying", webhook="v")
        == found(store, waiting="paused", webhook="w")
        == []
    )
    assert found(store, waiting="held", text="HELD v") == ["held v"]
    assert found(store, waiting="quarantined", since=NOW + 1) == []
    store.pauses.resume("v")
    assert found(store, waiting="paused") == []


def test_events_are_read_whose_payload_is_small_enough(store: Store) -> None:
    arrive(store, "small", payload='{"a": 1}')
    arrive(store, "large", payload='{"a": 12}')
    read = store.queries.events_up_to(["small", "large", "unknown"], 8)
    assert {id_: event.payload for id_, event in read.items()} == {"small": '{"a": 1}'}
    assert isinstance(read["small"], Event)
    assert store.queries.events_up_to([], 8) == {}
