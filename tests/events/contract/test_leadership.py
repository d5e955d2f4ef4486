"""Who decides: one worker, until it resigns, ends, or gives no sign of life."""

from __future__ import annotations

from events.records import Lead
from events.store import Store
from tests.events.contract.backends import Backend
from tests.events.contract.makers import eventually

LONG = 10**6
"""Seconds."""
SHORT = 0.05


def test_one_worker_has_the_lead_until_it_resigns(store: Store, other: Store) -> None:
    before = other.now()
    assert other.take_lead("another", LONG) is None
    assert not other.keep_lead("another", LONG)
    lead = store.take_lead("me", LONG)
    assert lead is not None, "it has it anew"
    assert lead.predecessor is None
    assert before + 1000 * LONG <= lead.until <= store.now() + 1000 * LONG
    assert other.leader() == ("me", lead.until)
    other.resign("another")
    assert store.keep_lead("me", LONG), "only the holder gives it up"
    store.resign("me")
    assert other.leader() is None
    taken = other.take_lead("another", LONG)
    assert taken == Lead(taken.until if taken else 0), "who resigned has said goodbye"


def test_a_lead_that_was_given_up_is_not_kept(store: Store, other: Store) -> None:
    store.resign("me")
    assert not store.keep_lead("me", LONG)
    assert store.leader() is None
    store.resign("me")
    assert other.take_lead("another", LONG)


def test_a_lead_runs_out_without_a_sign_of_life(store: Store, other: Store) -> None:
    assert store.keep_lead("me", SHORT)
    leader = store.leader()
    assert leader is not None
    taken: list[Lead | None] = []
    eventually(lambda: taken.append(other.take_lead("another", LONG)) or taken[-1])
    assert taken[-1] is not None
    assert (taken[-1].predecessor, taken[-1].predecessor_until) == ("me", leader[1])
    assert not store.keep_lead("me", LONG)
    assert store.take_lead("me", LONG) is None
    assert store.keep_lead("another", LONG) or other.keep_lead("another", LONG)


def test_the_lead_of_a_killed_worker_need_not_run_out(backend: Backend, store: Store, other: Store) -> None:
    assert store.keep_lead("me", LONG)
    backend.die(store, "me")
    before = other.now()
    lead: list[Lead | None] = []
    eventually(lambda: lead.append(other.take_lead("another", LONG)) or lead[-1])
    assert lead[-1] is not None
    assert lead[-1].predecessor == "me"
    assert before <= lead[-1].predecessor_until <= other.now()


def test_who_took_the_lead_from_one_that_hangs_is_not_taken_for_dead_when_that_one_gives_way(
    backend: Backend, store: Store, other: Store
) -> None:
    store.keep_lead("me", SHORT)
    eventually(lambda: other.take_lead("living", LONG))
    store.resign("me")
    third = backend.open()
    assert store.take_lead("me", LONG) is None
    assert third.take_lead("third", LONG) is None
    assert other.keep_lead("living", LONG)
    assert third.take_lead("third", LONG) is None
    assert store.take_lead("me", LONG) is None
    backend.die(other, "living")
    eventually(lambda: third.take_lead("third", LONG))


def test_the_clock_is_one_for_all_and_goes_on(store: Store, other: Store) -> None:
    first = store.now()
    second = other.now()
    assert abs(second - first) < 60_000
    eventually(lambda: store.now() > second)
