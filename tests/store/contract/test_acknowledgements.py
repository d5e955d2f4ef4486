"""What people do about failed events, and what else is kept of an event's story."""

from __future__ import annotations

import pytest

from store.records import Decision, EventStatus, Result
from store.sql.event_search import EventFilter
from store.sql.store import Store
from store.story import ATTEMPTS_KEPT, Note, Noted, Origins
from tests.support import deciding
from tests.support.makers import ME, NOW, arrive, decide, end, event, ids, start


def note(what: Noted = "acknowledged", reason: str = "known", at: int = NOW) -> Note:
    return Note(at, "ada", what, reason)


def failed(store: Store, id_: str) -> str:
    decide(store, arrive(store, id_), start())
    end(store, id_, "failed")
    return id_


def unresolved(store: Store) -> list[str]:
    return ids(store.queries.events(EventFilter(unresolved=True)))


def test_an_acknowledged_event_is_unresolved_again_once_it_is_reopened(store: Store) -> None:
    failed(store, "e1"), failed(store, "e2")
    assert store.acknowledgements.record(["e1", "unknown"], note()) == {"e1"}
    assert unresolved(store) == ["e2"]
    assert store.queries.unresolved() == 1
    assert event(store, "e1").acknowledged_at == NOW
    assert event(store, "e1").status == "failed"
    assert store.acknowledgements.record(["e1"], note()) == set(), "it is acknowledged already"
    assert store.acknowledgements.record(["e1", "e2"], note("reopened")) == {"e1"}
    assert unresolved(store) == ["e2", "e1"]
    assert event(store, "e1").acknowledged_at is None


@pytest.mark.parametrize("status", ["expired", "ignored"])
def test_what_was_never_taken_can_be_acknowledged(store: Store, status: EventStatus) -> None:
    deciding.decide(store, ME, [Decision(arrive(store), status, "no")], NOW, 0)
    assert store.acknowledgements.record(["e1"], note()) == {"e1"}


def test_what_asks_nothing_of_anybody_cannot_be_acknowledged(store: Store) -> None:
    arrive(store, "undecided")
    decide(store, arrive(store, "delivered"), start())
    end(store, "delivered", "done")
    failed(store, "resolved")
    decide(store, arrive(store, "replay", origin="resolved", replay_of="resolved"), start())
    end(store, "replay", "done")
    assert (
        store.acknowledgements.record(["undecided", "delivered", "resolved", "replay"], note())
        == set()
    )


def test_who_noted_what_and_why_is_kept(store: Store) -> None:
    failed(store, "e1")
    first = note(reason="a line\nand another \x00 “é” \ud800 " + "x" * 1000)
    store.acknowledgements.record(["e1"], first)
    store.acknowledgements.record(["e1"], note("reopened", "not yet", NOW + 1))
    found = store.acknowledgements.origins("e1")
    assert found is not None
    assert [(one.at, one.who, one.what) for one in found.notes] == [
        (NOW, "ada", "acknowledged"),
        (NOW + 1, "ada", "reopened"),
    ]
    assert found.notes[0].reason == first.reason[:500]
    assert store.acknowledgements.origins("unknown") is None


def test_where_an_event_came_from_and_how_it_was_decided_is_kept(store: Store) -> None:
    arrive(store, "e1", remote="203.0.113.9", proof="its signature")
    assert store.acknowledgements.origins("e1") == Origins(
        "203.0.113.9", "its signature", None, None
    )
    deciding.decide(store, ME, [Decision("e1", "pending", "held", scan_at=NOW - 5)], NOW, 0)
    deciding.decide(
        store, ME, [Decision("e1", "pending", "no", (start(),), scan_at=NOW)], NOW + 9, 0
    )
    assert store.acknowledgements.origins("e1") == Origins(
        "203.0.113.9", "its signature", NOW - 5, "me"
    )
    assert event(store, "e1").decided_at == NOW, "the first decision counts"


def test_the_newest_attempts_that_failed_are_kept(store: Store) -> None:
    decide(store, arrive(store), start())
    for number in range(1, 13):
        [target] = store.claims.claim("me", NOW + number, 0, 9)
        result = Result(target, "pending", f"error {number}" + "x" * 1000, due_at=NOW)
        store.claims.record_results("me", [result], NOW + number + 5)
    [target] = store.claims.claim("me", NOW + 20, 0, 9)
    store.claims.record_results("me", [Result(target, "done")], NOW + 21)
    [target] = store.queries.targets_of(["e1"])
    assert len(target.failures) == ATTEMPTS_KEPT
    last = target.failures[-1]
    assert (last.number, last.began_at, last.ended_at, last.error[:9], len(last.error)) == (
        12,
        NOW + 12,
        NOW + 17,
        "error 12x",
        500,
    )
    assert (target.state, target.error, target.attempts) == ("done", None, 13)
