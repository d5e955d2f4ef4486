"""Who decides: one worker, until it resigns, ends, or gives no sign of life."""

from __future__ import annotations

from store.records import Term
from store.sql.store import Store
from tests.support.backends import Backend
from tests.support.makers import ME
from tools.servers import eventually

LONG = 10**6
"""Seconds."""
SHORT = 0.05


def test_one_worker_has_leadership_until_it_resigns(store: Store, other: Store) -> None:
    before = other.now()
    assert other.leadership.elect("another", LONG) is None
    assert not other.leadership.renew(Term("another"), LONG)
    term = store.leadership.elect("me", LONG)
    assert term is not None, "it has it anew"
    assert term.predecessor == "me", "it may not know whom it has replaced"
    assert before <= term.predecessor_until <= other.now()
    leader = other.leadership.leader()
    assert leader is not None and leader[0] == term.holder == "me"
    assert before + 1000 * LONG <= leader[1] <= store.now() + 1000 * LONG
    other.leadership.resign(Term("another"))
    assert store.leadership.renew(ME, LONG), "only the holder gives it up"
    store.leadership.resign(ME)
    assert other.leadership.leader() is None
    assert other.leadership.elect("another", LONG) == Term("another"), (
        "who resigned has said goodbye"
    )


def test_a_term_that_was_given_up_is_not_renewed(store: Store, other: Store) -> None:
    store.leadership.resign(ME)
    assert not store.leadership.renew(ME, LONG)
    assert store.leadership.leader() is None
    store.leadership.resign(ME)
    assert other.leadership.elect("another", LONG)


def test_a_term_runs_out_without_a_sign_of_life(store: Store, other: Store) -> None:
    assert store.leadership.renew(ME, SHORT)
    leader = store.leadership.leader()
    assert leader is not None
    taken: list[Term | None] = []
    eventually(lambda: taken.append(other.leadership.elect("another", LONG)) or taken[-1])
    assert taken[-1] is not None
    assert (taken[-1].predecessor, taken[-1].predecessor_until) == ("me", leader[1])
    assert not store.leadership.renew(ME, LONG)
    assert store.leadership.elect("me", LONG) is None
    assert store.leadership.renew(Term("another"), LONG) or other.leadership.renew(
        Term("another"), LONG
    )


def test_the_term_of_a_killed_worker_need_not_run_out(
    backend: Backend, store: Store, other: Store
) -> None:
    assert store.leadership.renew(ME, LONG)
    before = other.now()
    backend.die(store, "me")
    term: list[Term | None] = []
    eventually(lambda: term.append(other.leadership.elect("another", LONG)) or term[-1])
    assert term[-1] is not None
    assert term[-1].predecessor == "me"
    assert before <= term[-1].predecessor_until <= other.now()


def test_who_took_leadership_from_one_that_hangs_is_not_taken_for_dead_when_that_one_gives_way(
    backend: Backend, store: Store, other: Store
) -> None:
    store.leadership.renew(ME, SHORT)
    eventually(lambda: other.leadership.elect("living", LONG))
    store.leadership.resign(ME)
    third = backend.open()
    assert store.leadership.elect("me", LONG) is None
    assert third.leadership.elect("third", LONG) is None
    assert other.leadership.renew(Term("living"), LONG)
    assert third.leadership.elect("third", LONG) is None
    assert store.leadership.elect("me", LONG) is None
    backend.die(other, "living")
    eventually(lambda: third.leadership.elect("third", LONG))


def test_the_clock_is_one_for_all_and_goes_on(store: Store, other: Store) -> None:
    first, second, third = store.now(), other.now(), store.now()
    assert first - 60_000 < second < third + 60_000
    eventually(lambda: store.now() > second)
