"""However much there is, what is read at once is bounded, and no webhook waits for all that another has."""

from __future__ import annotations

import pytest

from events import turns
from events.store import Store
from tests.events.contract.makers import NOW, arrive, completion, decide, end, ids, task

LARGE = f'{{"text": "{"x" * 1000}"}}'


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three large payloads are read at once, and three webhooks have their turn."""
    monkeypatch.setattr(turns, "BYTES", 3000)
    monkeypatch.setattr(turns, "WEBHOOKS", 3)


def test_undecided_events_are_read_by_their_payloads_size_too(store: Store, small: None) -> None:
    for number in range(5):
        arrive(store, f"e{number}", payload=LARGE)
    agenda = store.agenda(100)
    assert ids(agenda.undecided) == ["e0", "e1", "e2"]
    assert agenda.more
    for id_ in ids(agenda.undecided):
        decide(store, id_)
    agenda = store.agenda(100)
    assert ids(agenda.undecided) == ["e3", "e4"]
    assert not agenda.more


def test_an_event_larger_than_what_is_read_at_once_is_read_alone(store: Store, small: None) -> None:
    arrive(store, "e1", payload=f'{{"text": "{"x" * 9000}"}}')
    arrive(store, "e2")
    assert ids(store.agenda(100).undecided) == ["e1"]


def test_held_and_freed_events_are_read_by_their_payloads_size_too(store: Store, small: None) -> None:
    for number in range(5):
        decide(store, arrive(store, f"e{number}", payload=LARGE), hold="held")
    first = store.held(0, 100)
    assert ids(first) == ["e0", "e1", "e2"]
    assert ids(store.held(first[-1].seq, 100)) == ["e3", "e4"]
    for number in range(5):
        store.adopt("me", [task(number)], NOW)
        decide(store, arrive(store, f"f{number}", payload=LARGE), completion(number))
        end(store, f"f{number}", "cancelled")
    agenda = store.agenda(100)
    assert ids(agenda.freed) == ["f0", "f1", "f2"]
    assert agenda.more


def test_held_events_of_one_webhook_are_read_without_the_others(store: Store) -> None:
    for number in range(6):
        decide(store, arrive(store, f"e{number}", webhook="vw"[number % 2]), hold="held")
    first = store.held(0, 2, "w")
    assert ids(first) == ["e1", "e3"]
    assert ids(store.held(first[-1].seq, 2, "w")) == ["e5"]
    assert store.held(0, 9, "unknown") == []


def test_a_webhook_with_very_many_undecided_events_delays_no_others_by_more_than_one_round(
    store: Store, small: None
) -> None:
    for number in range(20):
        arrive(store, f"many{number}", webhook="many")
    arrive(store, "one", webhook="one")
    arrive(store, "two", webhook="two")
    agenda = store.agenda(6)
    assert ids(agenda.undecided) == ["many0", "many1", "one", "two"], "of each its first, in the order of arrival"
    assert agenda.more
    for id_ in ids(agenda.undecided):
        decide(store, id_)
    assert ids(store.agenda(6).undecided) == [f"many{number}" for number in range(2, 8)]


def test_the_next_round_begins_after_the_webhook_that_was_served_last(store: Store, small: None) -> None:
    for number in range(2):
        for webhook in "abcdefg":
            arrive(store, f"{webhook}{number}", webhook=webhook)
    rounds = [ids(store.agenda(3).undecided) for _ in range(3)]
    assert rounds == [["a0", "b0", "c0"], ["d0", "e0", "f0"], ["a0", "b0", "g0"]]
    assert store.agenda(3).more


def test_large_events_of_one_webhook_leave_the_others_their_turn(store: Store, small: None) -> None:
    for number in range(5):
        arrive(store, f"large{number}", webhook="large", payload=LARGE)
    arrive(store, "small", webhook="small")
    assert ids(store.agenda(100).undecided) == ["large0", "large1", "large2", "small"]


def test_a_round_passes_over_webhooks_that_are_left_out(store: Store, small: None) -> None:
    for webhook in "abcdefg":
        arrive(store, f"{webhook}0", webhook=webhook)
    store.pause("a", NOW)
    assert ids(store.agenda(9, ["b", "c"]).undecided) == ["d0", "e0", "f0"]
    assert ids(store.agenda(9, ["b", "c"]).undecided) == ["d0", "e0", "g0"]


def test_returned_tasks_are_read_in_parts(store: Store) -> None:
    store.hand_over([task(number) for number in range(5)], NOW)
    agenda = store.agenda(3)
    assert ids(agenda.returned) == ["t0", "t1", "t2"]
    assert agenda.more
    store.look_again("me", ids(list(agenda.returned)))
    assert ids(store.agenda(3).returned) == ["t3", "t4"]
